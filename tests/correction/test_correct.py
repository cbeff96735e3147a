"""Correction of one rater's ratings with neighbors, on rows whose true scores are known."""

import numpy as np
import pytest
from synthetic import PRIOR, clusters, error, places, random_prior, random_transition, rate, transition

from entp_hf import correct_ratings
from entp_hf.correction import calibration as gold
from entp_hf.correction.latent_class import Latent
from entp_hf.correction.local_prior import Choice, LocalPrior
from entp_hf.correction.task import CorrectedRatings
from entp_hf.embedding.neighbors import Neighbors, nearest
from entp_hf.errors import StageError


def accuracy(found: CorrectedRatings, truth: np.ndarray) -> float:
    return float((found.score == truth).mean())


@pytest.mark.parametrize(
    ("rows", "hard", "error_bound", "least"), [(5_000, False, 0.12, 0.99), (5_000, True, 0.2, 0.93)]
)
def test_known_noise_is_found_and_undone(rows, hard, error_bound, least) -> None:
    ratings, truth, points = clusters(rows, 20, hard, seed=1)
    found = correct_ratings(ratings, points)
    assert found.info["levels"] == 6
    assert error(found.info["transition"][0], transition(hard)) < error_bound
    assert np.abs(np.array(found.info["prior"]) - np.bincount(truth, minlength=6) / rows).sum() < 0.1
    assert accuracy(found, truth) > least > (ratings == truth).mean() + 0.2
    assert (found.changed == (found.score != ratings)).all()
    assert abs(np.corrcoef(found.expected, truth)[0, 1]) > np.corrcoef(ratings, truth)[0, 1] + 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_random_noise_is_found_and_undone(seed: int) -> None:
    rng = np.random.default_rng([seed, 3])
    matrix, prior = random_transition(rng), random_prior(rng)
    truth, points = places(6_000, 20, prior, rng)
    ratings = rate(truth, matrix, rng)
    found = correct_ratings(ratings, points, levels=6)
    assert error(found.info["transition"][0], matrix) < 0.15 < error(np.eye(6), matrix) / 1.5
    assert accuracy(found, truth) > max(0.97, (ratings == truth).mean() + 0.1)


def test_standard_errors_cover_the_truth() -> None:
    ratings, _, points = clusters(10_000, 20, False, seed=2)
    found = correct_ratings(ratings, points, levels=6)
    away = np.abs(np.array(found.info["transition"][0]) - transition(False))
    spread = np.array(found.info["transition_se"][0])
    assert (away < 4 * spread + 2e-3).mean() > 0.95
    assert spread.max() < 0.05


def test_features_that_say_nothing_change_nothing() -> None:
    ratings, truth, points = clusters(5_000, 20, False, seed=3)
    shuffled = points[np.random.default_rng(0).permutation(len(points))]
    found = correct_ratings(ratings, shuffled)
    assert accuracy(found, truth) == (ratings == truth).mean()
    assert not found.changed.any()
    assert found.info["notes"][0].startswith("Nothing was corrected: neighbors agree hardly more often than by chance")
    assert np.isnan(found.confidence).all()


def test_features_that_say_nothing_give_no_gain_though_correction_is_forced() -> None:
    ratings, truth, points = clusters(5_000, 20, False, seed=3)
    rng = np.random.default_rng(0)
    model = Latent(PRIOR, transition(False)[None])
    around = LocalPrior(ratings[:, None], nearest(points[rng.permutation(5_000)], 10), model, None)
    rows = np.arange(5_000)
    choice = around.choose(rows, around.own_likelihood(rows))
    assert choice.damping <= 0.05 and choice.gain < 0.005
    best = gold.belief(around, gold.Tuned(choice), rows).argmax(axis=1)
    assert (best == truth).mean() <= (ratings == truth).mean() + 0.01


@pytest.mark.parametrize(("hard", "size"), [(False, 4), (True, 8)])  # small clusters: not all posteriors are near 1
def test_confidence_is_the_share_of_right_scores(hard: bool, size: int) -> None:
    ratings, truth, points = clusters(12_000, size, hard, seed=4)
    found = correct_ratings(ratings, points, neighbors=size - 1, damping=1.0, levels=6)
    right = found.posterior.argmax(axis=1) == truth
    bins = gold.reliability(found.posterior.max(axis=1), right)
    filled = [entry for entry in bins if entry["rows"] >= 200]
    assert len(filled) >= 2
    assert all(abs(entry["accuracy"] - entry["confidence"]) < 0.05 for entry in filled[-2:])
    assert abs(right.mean() - found.posterior.max(axis=1).mean()) < 0.02


def test_a_row_is_as_sure_of_itself_whatever_else_is_in_the_data() -> None:
    ratings, _, points = clusters(4_000, 20, False, seed=6)
    more, _, far = clusters(12_000, 20, False, seed=7)
    alone = correct_ratings(ratings, points, damping=1.0, levels=6)
    together = correct_ratings(np.r_[ratings, more], np.r_[points, far], damping=1.0, levels=6)
    assert np.array_equal(alone.neighbors.index[:, :10], together.neighbors.index[:4_000, :10])
    assert np.abs(alone.confidence - together.confidence[:4_000]).mean() < 0.005
    assert abs(alone.confidence.mean() - together.confidence[:4_000].mean()) < 0.005


def test_under_one_model_a_neighborhood_has_one_posterior() -> None:
    rng = np.random.default_rng(0)
    model = Latent(PRIOR, transition(True)[None])
    whole, index = rng.integers(0, 6, (200, 1)), rng.integers(0, 100, (200, 10))
    distance = rng.random((200, 10)).astype(np.float32)
    tuned = gold.Tuned(Choice(votes=10, sharpness=2.0, damping=0.7))
    few = LocalPrior(whole[:100], Neighbors(index[:100], distance[:100]), model, None)
    many = LocalPrior(whole, Neighbors(index, distance), model, None)
    assert np.array_equal(gold.belief(few, tuned, np.arange(100)), gold.belief(many, tuned, np.arange(200))[:100])


def test_the_posterior_is_bayes_rule() -> None:
    model = Latent(PRIOR, transition(False)[None])
    whole = np.array([[2], [3], [3], [-1]])
    near = Neighbors(np.array([[1, 2, 3]] * 4), np.zeros((4, 3), np.float32))
    around = LocalPrior(whole, near, model, None)
    matrix = transition(False)
    by_hand = PRIOR * matrix[:, 2] * (matrix[:, 3] * matrix[:, 3]) ** 0.5  # the missing vote says nothing
    got = gold.belief(around, gold.Tuned(Choice(votes=3, damping=0.5)), np.array([0]))
    assert np.allclose(got[0], by_hand / by_hand.sum(), atol=1e-9)


def test_the_expected_score_is_the_posterior_mean() -> None:
    ratings, _, points = clusters(3_000, 20, False, seed=8)
    found = correct_ratings(ratings, points)
    assert np.allclose(found.expected, found.posterior @ np.array(found.info["level_scores"]), atol=1e-3)
    assert np.allclose(found.posterior.sum(axis=1), 1)


def test_neighbors_of_an_earlier_result_save_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings, _, points = clusters(2_000, 20, False, seed=9)
    points, ratings = np.r_[points, points[:50]], np.r_[ratings, ratings[:50]]
    first = correct_ratings(ratings, points)
    monkeypatch.setattr("entp_hf.correction.correct.nearest", None)
    again = correct_ratings(ratings, points, neighbor_table=first.neighbors)
    assert np.array_equal(again.posterior, first.posterior) and again.info == first.info
    assert np.array_equal(again.neighbors.index, first.neighbors.index)


def test_ones_own_index_will_do_without_embeddings() -> None:
    ratings, truth, points = clusters(2_000, 20, False, seed=9)
    found = correct_ratings(ratings, neighbor_table=nearest(points, 15))
    assert (found.score == truth).mean() > 0.98
    assert not found.info["surroundings"]["predicted"]


def test_neighbors_of_other_rows_are_an_error() -> None:
    ratings, _, points = clusters(200, 20, False, seed=9)
    wrong = nearest(points, 5)
    with pytest.raises(StageError, match="200 rows of neighbor_table for 100 rows of ratings"):
        correct_ratings(ratings[:100], points[:100], neighbor_table=wrong)
    with pytest.raises(StageError, match="neighbors name rows that are copies of others or out of range"):
        correct_ratings(ratings, points, neighbor_table=wrong, copy_of=np.r_[0, 0, np.arange(2, 200)])
