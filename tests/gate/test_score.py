"""The learned score: fitted, read back, bounded, and honest about too few rows."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from entp_hf.errors import ConfigError
from entp_hf.gate.score import Score, bound_for, fit, hash_of, load_score


def test_a_probability_by_hand():
    score = Score(("a", "b"), (1.0, 0.0), (2.0, 1.0), (1.0, -3.0), 0.5, 0.5)
    assert score.parts({"a": 3.0, "b": 0.5}) == {"a": 1.0, "b": -1.5}
    assert score.probability({"a": 3.0, "b": 0.5}) == pytest.approx(0.5)
    assert score.probability({"a": 3.0}) == pytest.approx(1 / (1 + np.exp(-1.5)))  # b as the mean
    assert score.worst({"a": 3.0, "b": 0.5}) == "b"


def test_the_bound_is_the_lowest_that_keeps_the_precision():
    chance = np.linspace(1, 0, 20)
    good = [True] * 12 + [False] * 8
    assert bound_for(chance, good, 0.9) == pytest.approx(chance[12], abs=1e-4)  # 12 of 13
    assert bound_for(chance, [False, *[True] * 9, *[False] * 10], 0.95) == pytest.approx(chance[9], abs=1e-4)


def test_a_score_learns_what_tells_good_rows_and_comes_back_from_its_file(tmp_path):
    rng = np.random.default_rng(0)
    good = np.arange(80) % 2 == 0
    figures = [{"a": float(g) + rng.normal() / 4, "b": rng.normal()} for g in good]
    score, auc = fit(figures, good.tolist(), ["a", "b"], 0.9, "cafe")
    assert auc > 0.95
    assert score.weight[0] > 5 * abs(score.weight[1])
    assert (score.rows, score.data) == (80, "cafe")
    file = tmp_path / "score.json"
    file.write_text(json.dumps({"fused_words": dataclasses.asdict(score)}))
    assert load_score("fused_words", str(file)) == score
    assert load_score("fused_asked", str(file)) is None


def test_too_few_rows_and_broken_files_say_so(tmp_path):
    with pytest.raises(ConfigError, match="1 good and 1 bad; a score needs 20 of each"):
        fit([{"a": 1.0}, {"a": 0.0}], [True, False], ["a"], 0.9, "")
    (tmp_path / "score.json").write_text("{")
    with pytest.raises(ConfigError, match="make one by `entp gate fit`"):
        load_score("fused_words", str(tmp_path / "score.json"))


def test_the_hash_tells_labels_apart_and_not_their_order():
    one, two = {"id": "a", "label": "good"}, {"id": "b", "label": "bad"}
    assert hash_of([one, two]) == hash_of([two, one]) != hash_of([one, {**two, "label": "good"}])
