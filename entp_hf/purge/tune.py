"""Thresholds tried on stored scores: the texts are not run through the rules again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from datasets import Dataset
from numpy import float32

from .registry import RULES

Row = dict[str, Any]
_DUPLICATES = ("near_duplicate", "semantic_duplicate")
# How a finding's score stands to the threshold where the rule finds something. Rules that aren't here compare more
# than one number, or repair.
SCORED: dict[str, Callable[[Any, Any], bool]] = {
    "echo": operator.ge, "truncated": operator.ge, "symbol_ratio": operator.gt, "url_load": operator.gt,
    "mixed_script": operator.gt, "flagged_words": operator.gt,
    "refusal": operator.le, "too_short": operator.lt, "filler_text": operator.gt,
    "near_duplicate": operator.ge, "semantic_duplicate": operator.ge,
}  # fmt: skip
_LESS = (operator.le, operator.lt)
_DROPS_ABOVE = ("filler_text",)  # their threshold parts flag from drop, so it can be moved either way


def rethreshold(rows: Dataset, thresholds: Mapping[str, float], ran: Mapping[str, float] | None = None) -> Dataset:
    """Purged rows as they would be under other thresholds; rows that are no longer dropped come back alive.

    `ran`: the thresholds that the rows were purged with, where they are not the rules' own. A threshold can only be
    made stricter, since what a looser one finds was not stored: run the rules once with loose ones, then tune. A
    duplicate is judged by the row that it was found to repeat. Raises ValueError for rules without a score and for
    looser thresholds.
    """
    from ..stage import set_columns

    _check(thresholds, ran or {})
    ids = rows["id"][:] if "id" in rows.column_names else [""] * len(rows)
    findings = [[dict(f) for f in found or ()] for found in rows["findings"]]
    dropped = list(rows["dropped_by"])
    back: set[tuple[str, str]] = set()
    for index, found in enumerate(findings):
        kept = [f for f in found if _stands(f, thresholds)]
        if len(kept) == len(found) and not any(f["rule"] in _DROPS_ABOVE for f in found):
            continue
        back |= {(ids[index], f["rule"]) for f in found if f not in kept and f["rule"] in _DUPLICATES}
        findings[index] = kept
        if dropped[index] is None or dropped[index].startswith("purge:"):
            dropped[index] = next((f"purge:{f['rule']}" for f in kept if f["action"] == "drop"), None)
    return set_columns(rows, {"findings": [_without(found, back) for found in findings], "dropped_by": dropped})


def _check(thresholds: Mapping[str, float], ran: Mapping[str, float]) -> None:
    for name, value in thresholds.items():
        if name not in SCORED:
            raise ValueError(f"{name} can't be tuned on stored scores; rules that can: {', '.join(SCORED)}")
        before = ran.get(name, RULES[name].threshold if name in RULES else None)
        if before is None or name in _DROPS_ABOVE:
            continue
        if value > before if SCORED[name] in _LESS else value < before:
            raise ValueError(
                f"{name}={value:g} is looser than the {before:g} of the purge; what it would find was "
                f"not stored. Purge once with purge_thresholds {name}={value:g}, then tune"
            )


def _stands(finding: Row, thresholds: Mapping[str, float]) -> bool:
    """Whether a finding is still one; those whose threshold parts flag from drop get their new action."""
    rule = finding["rule"]
    if rule not in thresholds or finding["action"] not in ("flag", "drop"):
        return True
    met = bool(SCORED[rule](float32(finding["score"]), float32(thresholds[rule])))
    if rule in _DROPS_ABOVE:
        finding["action"] = "drop" if met else "flag"
        return True
    return met


def _without(found: list[Row], back: set[tuple[str, str]]) -> list[Row]:
    """Findings "keep" of the rows that stayed, without the ids of duplicates that came back."""
    out = []
    for finding in found:
        if finding["action"] == "keep" and back:
            ids = [i for i in finding["detail"].split(", ") if (i, finding["rule"]) not in back]
            if not ids:
                continue
            finding = {**finding, "detail": ", ".join(ids)}
        out.append(finding)
    return out
