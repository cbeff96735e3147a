"""Paired differences: against values by hand and intervals known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from entp_hf.errors import EntpError, InputError
from entp_hf.evaluation.paired_bootstrap import in_words, mean_and_error, paired
from entp_hf.evaluation.results import Evaluation, summary
from entp_hf.evaluation.suite import differences, headlines, read_measured


def test_the_difference_is_that_of_the_means():
    found = paired([0, 1, 1, 0], [1, 1, 1, 0])
    assert found.difference == 0.25
    assert found.items == 4
    assert found.low == 0  # no item got worse
    assert not found.shown
    weighted = paired([2.0, 4.0], [1.0, 5.0], weight=[3, 1])
    assert weighted.difference == pytest.approx((3 * -1 + 1 * 1) / 4)


def test_pairing_shows_what_the_spread_of_the_items_would_hide():
    rng = np.random.default_rng(0)
    items = rng.normal(0, 10, 200)
    found = paired(items, items + rng.normal(0.5, 0.5, 200))
    assert found.shown
    reach = 1.96 * 0.5 / math.sqrt(200)
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=0.05)
    independent = math.sqrt(2 * 100 / 200)
    assert found.high - found.low < independent / 4


def test_ninety_five_of_a_hundred_intervals_hold_the_truth():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        noise = rng.normal(0.2, 1, 60)
        found = paired(np.zeros(60), noise, seed=seed)
        hits += found.low <= 0.2 <= found.high
    assert 88 <= hits <= 99


def test_seeds_widen_the_interval():
    items = np.zeros(50)
    one = paired(items, np.full((1, 50), 0.5))
    two = paired(items, np.array([np.full(50, 0.2), np.full(50, 0.8)]))
    assert (one.low, one.high) == (0.5, 0.5)
    assert two.difference == pytest.approx(0.5)
    assert (two.low, two.high) == pytest.approx((0.2, 0.8))


def test_words():
    assert in_words(paired([0] * 9, [1] * 9), "base", "ours", "acc") == (
        "acc: ours is better than base (+1, 95% interval +1 to +1, 9 items)"
    )
    assert "ours is worse than base" in in_words(paired([0] * 9, [1] * 9), "base", "ours", "loss", False)
    assert in_words(paired([0, 1], [1, 0]), "base", "ours", "acc").startswith(
        "acc: no difference between ours and base that 2 items can show (+0, 95% interval"
    )


def test_mean_and_error():
    assert mean_and_error([1.0, 2, 3]) == pytest.approx((2, 1 / math.sqrt(3)))
    assert mean_and_error([[1.0, 2], [3, 2]])[0] == 2
    assert math.isnan(mean_and_error([1.0])[1])
    values, weight = [1.0, 2, 4], [1.0, 1, 2]
    mean, error = mean_and_error(values, weight)
    assert mean == 11 / 4
    squares = sum((w / 4) ** 2 * (v - mean) ** 2 for v, w in zip(values, weight, strict=True))
    assert error == pytest.approx(math.sqrt(1.5 * squares))
    assert summary({"f1": [1.0, 2, 3]}) == pytest.approx({"f1": 2, "f1_stderr": 1 / math.sqrt(3), "n": 3})


def test_differences_of_evaluations_and_files_that_are_none(tmp_path):
    before = Evaluation({}, {"heldout": {"loss": [2.0] * 8, "tokens": [1.0] * 8}, "mmlu": {"acc": [0.0, 1] * 4}})
    after = Evaluation({}, {"heldout": {"loss": [1.0] * 8, "tokens": [1.0] * 8}, "mmlu": {"acc": [1.0, 0] * 4}})
    assert [name for name, *_ in headlines(after)] == ["heldout", "mmlu"]
    first, second = differences(before, after, "base", "tuned")
    assert first.startswith("heldout (loss): tuned is better than base (-1")
    assert second.startswith("mmlu (acc): no difference")
    with pytest.raises(EntpError, match="2 items against 3"):
        paired([1, 2], [1, 2, 3])
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="is no file that `entp eval -o` wrote"):
        read_measured(tmp_path / "x.json")
