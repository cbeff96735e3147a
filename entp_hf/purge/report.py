"""Report of the purge, rule by rule: the manifest's `purge` section."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from datasets import Dataset

from ..execution.tables import column, each
from ..io.manifest import PurgeSection, RepairExample, RuleCounts
from ..rules.registry import DATASET_RULES, RULES
from ..schema import DroppedBy, instruction_of, response_of

SHARE, LEAST = 0.02, 20  # share of the rows, and rows at least, that a peer's test must find; not in a paper
# rule -> whose test, and the pattern that it looks for in a response
PEERS: dict[str, tuple[str, re.Pattern[str]]] = {
    "mojibake": ("ftfy's commonest", re.compile("Ã[\x80-\xbf]|â€")),
    "invisible_chars": ("dingo", re.compile("[\u200b\u2060\ufeff\u00ad\u202a-\u202e]")),
    "replacement_chars": ("dingo, DataFlow", re.compile("\ufffd")),
    "html_entities": ("DataFlow, dingo", re.compile(r"&(?:nbsp|amp|lt|gt|quot|#\d+);")),
    "html_tags": ("data-juicer", re.compile(r"</?(?:p|br|div|span|a|li|td|b|i)\b[^<>]*>")),
    "special_tokens": ("dingo", re.compile(r"<\|.*?\|>")),
    "boilerplate_tail": ("Cherry_LLM", re.compile(r"(?i)i hope this helps|let me know if|feel free to ask")),
    "empty_answer": ("self-instruct", re.compile(r"\A[\W_]*\Z")),
    "repetition": ("data-juicer", re.compile(r"(\b\w+\W+\w+\W+\w+\W+)\1\1\1")),
    "ends_with_colon": ("DataFlow, dingo", re.compile(r"[:：]\s*\Z")),
    "refusal": ("Cherry_LLM, open-instruct", re.compile(r"(?i)as an ai|i cannot (?:assist|help)|i'm sorry, but|抱歉")),
    "identity_leak": ("open-instruct", re.compile(r"(?i)\bchatgpt\b|openai|knowledge cutoff|language model")),
    "placeholder": ("AlpacaDataCleaned", re.compile(r"(?i)\[(?:insert|your)\b[^\]]*\]|\{\{\w+\}\}")),
    "url_load": ("NeMo Curator", re.compile(r"(?:https?://\S+\s*){2}")),
    "pii": ("datatrove", re.compile(r"\b[\w.+-]+@(?!example\.)[\w-]+\.\w{2,}\b")),
    "page_boilerplate": ("C4", re.compile(r"(?i)all rights reserved|uses? cookies|privacy policy")),
}

EXAMPLES = 5
_LONGEST = 2000  # characters of an example
Count = Literal["repaired", "dropped", "flagged"]
_COUNT: dict[str, Count] = {"repair": "repaired", "drop": "dropped", "flag": "flagged"}


def purge_report(
    before: Dataset,
    after: Dataset,
    seconds: Mapping[str, float] | None = None,
    warn_share: float = 0.1,
    ran: Collection[str] = (),
) -> PurgeSection:
    """Rows found, repaired, dropped and flagged by each rule, examples, and warnings.

    `before` and `after` hold the same rows in the same order. A row counts once for a rule and action. Warned of are
    rules that drop more than `warn_share` of the rows that came in alive (too strict), and rules of `ran` that find
    nothing where a plain reference test finds much (see `lenient_warnings`). Raises ValueError where the numbers of
    rows differ.
    """
    if len(before) != len(after):
        raise ValueError(
            f"{len(before)} rows before the purge, {len(after)} after; give the same rows in the same order"
        )
    alive = [i for i, gone in enumerate(_column(before, "dropped_by")) if not gone]
    dropped = _column(after, "dropped_by")
    counts: dict[str, RuleCounts] = {
        name: {
            "found": 0,
            "repaired": 0,
            "dropped": 0,
            "flagged": 0,
            "seconds": round((seconds or {}).get(name, 0.0), 4),
        }
        for name in (*RULES, *DATASET_RULES)
    }
    examples: dict[str, list[RepairExample]] = defaultdict(list)
    living = set(alive)
    for index, row in enumerate(each(after, "findings")):
        if index not in living:
            continue
        for rule, actions in _by_rule(f for f in row["findings"] or () if f["action"] in _COUNT).items():
            entry = counts.setdefault(rule, {"found": 0, "repaired": 0, "dropped": 0, "flagged": 0, "seconds": 0.0})
            entry["found"] += 1
            for action in {f["action"] for f in actions}:
                if action != "drop" or dropped[index] == DroppedBy.by_rule(rule):
                    entry[_COUNT[action]] += 1
            if len(examples[rule]) < EXAMPLES:
                examples[rule].append(_example(before[index], after[index], actions[0]))
    rows_out = sum(1 for i in alive if not dropped[i])
    warnings = share_warnings(counts, len(alive), warn_share)
    idle = [name for name in ran if name in counts and not counts[name]["found"]]
    asked = (row for i, row in enumerate(each(before, "messages")) if i in living)
    warnings += lenient_warnings(idle, asked, len(alive))
    return {
        "rows_in": len(alive),
        "rows_out": rows_out,
        "rules": counts,
        "warnings": warnings,
        "examples": dict(examples),
    }


def share_warnings(counts: Mapping[str, RuleCounts], rows: int, warn_share: float) -> list[str]:
    """Rules that drop more than `warn_share` of the rows that came in alive."""
    return [
        f"purge: rule {rule} dropped {entry['dropped']:.0f} of {rows} rows "
        f"({entry['dropped'] / rows:.0%}, warned of over {warn_share:.0%}); "
        "look at its examples, or leave it out with purge_off"
        for rule, entry in counts.items()
        if rows and entry["dropped"] > warn_share * rows
    ]


def _column(rows: Dataset, name: str) -> list[Any]:
    return column(rows, name) if name in rows.column_names else [None] * len(rows)


def _by_rule(findings: Any) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for finding in findings:
        grouped[finding["rule"]].append(finding)
    return grouped


def _example(before: Mapping[str, Any], after: Mapping[str, Any], finding: Mapping[str, Any]) -> RepairExample:
    """One row's field before and after; they are equal where the rule only marks it."""
    return {
        "id": before.get("id") or "",
        "before": _field(before, finding),
        "after": _field(after, finding),
        "action": finding["action"],
        "detail": finding["detail"] or finding["action"],
    }


def _field(row: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    field, turn = finding["field"], finding["turn"]
    if field == "input":
        return (row.get("input") or "")[:_LONGEST]
    if field == "instruction" and turn <= 1:
        return instruction_of(row)[:_LONGEST]
    if 0 <= turn < len(row["messages"]):
        return str(row["messages"][turn]["content"])[:_LONGEST]
    return response_of(row)[:_LONGEST]


def lenient_warnings(idle: Sequence[str], rows: Iterable[Mapping[str, Any]], total: int) -> list[str]:
    """A sentence for every rule of `idle` (they found nothing in `rows`) whose peer finds `SHARE` of `total` rows."""
    tests = [(name, *PEERS[name]) for name in idle if name in PEERS]
    counts = dict.fromkeys((name for name, _, _ in tests), 0)
    for row in rows if tests and total >= LEAST else ():
        response = response_of(row)
        for name, _, pattern in tests:
            counts[name] += pattern.search(response) is not None
    return [
        f"purge: rule {name} found nothing, where a plain test as in {peer} finds {counts[name]} of {total} rows; "
        "its threshold may be too lenient (purge_thresholds)"
        for name, peer, _ in tests
        if counts[name] >= max(LEAST, SHARE * total)
    ]
