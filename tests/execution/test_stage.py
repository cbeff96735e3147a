"""How a step runs: the same rows however they are shared out, and a fingerprint that tells runs apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ray_stages import rows

from entp_hf.execution import stage
from entp_hf.execution.stage import apply, rows_of, set_columns
from entp_hf.execution.tables import as_dataset
from entp_hf.purge import Purge
from entp_hf.schema import FEATURES


@dataclass(frozen=True)
class Mark:
    """Writes `text` into every row's notes."""

    text: str

    def __call__(self, batch: stage.Batch) -> stage.Batch:
        return {**batch, "notes": [f"{self.text} {i}" for i in batch["id"]]}


def test_a_stage_runs_over_all_rows_and_keeps_the_columns():
    before = rows(5)
    after = apply(before, Mark("seen"), "mark", batch_size=2)
    assert after["notes"][:] == [f"seen {i}" for i in before["id"]]
    assert after.features == FEATURES
    assert after.remove_columns("notes")[:] == before.remove_columns("notes")[:]


def test_two_processes_give_what_one_gives():
    one, two = (apply(rows(), Purge(), "purge", batch_size=4, num_proc=n) for n in (1, 2))
    assert one[:] == two[:]
    assert one[0]["messages"][1]["content"].endswith("It’s a pear.") and one[0]["findings"]


def test_the_fingerprint_changes_with_rows_knobs_and_code_and_with_nothing_else(monkeypatch):
    before = rows()
    known = apply(before, Mark("a"), "x")._fingerprint
    assert apply(before, Mark("a"), "another bar", batch_size=3)._fingerprint == known
    others = [
        apply(before, Mark("b"), "x"),
        apply(before.select(range(9)), Mark("a"), "x"),
        apply(before, Purge(), "x"),
    ]
    monkeypatch.setattr(stage, "source_hash", lambda: "another version")
    others.append(apply(before, Mark("a"), "x"))
    assert len({known, *(other._fingerprint for other in others)}) == 5


def test_purge_thresholds_are_part_of_the_fingerprint():
    before = rows(3)
    plain, strict = (apply(before, p, "x")._fingerprint for p in (Purge(), Purge(thresholds=(("echo", 0.5),))))
    assert plain != strict


def test_no_rows_are_no_work():
    empty = as_dataset([])
    assert apply(empty, Mark("a"), "x") is empty


def test_rows_of_turns_columns_into_rows():
    assert rows_of({"a": [1, 2], "b": ["x", "y"]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert rows_of({"a": []}) == []


def test_set_columns_replaces_whole_columns_in_their_own_types():
    before = rows(3)
    after = set_columns(before, {"score": np.array([1, 2, 3]), "confidence": [0.5, float("nan"), None]})
    assert after["score"][:] == [1, 2, 3]
    assert after["confidence"][:] == [0.5, None, None]
    assert after.features == FEATURES and after.column_names == before.column_names
    assert before["score"][:] == [None] * 3


def test_set_columns_goes_by_the_rows_that_are_selected():
    chosen = rows(5).select([4, 0])
    after = set_columns(chosen, {"score": [4, 0]})
    assert after["id"][:] == chosen["id"][:] and after["score"][:] == [4, 0]


def test_the_fingerprint_of_set_columns_depends_on_the_values():
    before = rows(3)
    prints = [set_columns(before, {"score": v})._fingerprint for v in ([1, 2, 3], [1, 2, 4], [1, 2, None])]
    prints += [set_columns(before, {"cluster": [1, 2, 3]})._fingerprint, before._fingerprint]
    assert len(set(prints)) == 5
    assert set_columns(before, {"score": np.array([1, 2, 3])})._fingerprint == prints[0]


def test_set_columns_refuses_an_unknown_column_and_a_wrong_length():
    with pytest.raises(KeyError, match="colour"):
        set_columns(rows(3), {"colour": [1, 2, 3]})
    with pytest.raises(ValueError, match="3"):
        set_columns(rows(3), {"score": [1, 2]})
