"""Degenerate ratings and embeddings: each has a right answer or a named error."""

import numpy as np
import pytest
from synthetic import PRIOR, clusters, places, rate, transition

from entp_hf import correct_ratings
from entp_hf.errors import StageError


def spread(rows: int, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, dim)).astype(np.float32)


def test_one_class_alone_is_that_class() -> None:
    found = correct_ratings(np.full(400, 3), spread(400))
    assert not found.changed.any() and (found.score == 3).all()
    assert found.info["prior"] == [0, 0, 0, 1, 0, 0]
    assert found.info["transition"][0] == [[0] * 6, [0] * 6, [0] * 6, [0, 0, 0, 1, 0, 0], [0] * 6, [0] * 6]
    assert found.info["identified"] == [level == 3 for level in range(6)]
    assert np.allclose(found.expected, 3) and np.allclose(found.confidence, 1)


def test_classes_that_nobody_gave_stay_empty_and_are_named() -> None:
    rng = np.random.default_rng(1)
    truth, points = places(3_000, 20, np.array([0, 0.4, 0.4, 0, 0.2, 0]), rng)
    matrix = np.eye(6)
    matrix[np.ix_([1, 2, 4], [1, 2, 4])] = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    ratings = rate(truth, matrix, rng)
    found = correct_ratings(ratings, points)
    assert (found.score == truth).mean() > 0.99
    assert set(np.unique(found.score)) == {1, 2, 4}
    assert found.info["identified"] == [False, True, True, False, True, False]
    assert all(found.info["transition"][0][level] == [0] * 6 for level in (0, 3, 5))
    assert any("Levels [0, 3, 5] hold fewer than 20 rows" in note for note in found.info["notes"])


def test_a_level_with_few_rows_is_not_corrected_into() -> None:
    rng = np.random.default_rng(2)
    truth, points = places(4_000, 20, np.array([0, 0.3, 0.4, 0.2, 0.1, 0]), rng)
    ratings = rate(truth, transition(False), rng)  # some ratings of 0 and 5, though no row is of these levels
    found = correct_ratings(ratings, points, levels=6)
    unknown = [level for level in range(6) if not found.info["identified"][level]]
    assert unknown
    assert not np.isin(found.score[found.changed], unknown).any()


def test_ratings_without_noise_stay() -> None:
    _, truth, points = clusters(2_000, 20, False, seed=0)
    found = correct_ratings(truth, points)
    assert not found.changed.any()
    assert np.allclose(found.expected, truth, atol=1e-3)
    assert found.confidence.mean() > 0.999


@pytest.mark.parametrize("rows", [3, 5, 9, 12])
def test_fewer_rows_than_neighbors_are_corrected_or_left_with_a_word(rows: int) -> None:
    ratings = np.arange(rows) % 3
    found = correct_ratings(ratings, spread(rows))
    assert found.neighbors.index.shape == (rows, rows - 1)
    assert (found.score == ratings).all() and found.info["notes"]


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_fewer_than_three_rows_are_an_error(rows: int) -> None:
    with pytest.raises(
        StageError, match=f"^correct: {rows} distinct rated rows; at least 3 are needed.*set correction"
    ):
        correct_ratings(np.arange(rows, dtype=float), spread(rows))


def test_rows_that_are_all_alike_are_an_error() -> None:
    with pytest.raises(StageError, match="1 distinct rated rows; at least 3"):
        correct_ratings(np.arange(600) % 6, np.ones((600, 8), np.float32))
    with pytest.raises(StageError, match="1 distinct rated rows; at least 3"):  # though the texts differ
        correct_ratings(np.arange(600) % 6, np.ones((600, 8), np.float32), copy_of=np.arange(600))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_embeddings_that_have_no_direction_are_an_error_with_their_rows(value: float) -> None:
    points = spread(50)
    points[[8, 31]] = value
    with pytest.raises(StageError, match=r"not finite or are zero.*leave them out \(2 rows, first: 8, 31\)"):
        correct_ratings(np.arange(50) % 6, points)


@pytest.mark.parametrize("value", [-1, 6, 5.01, np.inf])
def test_ratings_off_the_scale_are_an_error_with_their_rows(value: float) -> None:
    ratings = (np.arange(50) % 6).astype(float)
    ratings[[4, 20]] = value
    with pytest.raises(
        StageError, match=rf"rating {value:g} of rater 0 is not on the scale 0\.\.5.*\(2 rows.*4, 20\)"
    ):
        correct_ratings(ratings, spread(50))


def test_a_missing_rating_is_a_mask_and_never_a_zero() -> None:
    ratings, truth, points = clusters(4_000, 20, False, seed=3)
    ratings = ratings.astype(float)
    gone = np.random.default_rng(0).random(4_000) < 0.3
    ratings[gone] = np.nan
    found = correct_ratings(ratings, points)
    assert (found.score[gone] == -1).all() and np.isnan(found.expected[gone]).all()
    assert np.isnan(found.confidence[gone]).all() and not found.changed[gone].any()
    assert (found.score[~gone] == truth[~gone]).mean() > 0.99
    assert abs(found.info["prior"][0] - (truth == 0).mean()) < 0.02
    columns = found.columns()
    assert {columns["score"][i] for i in np.flatnonzero(gone)} == {None}
    assert {columns["confidence"][i] for i in np.flatnonzero(gone)} == {None}
    assert all(value is not None for value in columns["long_tail"])


def test_no_rating_at_all_is_an_error() -> None:
    with pytest.raises(StageError, match="0 distinct rated rows"):
        correct_ratings(np.full(40, np.nan), spread(40))


def test_fractions_are_rounded_to_the_nearest_level() -> None:
    ratings, _, points = clusters(2_000, 20, False, seed=4)
    nudged = np.clip(ratings + np.random.default_rng(0).uniform(-0.4, 0.4, 2_000), 0, 5)
    whole, parts = correct_ratings(ratings, points, damping=1.0), correct_ratings(nudged, points, damping=1.0)
    assert np.array_equal(whole.score, parts.score)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"embeddings": spread(9)}, "9 rows of embeddings for 60 rows of ratings"),
        ({"features": np.zeros((7, 2))}, "7 rows of features for 60"),
        ({"gold": np.zeros(3)}, "3 rows of gold for 60"),
        ({"copy_of": np.zeros(3, int)}, "3 rows of copy_of for 60"),
        ({"gold": np.full(60, 9.0)}, "rating 9 of rater 0 is not on the scale"),
        ({"features": np.full((60, 2), np.nan)}, r"features are not finite; fill them in \(60 rows"),
        ({"method": "votes"}, "method 'votes' is none of posterior, simifeat, none"),
    ],
)
def test_arguments_that_do_not_fit_are_named(given: dict, said: str) -> None:
    with pytest.raises(StageError, match=said):
        correct_ratings(np.arange(60) % 6, **{"embeddings": spread(60), **given})


@pytest.mark.parametrize("method", ["posterior", "simifeat"])
def test_one_rater_without_embeddings_is_an_error(method: str) -> None:
    with pytest.raises(StageError, match=rf"1 rater\(s\) and method {method} need embeddings"):
        correct_ratings(np.arange(60) % 6, method=method)


def test_none_takes_ratings_as_they_come() -> None:
    ratings = np.array([0, 5, np.nan, 2.0, 3.0])
    found = correct_ratings(ratings, method="none")
    assert found.score.tolist() == [0, 5, -1, 2, 3] and not found.changed.any()
    assert np.isnan(found.confidence).all()
    assert found.long_tail is None and found.info["basis"] == "none"


def test_the_prior_of_the_generator_is_a_prior() -> None:
    assert PRIOR.sum() == pytest.approx(1) and np.allclose(transition(True).sum(axis=1), 1)
    for hard, accuracy in ((False, 0.762), (True, 0.569)):
        ratings, truth, _ = clusters(50_000, 20, hard, seed=0, dim=2)
        assert (ratings == truth).mean() == pytest.approx(accuracy, abs=0.01)
