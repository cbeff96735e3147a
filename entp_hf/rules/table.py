"""The table of rules as Markdown: python -m entp_hf.rules.table. docs/purge.md holds what it prints."""

from __future__ import annotations

from typing import NamedTuple

from .registry import DATASET_RULES, RULES


class Line(NamedTuple):
    """A rule as the tables list it."""

    name: str
    code: str
    action: str
    threshold: str
    description: str


def lines() -> list[Line]:
    """Every rule, in the order in which findings are listed: first those of one row, then those of the dataset."""
    listed = []
    for rule in RULES.values():
        action = rule.action + (", repair" if rule.repairs and rule.action != "repair" else "")
        limit = "" if rule.threshold is None else f"{rule.threshold:g}"
        listed.append(Line(rule.name, rule.code, _switched(action, rule.default_on), limit, rule.description))
    for entry in DATASET_RULES.values():
        limit = "" if entry.threshold is None else f"{entry.setting} {entry.threshold:g}".strip()
        action = _switched(entry.action, entry.default_on)
        listed.append(Line(entry.name, entry.code, action, limit, entry.description))
    return listed


def _switched(action: str, default_on: bool) -> str:
    return action + ("" if default_on else " (off by default)")


def finds(name: str) -> str:
    """What a rule finds, in a few words; "" for a rule of one's own."""
    rule = RULES.get(name) or DATASET_RULES.get(name)
    return rule.description if rule else ""


def table() -> str:
    """One line a rule."""
    head = ["| rule | code | does | threshold | finds |", "|---|---|---|---|---|"]
    return "\n".join(
        head + [f"| `{name}` | {code} | {does} | {limit} | {what} |" for name, code, does, limit, what in lines()]
    )


if __name__ == "__main__":
    print(table())  # noqa: T201
