"""What must not change the correction: order, names of ratings, rotation, scale, copies."""

import numpy as np
import pytest
from synthetic import clusters

from entp_hf import correct_ratings

ROWS = 3_000
PLAIN = {"levels": 6, "damping": 1.0}


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    ratings, _, points = clusters(ROWS, 20, False, seed=0, dim=32)
    return ratings, points


def matrix(found) -> np.ndarray:
    return np.array(found.info["transition"][0])


def test_the_same_input_gives_the_same_bytes(data) -> None:
    once, again = (correct_ratings(*data, seed=3) for _ in range(2))
    for name in ("score", "expected", "confidence", "changed", "posterior", "long_tail"):
        assert getattr(once, name).tobytes() == getattr(again, name).tobytes(), name
    assert once.info == again.info


def test_the_input_is_not_written_to(data) -> None:
    ratings, points = data[0].astype(float), data[1].copy()
    kept = ratings.copy(), points.copy()
    correct_ratings(ratings, points)
    assert np.array_equal(ratings, kept[0]) and np.array_equal(points, kept[1])


def test_order_does_not_matter(data) -> None:
    ratings, points = data
    order = np.random.default_rng(0).permutation(ROWS)
    found, moved = correct_ratings(ratings, points, **PLAIN), correct_ratings(ratings[order], points[order], **PLAIN)
    assert np.allclose(moved.posterior, found.posterior[order], atol=1e-9)
    assert np.array_equal(moved.score, found.score[order])
    assert np.array_equal(matrix(moved), matrix(found))


def test_order_hardly_matters_where_splits_are_drawn(data) -> None:
    ratings, points = data
    order = np.random.default_rng(0).permutation(ROWS)
    found, moved = correct_ratings(ratings, points), correct_ratings(ratings[order], points[order])
    assert found.info["levels"] == moved.info["levels"]
    assert (moved.score == found.score[order]).mean() > 0.995


def test_names_of_ratings_do_not_matter(data) -> None:
    ratings, points = data
    turn = np.array([4, 2, 0, 5, 1, 3])
    found, renamed = correct_ratings(ratings, points, **PLAIN), correct_ratings(turn[ratings], points, **PLAIN)
    assert np.allclose(matrix(renamed)[np.ix_(turn, turn)], matrix(found), atol=2e-4)  # rounded to 1e-4
    assert np.allclose(renamed.posterior[:, turn], found.posterior, atol=1e-6)
    assert np.array_equal(renamed.score, turn[found.score])


@pytest.mark.parametrize("scale", [0.03, 8.0])
def test_scale_does_not_matter(data, scale: float) -> None:
    ratings, points = data
    found, scaled = correct_ratings(ratings, points), correct_ratings(ratings, points * np.float32(scale))
    assert np.allclose(scaled.posterior, found.posterior, atol=1e-3)
    assert np.array_equal(scaled.score, found.score)
    assert np.allclose(scaled.long_tail, found.long_tail, atol=1e-5)


def test_rotation_does_not_matter(data) -> None:
    ratings, points = data
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((32, 32)))
    found = correct_ratings(ratings, points, **PLAIN)
    turned = correct_ratings(ratings, (points @ turn).astype(np.float32), **PLAIN)
    assert np.abs(matrix(turned) - matrix(found)).max() < 1e-3
    assert (turned.score == found.score).mean() > 0.999


@pytest.mark.parametrize("named", [True, False])
def test_every_row_twice_is_every_row_once(data, named: bool) -> None:
    ratings, points = data
    found = correct_ratings(ratings, points)
    copy_of = np.r_[np.arange(ROWS), np.arange(ROWS)] if named else None
    twice = correct_ratings(np.r_[ratings, ratings], np.r_[points, points], copy_of=copy_of)
    assert twice.info == found.info
    for name in ("score", "expected", "confidence", "changed"):
        both = getattr(twice, name)
        assert np.array_equal(both[:ROWS], getattr(found, name))
        assert np.array_equal(both[ROWS:], getattr(found, name))
    assert np.array_equal(twice.long_tail[ROWS:], found.long_tail)


def test_copies_with_other_ratings_are_one_text(data) -> None:
    ratings, points = data[0].astype(float), data[1]
    twin, other = points[[0]], np.array([5.0 - ratings[0]])
    found = correct_ratings(np.r_[ratings, other], np.r_[points, twin])
    assert found.score[0] == found.score[-1]
    assert found.expected[0] == found.expected[-1]
    assert len(np.unique(found.neighbors.index)) <= ROWS and ROWS not in found.neighbors.index


def test_another_seed_gives_nearly_the_same(data) -> None:
    one, other = correct_ratings(*data, seed=0), correct_ratings(*data, seed=1)
    assert (one.score == other.score).mean() > 0.995
