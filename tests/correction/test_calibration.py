"""Trusted scores: they calibrate the posterior where neighbors differ, and say how right it is."""

import numpy as np
import pytest
from synthetic import PRIOR, clusters, places, rate, transition

from entp_hf import correct_ratings
from entp_hf.correction import calibration as gold

ROWS = 8_000


def violated(share: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratings, truth, embeddings; a `share` of the rows has a score that has nothing to do with where they lie."""
    rng = np.random.default_rng(seed)
    truth, points = places(ROWS, 20, PRIOR, rng)
    stray = rng.random(ROWS) < share
    truth[stray] = rng.choice(6, stray.sum(), p=PRIOR)
    return rate(truth, transition(False), rng), truth, points


def some(truth: np.ndarray, count: int) -> np.ndarray:
    known = np.full(len(truth), np.nan)
    rows = np.random.default_rng(0).choice(len(truth), count, replace=False)
    known[rows] = truth[rows]
    return known


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_trusted_scores_make_the_confidence_honest_again(share: float) -> None:
    ratings, truth, points = violated(share)
    known = some(truth, 200)
    blind, told = correct_ratings(ratings, points), correct_ratings(ratings, points, gold=known)
    others = np.isnan(known)

    def gap(found) -> float:
        right = found.posterior.argmax(axis=1) == truth
        return float(found.posterior.max(axis=1)[others].mean() - right[others].mean())

    assert gap(blind) > 0.05  # as the notes say: where neighbors differ, confidence is too high
    assert abs(gap(told)) < min(0.06, gap(blind) / 1.5)
    assert (told.score == truth)[others].mean() > (blind.score == truth)[others].mean() - 0.04
    squared = [np.square(v - truth)[others].mean() for v in (told.expected, blind.expected, ratings)]
    assert squared[0] < min(squared[1:])
    assert told.info["gold"]["stray"] > 0


def test_what_is_said_of_trusted_scores_holds_for_the_others() -> None:
    ratings, truth, points = violated(0.2, seed=6)
    known = some(truth, 400)
    found = correct_ratings(ratings, points, gold=known)
    others, said = np.isnan(known), found.info["gold"]
    right = found.posterior.argmax(axis=1) == truth
    assert said["rows"] == 400
    assert said["accuracy"] == pytest.approx(right[others].mean(), abs=0.05)
    assert said["mean_confidence"] == pytest.approx(found.posterior.max(axis=1)[others].mean(), abs=0.05)
    assert sum(entry["rows"] for entry in said["reliability"]) == 400
    assert any("On 400 trusted scores the level is right for" in note for note in found.info["notes"])


def test_without_violation_trusted_scores_take_nothing_away() -> None:
    ratings, truth, points = clusters(4_000, 20, False, seed=7)
    found = correct_ratings(ratings, points, gold=some(truth, 100))
    assert (found.score == truth).mean() > 0.99
    assert found.info["gold"]["accuracy"] > 0.97


def test_too_few_trusted_scores_calibrate_nothing() -> None:
    ratings, truth, points = clusters(3_000, 20, False, seed=8)
    bare = correct_ratings(ratings, points)
    found = correct_ratings(ratings, points, gold=some(truth, gold.MIN_ROWS - 1))
    assert np.array_equal(found.posterior, bare.posterior)
    assert found.info["gold"] == {"rows": gold.MIN_ROWS - 1}


def test_a_damping_that_was_asked_for_stays() -> None:
    ratings, truth, points = violated(0.2)
    found = correct_ratings(ratings, points, gold=some(truth, 100), damping=0.3)
    assert found.info["damping"] == 0.3


def test_trusted_scores_let_an_unsteady_matrix_be_used() -> None:
    rng = np.random.default_rng(9)
    truth, points = places(240, 12, PRIOR, rng)
    ratings = rate(truth, transition(True), rng)
    bare = correct_ratings(ratings, points)
    assert bare.info["notes"][0].startswith("Nothing was corrected: T, shown with its errors, does not repeat")
    found = correct_ratings(ratings, points, gold=some(truth, 80))
    assert found.changed.any()
    others = np.isnan(some(truth, 80))
    assert np.abs(found.expected - truth)[others].mean() < np.abs(ratings - truth)[others].mean()


def test_points_of_a_reliability_diagram() -> None:
    confidence = np.array([0.05, 0.55, 0.58, 0.95, 1.0])
    right = np.array([False, True, False, True, True])
    assert gold.reliability(confidence, right) == [
        {"confidence": 0.05, "accuracy": 0.0, "rows": 1},
        {"confidence": 0.565, "accuracy": 0.5, "rows": 2},
        {"confidence": 0.975, "accuracy": 1.0, "rows": 2},
    ]
