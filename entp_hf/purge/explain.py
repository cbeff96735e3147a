"""Findings of one row with their context: what `entp purge --explain` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..schema import Finding
from .purge import Purge


@dataclass(frozen=True)
class Explained:
    """A finding, the text before it in three pieces (the span in the middle), and the text after its repair."""

    finding: Finding
    before: str
    span: str
    behind: str
    after: str | None  # null where the finding repaired nothing

    @property
    def where(self) -> str:
        """Field and turn, in words."""
        return f"{self.finding.field}, turn {self.finding.turn}" if self.finding.turn >= 0 else "the row"


def explain(purge: Purge, row: Mapping[str, Any]) -> list[Explained]:
    """Run the rules over one row and keep, for each finding, the text as it was when the rule saw it."""
    result = purge.row(row["messages"], row.get("input") or "")
    out = []
    for finding, (text, after) in zip(result.findings, result.texts, strict=True):
        start, end = (finding.start, finding.end) if 0 <= finding.start <= finding.end else (0, 0)
        repaired = after if finding.action == "repair" else None
        out.append(Explained(finding, text[:start], text[start:end], text[end:], repaired))
    return out
