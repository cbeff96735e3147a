"""Correction of real raters' scores; and the transition matrix against an estimate of another kind."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr
from synthetic import clusters, error, transition

from entp_hf import correct_ratings
from entp_hf.correction.local_prior import lengths
from entp_hf.embedding.neighbors import nearest

DATA = Path(__file__).parents[3] / "shared" / "data"
RATERS = ["score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3"]
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real data are not beside the project (../shared/data)")


@pytest.mark.parametrize("hard", [False, True])
def test_the_confident_joint_agrees_and_is_no_nearer_to_the_truth(hard: bool) -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed; it is in the extra dev")
    ratings, _, points = clusters(6_000, 20, hard, seed=2)
    near = nearest(points, 19)
    shares = np.stack([(ratings[near.index] == level).mean(axis=1) for level in range(6)], axis=1)
    _, theirs, _ = count.estimate_latent(count.compute_confident_joint(ratings, shares), ratings)  # P(rated | true).T
    ours = np.array(correct_ratings(ratings, points, neighbor_table=near).info["transition"][0])
    assert error(ours, theirs.T) < (0.35 if hard else 0.1)
    assert error(ours, transition(hard)) < error(theirs.T, transition(hard)) + 0.01
    assert error(ours, transition(hard)) < 0.1
    assert (ours.argmax(axis=1) == theirs.T.argmax(axis=1)).all()


@needs_data
def test_three_real_raters_over_the_whole_pool() -> None:
    table = pq.read_table(DATA / "tulu_300k_scores.parquet", columns=RATERS)
    ratings = np.column_stack([table[name].to_numpy() for name in RATERS]).astype(float)
    found = correct_ratings(ratings)
    info = found.info
    assert len(ratings) == 300_932 and info["basis"] == "raters"
    assert info["levels"] in (3, 4)  # six do not repeat on split halves
    errors = {entry["levels"]: entry["error"] for entry in info["stability"]}
    assert max(errors[2], errors[3]) < 0.05 < 0.1 < errors[6]
    assert info["failed"][1] == pytest.approx(0.09, abs=0.015)  # zeros of the second rater are as common at any level
    assert info["failed"][0] == info["failed"][2] == 0
    matrices, scores = np.array(info["transition"]), np.arange(6)
    spread = [np.ptp(matrix @ scores) for matrix in matrices]
    assert spread[0] > spread[2] > spread[1] > 1  # GPT tells levels apart best, then Mistral, then LLaMA
    assert (np.diff(matrices @ scores, axis=1) > 0).all()
    assert np.array(info["transition_se"]).max() < 0.03
    assert 0.1 < found.changed.mean() < 0.5


@needs_data
def test_two_real_raters_in_one_score_foretell_the_third_better_than_their_mean() -> None:
    table = pq.read_table(DATA / "tulu_300k_scores.parquet", columns=RATERS)
    ratings = np.column_stack([table[name].to_numpy() for name in RATERS]).astype(float)
    model = correct_ratings(ratings)
    without = ratings.copy()
    without[::5, 0] = np.nan  # hidden from the correction, and foretold
    found = correct_ratings(without)
    hidden = ratings[::5, 0]
    assert (
        spearmanr(found.expected[::5], hidden).statistic > spearmanr(ratings[::5, 1:].mean(axis=1), hidden).statistic
    )
    matrices = [np.array(fitted.info["transition"]) for fitted in (model, found)]
    assert np.abs(matrices[0] - matrices[1]).mean() < 0.03
    assert matrices[1][0, 1:, 0].max() < 0.1  # a mask: ratings of 0 would be a fifth of every row


@needs_data
@pytest.mark.parametrize("rater", range(3))
def test_a_corrected_rater_agrees_better_with_the_others_than_it_did(rater: int) -> None:
    """Neighbors in a space of words: the embedding model would take a minute."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    table = pq.read_table(DATA / "alpaca_rated_40k.parquet").slice(0, 6_000).to_pydict()
    texts = [f"{a}\n{b}\n{c}" for a, b, c in zip(table["instruction"], table["input"], table["output"], strict=True)]
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, max_features=20_000).fit_transform(texts)
    points = TruncatedSVD(100, random_state=0).fit_transform(words).astype(np.float32)
    some = np.abs(points).max(axis=1) > 0
    ratings = np.column_stack([table[name] for name in RATERS])[some].astype(float)
    instructions, outputs = (np.array(table[name])[some].tolist() for name in ("instruction", "output"))
    own, target = ratings[:, rater], np.delete(ratings, rater, axis=1).mean(axis=1)
    found = correct_ratings(own, points[some], features=lengths(instructions, outputs))
    smoothed = own / 2 + own[found.neighbors.index[:, :20]].mean(axis=1) / 2
    reached = [spearmanr(values, target).statistic for values in (found.expected, smoothed, own)]
    assert reached[0] > reached[1] + 0.01
    assert reached[0] > reached[2] + 0.04
    assert found.info["agreement"]["near"] > found.info["agreement"]["shuffled"] + 0.01
    assert found.info["agreement"]["shuffled"] == pytest.approx(found.info["agreement"]["chance"], abs=0.02)
