"""EM for the latent-class model: what it recovers, from populations and from samples."""

import itertools

import numpy as np
import pytest
from synthetic import PRIOR, error, places, random_prior, random_transition, rate, transition

from entp_hf.correction import latent_class as latent
from entp_hf.correction import patterns
from entp_hf.correction.latent_class import Block, Latent
from entp_hf.embedding.neighbors import Neighbors, nearest

CELLS = np.array(list(np.ndindex(6, 6, 6)))
NOTHING = np.repeat(PRIOR[None], 6, axis=0)  # a T that knows the prior alone


def population(matrix: np.ndarray, prior: np.ndarray) -> Block:
    cube = np.einsum("i,ia,ib,ic->abc", prior, matrix, matrix, matrix)
    return Block(CELLS, cube.ravel(), (0, 0, 0))


def fitted(blocks: list[Block], marginal: np.ndarray, tolerance: float = 1e-10) -> Latent:
    return latent.best(blocks, latent.starts(marginal, 6, 1), tolerance, 200_000)


@pytest.mark.parametrize("hard", [False, True])
def test_a_population_is_recovered(hard: bool) -> None:
    matrix = transition(hard)
    model = fitted([population(matrix, PRIOR)], PRIOR @ matrix)
    assert error(model.transition[0], matrix) < 1e-3
    finer = fitted([population(matrix, PRIOR)], PRIOR @ matrix, 1e-13)
    assert error(finer.transition[0], matrix) < 1e-4
    assert np.abs(finer.prior - PRIOR).max() < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_a_population_of_any_diagonally_dominant_matrix_is_recovered(seed: int) -> None:
    rng = np.random.default_rng([seed, 7])
    matrix, prior = random_transition(rng), random_prior(rng)
    model = fitted([population(matrix, prior)], prior @ matrix, 1e-13)
    assert error(model.transition[0], matrix) < 1e-3
    assert np.abs(model.prior - prior).max() < 1e-3
    assert error(np.eye(6), matrix) > 0.2 and error(NOTHING, matrix) > 0.2


def sampled(rows: int, size: int, matrix: np.ndarray, seed: int) -> tuple[Latent, list[Block]]:
    """A fit of clustered rows whose neighbors are known: others of their own cluster."""
    rng = np.random.default_rng(seed)
    truth, _ = places(rows, size, PRIOR, rng, dim=1)
    ratings = rate(truth, matrix, rng)[:, None]
    start = np.arange(rows) // size * size
    index = start[:, None] + (np.arange(rows)[:, None] - start[:, None] + np.arange(1, 11)) % size
    blocks = patterns.blocks_of(ratings, Neighbors(index, np.zeros(index.shape, np.float32)), np.arange(rows))
    return fitted(blocks, np.bincount(ratings[:, 0], minlength=6) / rows), blocks


@pytest.mark.parametrize("raters", [1, 2, 3])
def test_counts_of_parts_add_up_to_those_of_the_whole(raters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(raters)
    ratings = rng.integers(-1, 6, (500, raters))
    lent = None if raters == 3 else Neighbors(rng.integers(0, 500, (500, 10)), np.zeros((500, 10), np.float32))
    rows = np.flatnonzero((ratings >= 0).any(axis=1))
    whole = patterns.blocks_of(ratings, lent, rows)
    assert sum(block.weight.sum() for block in whole) <= len(rows) + 1e-9
    monkeypatch.setattr(patterns, "COUNTED", 37)
    parts = patterns.blocks_of(ratings, lent, rows)
    for one, other in zip(whole, parts, strict=True):
        assert one.raters == other.raters and (one.ratings == other.ratings).all()
        assert np.abs(one.weight - other.weight).max() < 1e-9
    assert len(patterns.blocks_of(ratings, lent, rows[:0])) == len(whole)


# Bounds: about twice the errors of a prototype on its own data.
@pytest.mark.parametrize(
    ("rows", "size", "hard", "bound"),
    [(5_000, 20, False, 0.12), (50_000, 20, False, 0.05), (300_000, 200, False, 0.02), (50_000, 20, True, 0.08)],
)
def test_a_sample_is_recovered_and_trivial_answers_are_not_near(rows, size, hard, bound) -> None:
    matrix = transition(hard)
    model, _ = sampled(rows, size, matrix, rows)
    assert error(model.transition[0], matrix) < bound
    assert error(np.eye(6), matrix) > 3 * bound
    assert error(NOTHING, matrix) > 3 * bound


def test_more_rows_lower_the_error_for_random_matrices() -> None:
    few, many = [], []
    for seed in range(3):
        matrix = random_transition(np.random.default_rng([seed, 1]))
        few.append(error(sampled(5_000, 20, matrix, seed)[0].transition[0], matrix))
        many.append(error(sampled(50_000, 20, matrix, seed)[0].transition[0], matrix))
    assert max(few) < 0.15 and max(many) < 0.06
    assert np.mean(many) < 0.6 * np.mean(few)


def test_the_histogram_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    n, k = 300, 4
    whole = rng.integers(-1, 6, (n, 1))
    index = np.array([rng.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)])
    slow, rows = np.zeros((6, 6, 6)), 0
    for i in range(n):
        lent = [whole[j, 0] for j in index[i] if whole[j, 0] >= 0]
        if whole[i, 0] < 0 or len(lent) < 2:
            continue
        rows += 1
        pairs = list(itertools.permutations(range(len(lent)), 2))
        for a, b in pairs:
            slow[whole[i, 0], lent[a], lent[b]] += 1 / len(pairs)
    cube = patterns.triples(whole[:, 0], index, np.arange(n))
    assert np.allclose(cube, slow, atol=1e-12)
    assert cube.sum() == pytest.approx(rows)
    (block,) = patterns.blocks_of(whole, Neighbors(index, np.zeros(index.shape, np.float32)), np.arange(n))
    even = np.zeros((6, 6, 6))
    np.add.at(even, tuple(block.ratings.T), block.weight)
    turned = [slow.transpose(axes) for axes in itertools.permutations(range(3))]
    assert np.allclose(even, np.mean(turned, axis=0), atol=1e-12)


def test_two_neighbors_give_whole_counts() -> None:
    rng = np.random.default_rng(1)
    whole, points = rng.integers(0, 6, 500), rng.standard_normal((500, 8)).astype(np.float32)
    index = nearest(points, 2).index
    plain = np.zeros((6, 6, 6))
    for own, (one, other) in zip(whole, whole[index], strict=True):
        plain[own, one, other] += 0.5
        plain[own, other, one] += 0.5
    assert np.array_equal(patterns.triples(whole, index, np.arange(500)), plain)


def test_the_likelihood_never_falls() -> None:
    _, blocks = sampled(2_000, 20, transition(True), 3)
    begin = latent.starts(PRIOR, 6, 1)[0]
    values = [latent.fit(blocks, begin, 0.0, steps).likelihood for steps in (1, 2, 5, 20, 100, 400)]
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(values))
    assert values[-1] > values[0] + 0.01


def test_levels_come_out_in_order_wherever_em_began() -> None:
    matrix = transition(False)
    begin = latent.starts(PRIOR @ matrix, 6, 1)[0]
    turn = np.array([3, 0, 5, 1, 4, 2])
    mixed = Latent(begin.prior[turn], begin.transition[:, turn])
    model = latent.fit([population(matrix, PRIOR)], mixed, 1e-12, 20_000)
    assert error(model.transition[0], matrix) < 1e-3


def test_renaming_the_ratings_renames_the_matrix() -> None:
    _, blocks = sampled(5_000, 20, transition(False), 4)
    turn = np.array([4, 2, 0, 5, 1, 3])  # rating b becomes turn[b]
    (block,) = blocks
    renamed = Block(turn[block.ratings], block.weight, block.raters)
    share = np.bincount(block.ratings[:, 0], block.weight, minlength=6)
    model = fitted(blocks, share / share.sum())
    other = np.bincount(renamed.ratings[:, 0], renamed.weight, minlength=6)
    after = fitted([renamed], other / other.sum())
    assert np.allclose(after.transition[0][np.ix_(turn, turn)], model.transition[0], atol=1e-9)


def test_standard_errors_are_of_the_size_of_the_errors() -> None:
    matrix, told, true = transition(False), [], []
    for seed in range(6):
        model, blocks = sampled(4_000, 20, matrix, [seed, 5])
        told.append(latent.bootstrap(blocks, model, 4_000, 20, seed)[0])
        true.append(model.transition[0] - matrix)
    ratio = np.sqrt(np.mean(np.square(true))) / np.sqrt(np.mean(np.square(told)))
    assert 0.5 < ratio < 2


def test_a_level_that_no_row_is_in_is_marked() -> None:
    matrix, prior = transition(False), np.array([0.0, 0.2, 0.3, 0.3, 0.2, 0.0])
    kept = matrix[1:5, 1:5] / matrix[1:5, 1:5].sum(axis=1, keepdims=True)
    inner = np.zeros((6, 6))
    inner[1:5, 1:5] = kept
    block = population(inner, prior)
    model = fitted([Block(CELLS[block.weight > 0], block.weight[block.weight > 0], (0, 0, 0))], prior @ inner)
    assert model.seen().tolist() == [False, True, True, True, True, False]
    assert error(model.transition[0][1:5], inner[1:5]) < 1e-3
