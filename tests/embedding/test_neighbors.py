"""The neighbor search: against brute force in double precision, with copies, and with what can't be searched."""

from dataclasses import replace

import numpy as np
import pytest

from entp_hf.correction.correct import correct_ratings
from entp_hf.embedding import neighbors as neighbors
from entp_hf.embedding.neighbors import check_embeddings, copies, nearest, nearest_distinct
from entp_hf.errors import StageError


def points(rows: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def brute(embeddings: np.ndarray) -> np.ndarray:
    """Cosine distances in double precision, (N, N), self at infinity."""
    unit = embeddings.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    apart = 1 - unit @ unit.T
    np.fill_diagonal(apart, np.inf)
    return apart


def test_the_nearest_are_those_of_brute_force_up_to_ties() -> None:
    embeddings = points(1200) * np.random.default_rng(1).uniform(0.1, 9, (1200, 1)).astype(np.float32)
    found, apart = nearest(embeddings, 10), brute(embeddings)
    true = np.sort(apart, axis=1)[:, :10]
    there = np.take_along_axis(apart, found.index, axis=1)
    assert np.allclose(there, true, atol=1e-6)
    assert np.allclose(found.distance, true, atol=1e-6)
    assert (np.diff(found.distance, axis=1) >= -1e-6).all()
    assert (found.index != np.arange(1200)[:, None]).all()
    assert all(len(set(row)) == 10 for row in found.index.tolist())
    assert found.recall == 1.0


def test_self_is_left_out_though_copies_tie_with_it() -> None:
    embeddings = np.repeat(points(30), 15, axis=0)  # more copies than neighbors
    found = nearest(embeddings, 10)
    assert (found.index != np.arange(450)[:, None]).all()
    assert (found.index // 15 == np.arange(450)[:, None] // 15).all()
    assert np.allclose(found.distance, 0, atol=1e-6)


def test_fewer_rows_than_neighbors_give_all_the_others() -> None:
    found = nearest(points(4), 10)
    assert [sorted(row) for row in found.index.tolist()] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_the_long_tail_score_is_the_mean_distance_to_the_ten_nearest() -> None:
    embeddings = points(400)
    expected = np.sort(brute(embeddings), axis=1)[:, :10].mean(axis=1)
    assert np.allclose(nearest(embeddings, 30).long_tail(), expected, atol=1e-6)


def test_copies_point_to_the_first_and_share_its_neighbors() -> None:
    embeddings = points(50)[[0, 1, 1, 2, 0, *range(3, 50)]]
    first = copies(embeddings)
    assert first[:5].tolist() == [0, 1, 1, 3, 0]
    found = nearest_distinct(embeddings, first, 5)
    assert np.array_equal(found.index[1], found.index[2])
    assert not set(found.index.ravel().tolist()) & {2, 4}
    assert (found.distance > 1e-4).all()


@pytest.mark.parametrize(("spread", "dim"), [(0.02, 32), (1.0, 32), (1.0, 33)])
def test_the_approximate_search_finds_what_it_says(spread: float, dim: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, dim)) * rng.uniform(0.5, 2, (60, 1))  # of any length
    embeddings = (centres[rng.integers(0, 60, 6000)] + spread * rng.standard_normal((6000, dim))).astype(np.float32)
    rough, exact = nearest(embeddings, 10, exact_rows=1000), nearest(embeddings, 10)
    hit = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rough.index, exact.index, strict=True)])
    assert rough.recall >= neighbors.RECALL
    assert hit == pytest.approx(rough.recall, abs=0.03)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = np.einsum("nd,nkd->nk", unit, unit[rough.index])
    assert np.allclose(rough.distance, 1 - cosine, atol=1e-5) and (np.diff(rough.distance, axis=1) >= 0).all()
    assert (rough.index != np.arange(6000)[:, None]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named(value: float) -> None:
    embeddings = points(20)
    embeddings[[3, 11], 5] = value
    with pytest.raises(StageError, match=r"^correct: embeddings are not finite or are zero.*2 rows.*3.*11"):
        check_embeddings(embeddings, "correct")


def test_rows_of_zeros_are_named() -> None:
    embeddings = points(20)
    embeddings[7] = 0
    with pytest.raises(StageError, match=r"cosine similarity is undefined.*1 rows.*7"):
        check_embeddings(embeddings, "correct")


def test_the_correction_says_what_share_of_the_neighbors_was_found() -> None:
    embeddings, ratings = points(400), np.random.default_rng(0).integers(1, 5, (400, 3)).astype(float)
    near = nearest(embeddings, 30)
    for recall, said in ((1.0, 0), (0.91, 1)):
        info = correct_ratings(ratings, embeddings, neighbor_table=replace(near, recall=recall)).info
        assert info["neighbour_recall"] == recall
        assert sum("found 91.0% of the nearest (aim 95%)" in note for note in info["notes"]) == said
