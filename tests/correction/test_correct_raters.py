"""Several raters: each has its own T, missing ratings are a mask, and failed ratings stand apart."""

import numpy as np
import pytest
from synthetic import PRIOR, error, places, random_transition, rate, transition

from entp_hf import correct_ratings
from entp_hf.errors import StageError


def votes(truth: np.ndarray, matrices: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rate(truth, matrix, rng) for matrix in matrices]).astype(float)


def drawn(rows: int, seed: int, raters: int = 3) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng([seed, 11])
    matrices = [random_transition(rng, 0.55, 0.85) for _ in range(raters)]
    truth = rng.choice(6, rows, p=PRIOR)
    return votes(truth, matrices, rng), truth, matrices


def test_three_raters_need_no_neighbors_and_each_gets_its_own_matrix() -> None:
    ratings, truth, matrices = drawn(40_000, 0)
    found = correct_ratings(ratings)
    assert found.info["basis"] == "raters" and found.info["levels"] == 6
    for got, matrix in zip(found.info["transition"], matrices, strict=True):
        assert error(got, matrix) < 0.06 < error(np.eye(6), matrix) / 3
    assert np.abs(np.array(found.info["prior"]) - PRIOR).max() < 0.02
    best = max((ratings == truth[:, None]).mean(axis=0))
    assert (found.score == truth).mean() > best + 0.08
    assert found.long_tail is None and found.neighbors is None


def test_the_order_of_the_raters_does_not_matter() -> None:
    ratings, _, _ = drawn(8_000, 1)
    found, turned = correct_ratings(ratings, levels=6), correct_ratings(ratings[:, [2, 0, 1]], levels=6)
    assert np.allclose(np.array(turned.info["transition"])[[1, 2, 0]], found.info["transition"], atol=2e-3)
    assert np.allclose(turned.posterior, found.posterior, atol=1e-2)


def test_more_raters_and_more_accuracy() -> None:
    ratings, truth, _ = drawn(20_000, 2, raters=6)
    right = [(correct_ratings(ratings[:, :n], levels=6).score == truth).mean() for n in (3, 4, 6)]
    assert right[0] < right[1] < right[2]
    assert right[2] > 0.97


def test_missing_ratings_are_a_mask() -> None:
    ratings, truth, matrices = drawn(40_000, 3)
    gone = np.random.default_rng(0).random(ratings.shape) < [0.1, 0.3, 0.5]
    ratings[gone] = np.nan
    found = correct_ratings(ratings, levels=6)
    for got, matrix in zip(found.info["transition"], matrices, strict=True):
        assert error(got, matrix) < 0.12
    none = gone.all(axis=1)
    assert none.any() and (found.score[none] == -1).all() and np.isnan(found.expected[none]).all()
    assert (found.score >= 0)[~none].all()
    assert (found.score[~none] == truth[~none]).mean() > 0.8
    by_number = [found.confidence[(~gone).sum(axis=1) == n].mean() for n in (1, 2, 3)]
    assert by_number[0] < by_number[1] < by_number[2]


def test_two_raters_take_a_third_vote_from_the_neighbors() -> None:
    rng = np.random.default_rng(4)
    matrices = [transition(False), random_transition(rng, 0.55, 0.8)]
    truth, points = places(6_000, 20, PRIOR, rng)
    ratings = votes(truth, matrices, rng)
    found = correct_ratings(ratings, points, levels=6)
    assert found.info["basis"] == "neighbors" and len(found.info["transition"]) == 2
    for got, matrix in zip(found.info["transition"], matrices, strict=True):
        assert error(got, matrix) < 0.15
    assert (found.score == truth).mean() > 0.98
    assert found.info["agreement"]["same_level"] > 0.97


def test_two_raters_do_not_mistake_unlike_neighbors_for_noise() -> None:
    """One rater can't tell them apart; a second one can, and says how many neighbors share a level."""
    rng = np.random.default_rng(5)
    matrices = [transition(False), transition(False)]
    truth, points = places(16_000, 20, PRIOR, rng)
    stray = rng.random(16_000) < 0.2
    truth[stray] = rng.choice(6, stray.sum(), p=PRIOR)
    ratings = votes(truth, matrices, rng)
    one, two = correct_ratings(ratings[:, 0], points, levels=6), correct_ratings(ratings, points, levels=6)
    assert error(one.info["transition"][0], matrices[0]) > 0.15
    assert all(error(got, matrices[0]) < 0.1 for got in two.info["transition"])
    same = 0.64 + 0.36 * float((PRIOR**2).sum())  # both in place, or alike by chance
    assert two.info["agreement"]["same_level"] == pytest.approx(same, abs=0.04)


@pytest.mark.parametrize("raters", [1, 2])
def test_one_or_two_raters_need_embeddings(raters: int) -> None:
    with pytest.raises(StageError, match=rf"{raters} rater\(s\).*neighbors lend the missing votes"):
        correct_ratings(np.tile(np.arange(60) % 6, (raters, 1)).T)


def test_failed_ratings_are_told_from_poor_ones() -> None:
    rng = np.random.default_rng(6)
    matrices = [transition(False), random_transition(rng, 0.6, 0.8), transition(True)]
    truth = rng.choice(6, 40_000, p=PRIOR)
    ratings = votes(truth, matrices, rng)
    lost = rng.random(40_000) < 0.15
    ratings[lost, 1] = 0  # a reply that could not be read, stored as the lowest rating
    found = correct_ratings(ratings, levels=6)
    failed = found.info["failed"]
    assert failed[1] == pytest.approx(0.15, abs=0.03) and failed[0] == failed[2] == 0
    assert any("Rater 2 gave 0 for" in note and "count as failed" in note for note in found.info["notes"])
    good = lost & (truth >= 3)
    assert (found.score == truth)[good].mean() > 0.7
    masked = ratings.copy()
    masked[lost, 1] = np.nan
    told = correct_ratings(masked, levels=6)
    assert abs((found.score == truth).mean() - (told.score == truth).mean()) < 0.03


def test_raters_that_agree_by_chance_alone_are_left_as_they_came() -> None:
    ratings = np.random.default_rng(0).integers(0, 6, (2_000, 3)).astype(float)
    found = correct_ratings(ratings)
    assert not found.changed.any()
    assert found.info["notes"][0].startswith("Nothing was corrected: raters agree hardly more often than by chance")
    assert np.allclose(found.expected, ratings.mean(axis=1))


def test_embeddings_help_three_raters_too() -> None:
    rng = np.random.default_rng(7)
    truth, points = places(5_000, 20, PRIOR, rng)
    ratings = votes(truth, [transition(True)] * 3, rng)
    bare, full = correct_ratings(ratings, levels=6), correct_ratings(ratings, points, levels=6)
    assert full.info["basis"] == "raters"
    assert (full.score == truth).mean() > (bare.score == truth).mean() + 0.1


def test_the_number_of_levels_is_what_the_data_support() -> None:
    rng = np.random.default_rng(8)
    levels = np.array(
        [[0.5, 0.3, 0.1, 0.05, 0.03, 0.02], [0.05, 0.1, 0.35, 0.35, 0.1, 0.05], [0.02, 0.03, 0.05, 0.1, 0.35, 0.45]]
    )
    truth = rng.choice(3, 30_000, p=[0.3, 0.4, 0.3])
    cdf = levels.cumsum(axis=1)
    ratings = np.column_stack([(rng.random(30_000)[:, None] > cdf[truth, :-1]).sum(axis=1) for _ in range(3)])
    found = correct_ratings(ratings.astype(float))
    assert found.info["levels"] == 3
    assert [entry["levels"] for entry in found.info["stability"]] == [2, 3, 4, 5, 6]
    errors = {entry["levels"]: entry["error"] for entry in found.info["stability"]}
    assert errors[3] < 0.08 < max(errors[5], errors[6])
    assert np.abs(np.array(found.info["transition"]) - levels).sum(axis=2).max() < 0.08
    assert np.array(found.info["transition"]).shape == (3, 3, 6)  # no 6 x 6 matrix as if it were known
    assert found.info["level_scores"] == sorted(found.info["level_scores"])
    assert any("support 3 distinct quality levels, not 6" in note for note in found.info["notes"])
