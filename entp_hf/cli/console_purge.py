"""What `entp purge` shows in the terminal: the rules' table, examples before and after, one row's findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from ..purge.explain import Explained
from ..schema import Row
from .console import out, show_warnings, table

ROOM = 40  # characters shown on either side of what a rule found or changed


def show_purge(report: Mapping[str, Any]) -> None:
    """The purge's table, up to five examples a rule, and warnings."""
    found = [
        [name, r["found"], r["repaired"], r["dropped"], r["flagged"], round(r["seconds"], 3)]
        for name, r in sorted(report["rules"].items(), key=lambda item: -item[1]["found"])
        if r["found"]
    ]
    table("Purge", ["rule", "found", "repaired", "dropped", "flagged", "seconds"], found)
    for name, examples in report["examples"].items():
        out.print(f"[bold]{escape(name)}[/bold]")
        for example in examples:
            _show_example(example)
    out.print()
    show_warnings(report["warnings"])


def _show_example(example: Mapping[str, str]) -> None:
    before, after = example["before"], example["after"]
    out.print(f"  {escape(example['id'])}  [dim]{escape(visible(example['detail'], 100))}[/dim]", highlight=False)
    if before == after:
        out.print(f"    {escape(visible(before, 3 * ROOM))}", highlight=False)
        return
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    begin = max(0, start - ROOM)
    for mark, style, text in (("-", "red", before), ("+", "green", after)):
        piece = ("…" if begin else "") + text[begin : start + 2 * ROOM] + ("…" if start + 2 * ROOM < len(text) else "")
        out.print(f"    [{style}]{mark} {escape(visible(piece, 4 * ROOM))}[/{style}]", highlight=False)


def visible(text: str, limit: int) -> str:
    """A text on one line, at most `limit` characters, line breaks and invisible characters spelt out."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in short)


def show_explained(row: Row, findings: Sequence[Explained]) -> None:
    """One row's findings in the order of the rules, each span marked ⟦so⟧ in the text that the rule saw."""
    out.print(f"[bold]row {escape(row['id'])}[/bold] ({escape(row['source'])}), {len(findings)} findings")
    if row["dropped_by"]:
        out.print(f"not looked at: {escape(row['dropped_by'])} ({escape(row['notes'])})")
    for explained in findings:
        finding = explained.finding
        head = f"[bold]{escape(finding.rule)}[/bold] {finding.action} in {explained.where}, score {finding.score:.3g}"
        out.print(f"\n{head}: {escape(visible(finding.detail, 200))}", highlight=False)
        before = ("…" if len(explained.before) > 2 * ROOM else "") + explained.before[-2 * ROOM :]
        behind = explained.behind[: 2 * ROOM] + ("…" if len(explained.behind) > 2 * ROOM else "")
        span = f"[bold reverse]⟦{escape(visible(explained.span, 400))}⟧[/bold reverse]" if explained.span else ""
        out.print(f"  {escape(visible(before, 400))}{span}{escape(visible(behind, 400))}", highlight=False)
        if explained.after is not None:
            out.print(f"  [green]=> {escape(visible(explained.after, 400))}[/green]", highlight=False)
