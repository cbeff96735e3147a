"""The paper's way of correcting: what it finds, and what its code's doubled rows do to it."""

import numpy as np
import pytest
from synthetic import clusters, error, transition

from entp_hf import correct_ratings
from entp_hf.correction import simifeat


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return clusters(5_000, 20, False, seed=0)


@pytest.fixture(scope="module")
def found(data):
    return correct_ratings(data[0], data[2], method="simifeat")


@pytest.fixture(scope="module")
def doubled(data):
    return correct_ratings(data[0], data[2], method="simifeat", paper_compat=True)


def test_errors_are_found_and_replaced(data, found) -> None:
    ratings, truth, _ = data
    wrong = ratings != truth
    assert (found.score == truth).mean() > 0.94
    assert (found.changed & wrong).sum() / found.changed.sum() > 0.95
    assert (found.changed & wrong).sum() / wrong.sum() > 0.8
    assert error(found.info["transition"][0], transition(False)) < 0.15
    assert not found.info["doubled"] and found.posterior is None


def test_doubled_rows_pull_the_matrix_to_identity(data, found, doubled) -> None:
    matrix = transition(False)
    once, twice = found.info["transition"][0], doubled.info["transition"][0]
    assert doubled.info["doubled"]
    assert np.diag(twice).mean() > np.diag(matrix).mean() + 0.05
    assert error(twice, matrix) > 2 * error(once, matrix)
    assert doubled.info["flagged"] < 0.7 * found.info["flagged"]
    assert (doubled.score == data[1]).mean() < (found.score == data[1]).mean() - 0.05


def test_doubling_is_for_the_papers_method_alone(data) -> None:
    ratings, _, points = data
    plain, asked = correct_ratings(ratings, points), correct_ratings(ratings, points, paper_compat=True)
    assert np.array_equal(plain.posterior, asked.posterior)


def test_its_confidence_grows_with_how_often_a_row_was_drawn(data, monkeypatch: pytest.MonkeyPatch) -> None:
    ratings, _, points = data
    often = correct_ratings(ratings, points, method="simifeat")
    monkeypatch.setattr(simifeat, "DRAWN", 1_500)
    seldom = correct_ratings(ratings, points, method="simifeat")
    both = often.changed & seldom.changed & (often.score == seldom.score)
    assert both.sum() > 100
    assert seldom.confidence[both].mean() < often.confidence[both].mean() - 0.05


def test_ratings_without_noise_stay(data) -> None:
    _, truth, points = data
    assert not correct_ratings(truth, points, method="simifeat").changed.any()


def test_missing_ratings_and_missing_classes_are_no_votes(data) -> None:
    _, truth, points = data
    ratings = np.where(truth == 5, np.nan, truth.astype(float))
    ratings[::7] = np.nan
    found = correct_ratings(ratings, points, method="simifeat")
    assert (found.score[np.isnan(ratings)] == -1).all() and not found.changed.any()
    assert not found.info["identified"][5]


def test_the_same_seed_gives_the_same_rows(data, found) -> None:
    again = correct_ratings(data[0], data[2], method="simifeat")
    assert np.array_equal(again.score, found.score) and np.array_equal(again.confidence, found.confidence)
    other = correct_ratings(data[0], data[2], method="simifeat", seed=1)
    assert (other.score == found.score).mean() > 0.97


@pytest.mark.parametrize("rows", [3, 8])
def test_few_rows_are_no_obstacle(data, rows: int) -> None:
    found = correct_ratings(data[0][:rows], data[2][:rows], method="simifeat")
    assert len(found.score) == rows and (found.score >= 0).all()
