"""What is known of a row without its own rating, how far neighbors agree, and ratings as levels and back."""

import numpy as np
import pytest
from synthetic import PRIOR, clusters, places, rate, transition

from entp_hf.correction import diagnostics as evidence
from entp_hf.correction import local_prior as surroundings
from entp_hf.correction import rating_scale as scale
from entp_hf.correction.latent_class import Latent
from entp_hf.correction.local_prior import lengths
from entp_hf.embedding.neighbors import nearest

ROWS = 3_000


@pytest.fixture(scope="module")
def data():
    ratings, truth, points = clusters(ROWS, 20, False, seed=0, dim=32)
    return ratings[:, None], truth, points, nearest(points, 30)


def predicted(whole, near, points, features=None):
    return surroundings.predict(whole, near, points, features, np.arange(len(whole)), 0)


def test_a_prediction_does_not_see_the_rows_own_rating(data) -> None:
    whole, _, points, near = data
    guess, fold = predicted(whole, near, points)
    changed = whole.copy()
    changed[7] = 5 if whole[7] < 3 else 0
    other, same = predicted(changed, near, points)
    assert np.array_equal(fold, same)
    assert abs(other[7] - guess[7]) < 0.02  # one rating of 3,000 in the weights of all
    friend = near.index[7, 0]
    assert abs(other[friend] - guess[friend]) > 0.02  # whereas its neighbors see it


def test_a_prediction_follows_the_truth_and_features_add_to_it(data) -> None:
    whole, truth, points, near = data
    rng = np.random.default_rng(0)
    guess, _ = predicted(whole, near, points)
    assert np.corrcoef(guess, truth)[0, 1] > 0.9
    noise = rng.standard_normal((ROWS, 32)).astype(np.float32)
    far = nearest(noise, 30)
    nothing, _ = predicted(whole, far, noise)
    hint = truth[:, None] + rng.normal(0, 1, (ROWS, 1))
    told, _ = predicted(whole, far, noise, hint)
    assert abs(np.corrcoef(nothing, truth)[0, 1]) < 0.1
    assert np.corrcoef(told, truth)[0, 1] > 0.7


def test_too_few_rows_are_not_regressed_on(data) -> None:
    whole, _, points, _ = data
    few = slice(0, 300)
    assert predicted(whole[few], nearest(points[few], 30), points[few]) is None


def test_lengths_are_logarithms_of_characters() -> None:
    assert np.allclose(lengths(["abc", ""], ["", "x" * 9]), np.log1p([[3, 0, 3], [0, 9, 9]]))
    assert lengths([], []).shape == (0, 3)


def test_agreement_of_near_far_shuffled_and_random_rows(data) -> None:
    whole, _, points, near = data
    found = evidence.agreement(whole, near, np.arange(ROWS), 0)
    share = np.bincount(whole[:, 0], minlength=6) / ROWS
    assert found["chance"] == pytest.approx((share**2).sum(), abs=1e-3)
    assert found["near"] == pytest.approx((whole[:, 0] == whole[near.index[:, 0], 0]).mean(), abs=1e-4)
    assert found["near"] > found["far"] + 0.1
    assert found["shuffled"] == pytest.approx(found["chance"], abs=0.04)
    assert found["z"] > 10
    order = np.random.default_rng(1).permutation(ROWS)
    assert evidence.agreement(whole, nearest(points[order], 30), np.arange(ROWS), 0)["z"] < 4


def test_raters_agree_more_than_by_chance_or_they_do_not() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(6, 2_000, p=PRIOR)
    two = np.column_stack([rate(truth, transition(False), rng) for _ in range(2)])
    equal, z = evidence.rater_agreement(two)
    assert equal == pytest.approx((two[:, 0] == two[:, 1]).mean(), abs=1e-4) and z > 10
    assert evidence.rater_agreement(rng.integers(0, 6, (2_000, 2)))[1] < 3.5
    severe = np.column_stack([two[:, 0] // 2, np.minimum(two[:, 1] // 2 + 3, 5)])  # never equal, and yet alike
    assert evidence.rater_agreement(severe)[1] > 10
    masked = np.where(rng.random(two.shape) < 0.6, -1, two)
    assert evidence.rater_agreement(masked)[0] == pytest.approx(equal, abs=0.08)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_two_raters_measure_how_many_neighbors_share_a_level(share: float) -> None:
    rng = np.random.default_rng(2)
    truth, points = places(8_000, 20, PRIOR, rng, dim=16)
    stray = rng.random(8_000) < share
    truth[stray] = rng.choice(6, stray.sum(), p=PRIOR)
    whole = np.column_stack([rate(truth, transition(False), rng) for _ in range(2)])
    near = nearest(points, 5)
    model = Latent(PRIOR, np.stack([transition(False)] * 2))
    true = (truth == truth[near.index[:, 0]]).mean()
    assert evidence.same_level(whole, near, np.arange(8_000), model) == pytest.approx(true, abs=0.03)


def test_several_raters_mean_is_carried_to_the_scale_by_rank() -> None:
    rng = np.random.default_rng(3)
    ratings = rng.integers(0, 6, (4_000, 3)).astype(float)
    ratings[rng.random(ratings.shape) < 0.2] = np.nan
    whole = scale.as_levels(ratings)
    found, mean = scale.reference(ratings, whole), scale.mean_rating(ratings)
    none = (whole < 0).all(axis=1)
    assert (found[none] == -1).all() and (found[~none] >= 0).all()
    order = np.argsort(mean[~none], kind="stable")
    assert (np.diff(found[~none][order]) >= 0).all()
    assert np.abs(np.bincount(found[~none], minlength=6) / (~none).sum() - scale.marginal(whole)).max() < 0.1


def test_levels_take_the_ratings_quantiles() -> None:
    share = np.array([0.1, 0.1, 0.3, 0.3, 0.1, 0.1])
    model = Latent(np.array([0.2, 0.6, 0.2]), np.full((1, 3, 6), 1 / 6))
    scores, bands = scale.scale(model, share)
    assert np.allclose(scores, [0.5, 2.5, 4.5])
    assert bands.tolist() == [[0, 1], [2, 3], [4, 5]]
    six, own = scale.scale(Latent(share, np.eye(6)[None]), share)
    assert six.tolist() == [0, 1, 2, 3, 4, 5] and own.tolist() == [[k, k] for k in range(6)]


def test_copies_of_a_text_are_averaged_rater_by_rater() -> None:
    ratings = np.array([[1, np.nan], [3, 4], [5, np.nan], [np.nan, np.nan]])
    got = scale.one_per_text(ratings, np.array([0, 2, 3]), np.array([0, 0, 1, 2]))
    assert np.array_equal(got, [[2, 4], [5, np.nan], [np.nan, np.nan]], equal_nan=True)


def test_a_rating_that_straddles_two_levels_agrees_with_both() -> None:
    share = np.array([0.1, 0.2, 0.2, 0.4, 0.1, 0.0])
    model = Latent(np.array([0.2, 0.5, 0.3]), np.full((1, 3, 6), 1 / 6))
    _, bands = scale.scale(model, share)  # 3 lies from 0.5 to 0.9, the second level ends at 0.7
    assert bands.tolist() == [[0, 1], [1, 3], [3, 4]]
