"""Try other thresholds on stored scores, without running the rules again."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy import float32

from ..config import EntpConfig
from ..execution.stage import set_columns
from ..execution.tables import blocks, column, each, spooled, tables
from ..rules.registry import DATASET_RULES, RULES
from ..rules.selection import dataset_rules_off, default_threshold
from ..schema import DroppedBy, Finding, is_purged
from .dataset_rules import CORPUS, found_in
from .purge import Purge

Row = dict[str, Any]
_DUPLICATES = ("near_duplicate", "semantic_duplicate")
# How a finding's score stands to the threshold where the rule finds something. Rules that aren't here compare more
# than one number, or repair.
SCORED: dict[str, Callable[[Any, Any], bool]] = {
    "echo": operator.ge, "copied_block": operator.ge, "truncated": operator.ge, "symbol_ratio": operator.gt,
    "url_load": operator.gt, "mixed_script": operator.gt, "flagged_words": operator.gt,
    "refusal": operator.le, "too_short": operator.lt, "filler_text": operator.gt,
    "length_pileup": operator.ge, "off_topic": operator.lt, "instruction_difficulty": operator.gt,
    "near_duplicate": operator.ge, "semantic_duplicate": operator.ge,
}  # fmt: skip
# The thresholds from which `loosest` stores scores, so that they can be made looser too.
LOOSEST = {
    "echo": 0.5, "copied_block": 0.6, "truncated": 5.0, "symbol_ratio": 0.1, "url_load": 0.05, "mixed_script": 0.02,
    "flagged_words": 0.001, "refusal": 400.0, "too_short": 20.0,
    "length_pileup": 2.0, "off_topic": 100.0, "instruction_difficulty": 0.0,  # the last two: every row's score
}  # fmt: skip
_LESS = (operator.le, operator.lt)
_DROPS_ABOVE = ("filler_text",)  # their threshold parts flag from drop, so it can be moved either way
_ORDER = {name: i for i, name in enumerate(dict.fromkeys((*RULES, "", "contamination", *DATASET_RULES)))}  # "": own


def loosest(purge: Purge, rows: Dataset) -> Iterator[list[Row]]:
    """What the rules of `LOOSEST` would find in each purged row at the loosest thresholds: every score worth a trial.

    Rows that a stage before the purge dropped have none, since the purge did not look at them.
    """
    wanted = tuple(name for name in purge.names() if name in LOOSEST)
    loose = tuple((name, limit) for name, limit in LOOSEST.items() if name in RULES)
    if not wanted:
        yield from ([] for _ in range(len(rows)))
        return
    scoring = replace(purge, rules=wanted, thresholds=loose, off=())
    names = [name for name in ("messages", "input", "dropped_by") if name in rows.column_names]
    for block in blocks(rows, names):
        batch = block.to_pydict()
        gone = batch.get("dropped_by") or [None] * len(block)
        batch["dropped_by"] = [None if is_purged(reason) else reason for reason in gone]
        yield from scoring(batch)["findings"]


def loosest_of_all(rows: Dataset, config: EntpConfig, drop: Sequence[str] = ()) -> Iterator[list[Row]]:
    """The same of the rules of `corpus` that ran, beside all purged rows: those that are kept, then those dropped.

    Embeddings and losses come from the cache. Rows that these rules were not given have none.
    """
    late = {None, *(DroppedBy.by_rule(name) for name in DATASET_RULES if name != "contamination")}
    alive = np.array([reason in late for reason in column(rows, "dropped_by")], bool)
    off = {*dataset_rules_off(config.purge_rules, config.purge_off), *(set(CORPUS) - set(LOOSEST))}
    found: dict[int, list[Finding]] = defaultdict(list)
    for _, index, finding in found_in(rows, alive, config, LOOSEST, off, drop):
        found[index].append(finding)
    yield from ([finding.as_dict() for finding in found.get(i, ())] for i in range(len(rows)))


def rethreshold(
    rows: Dataset,
    thresholds: Mapping[str, float],
    ran: Mapping[str, float] | None = None,
    scores: Iterable[Sequence[Row]] | None = None,
) -> Dataset:
    """Purged rows as they would be under other thresholds; rows that are no longer dropped come back alive.

    `ran`: the thresholds that the rows were purged with, where they are not the rules' own. `scores`: what `loosest`
    gave for the rows, in their order. Without it, and for rules over the whole dataset, a threshold can only be made
    stricter, since what a looser one finds was not stored. A duplicate is judged by the row that it was found to
    repeat. Raises ValueError for rules without a score and for thresholds looser than what was stored.
    """
    _check(thresholds, ran or {}, scores is not None)
    back: set[tuple[str, str]] = set()
    dropped: list[str | None] = []

    def judged() -> Iterator[list[Row]]:
        stored = repeat(None) if scores is None else scores
        names = [name for name in ("id", "findings", "dropped_by") if name in rows.column_names]
        for row, ours in zip(each(rows, *names), stored, strict=scores is not None):
            found = row["findings"] or []
            given = [dict(f) for f in found]  # `found` stays as it is, to be compared with
            given = given if ours is None else _with_stored(given, ours, thresholds)
            kept = [f for f in given if _stands(f, thresholds)]
            back.update((row.get("id", ""), f["rule"]) for f in found if f["rule"] in _DUPLICATES and f not in kept)
            gone = row["dropped_by"]
            if kept != found and (gone is None or is_purged(gone)):
                gone = next((DroppedBy.by_rule(f["rule"]) for f in kept if f["action"] == "drop"), None)
            dropped.append(gone)
            yield kept

    findings = _on_disk(judged(), rows)
    if back:
        known = (found for chunk in findings.chunks for found in chunk.to_pylist())
        findings = _on_disk((_without(found, back) for found in known), rows)
    return set_columns(rows, {"findings": findings, "dropped_by": dropped})


def _on_disk(findings: Iterable[list[Row]], rows: Dataset) -> pa.ChunkedArray:
    """A column `findings` for the rows."""
    schema = pa.schema([rows.features.arrow_schema.field("findings")])
    return spooled(tables(({"findings": found} for found in findings), schema), schema)["findings"]


def _with_stored(found: list[Row], stored: Sequence[Row], thresholds: Mapping[str, float]) -> list[Row]:
    """A row's findings with the stored ones of the rules in question in place of its own, in the rules' order."""
    asked = [dict(f) for f in stored if f["rule"] in thresholds]
    tuned = {name for name in thresholds if name in LOOSEST}
    left = [f for f in found if f["rule"] not in tuned]
    repairs = [f for f in left if f["action"] == "repair"]
    marks = [f for f in left if f["action"] != "repair"] + asked
    return repairs + sorted(marks, key=lambda f: _ORDER.get(f["rule"], _ORDER[""]))


def _check(thresholds: Mapping[str, float], ran: Mapping[str, float], stored: bool) -> None:
    for name, value in thresholds.items():
        if name not in _ORDER and ":" not in name:
            near = get_close_matches(name, SCORED, n=1)
            raise ValueError(f"no rule {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        if name not in SCORED:
            raise ValueError(
                f"{name} can't be tuned on stored scores: it repairs, or compares more than one number. Rules that "
                f"can: {', '.join(SCORED)}. Purge again with purge_thresholds {name}={value:g}"
            )
        before = LOOSEST[name] if stored and name in LOOSEST else ran.get(name, default_threshold(name))
        if before is None or name in _DROPS_ABOVE:
            continue
        if value > before if SCORED[name] in _LESS else value < before:
            raise ValueError(f"{name}={value:g} is looser than {_why(name, before, stored)}")


def _why(name: str, before: float, stored: bool) -> str:
    setting = name if name in _DUPLICATES else "purge_thresholds"
    if name not in LOOSEST:
        return (
            f"the {before:g} of the purge, and rows less alike were not compared. Purge again with another {setting}"
        )
    if stored:
        return f"{before:g}, from which scores are stored. Purge again with a looser {setting}"
    return (
        f"the {before:g} of the purge; what it would find was not stored. "
        f"Purge once with a looser {setting}, then tune"
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
