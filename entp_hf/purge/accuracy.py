"""Precision and recall of the purge on labelled rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..schema import reason_of

# Reason of a row that the reader marked as unusable: the rule that would have found it.
_MARKED_ON_READING = {
    "null_response": "empty_answer", "empty_response": "empty_answer", "null_instruction": "broken_roles",
    "empty_instruction": "broken_roles", "no_turns": "broken_roles", "bad_turns": "broken_roles",
    "unknown_role": "broken_roles",
}  # fmt: skip


def found_in(row: Mapping[str, Any]) -> set[str]:
    """Names of the rules that fired on a row; a row marked on reading counts as found by the rule for its reason."""
    rules = {finding["rule"] for finding in row.get("findings") or () if finding.get("action") != "keep"}
    stage, reason = reason_of(row.get("dropped_by"))
    if stage == "input" and reason in _MARKED_ON_READING:
        rules.add(_MARKED_ON_READING[reason])
    return rules


def accuracy(rows: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 over (row, rule) pairs, and tp, fp, fn of every rule seen. `labels`: rules per row.

    Raises ValueError where rows and labels differ in number. A figure without a denominator is 0.
    """
    if len(rows) != len(labels):
        raise ValueError(f"{len(rows)} rows, but labels for {len(labels)}; give one list of rule names a row")
    hits, extra, missed = Counter[str](), Counter[str](), Counter[str]()
    for row, wanted in zip(rows, labels, strict=True):
        got, want = found_in(row), set(wanted)
        hits.update(got & want)
        extra.update(got - want)
        missed.update(want - got)
    rules = sorted({*hits, *extra, *missed})
    per_rule = {rule: _figures(hits[rule], extra[rule], missed[rule]) for rule in rules}
    return {**_figures(hits.total(), extra.total(), missed.total()), "rows": len(rows), "rules": per_rule}


def _figures(tp: int, fp: int, fn: int) -> dict[str, float]:
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    figures = {"precision": precision, "recall": recall, "f1": f1}
    return {**{name: round(value, 4) for name, value in figures.items()}, "tp": tp, "fp": fp, "fn": fn}
