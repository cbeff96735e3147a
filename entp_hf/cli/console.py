"""What the command line prints: plans, summaries, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ..config import EntpConfig

if TYPE_CHECKING:
    from ..pipeline.plan import Plan
    from ..purge.explain import Explained
    from ..schema import Row

ROOM = 40  # characters shown on either side of what a rule found or changed

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show_entry(name: str, remark: str, *lines: str) -> None:
    """One entry of a list: its name and a remark on a line, whole at any width, and indented lines below."""
    out.print(f"[bold]{escape(name)}[/bold] {escape(remark)}".rstrip())
    for line in lines:
        out.print(Padding(escape(line), (0, 0, 0, 4)))


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; the first column is text, the others numbers. Nothing for no rows."""
    if not rows:
        return
    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        show_edge=False,
        pad_edge=False,
        min_width=min(len(title), out.width),
    )  # the title would wrap at the columns' width
    for i, name in enumerate(head):
        made.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*(escape(shown(value)) for value in row))
    out.print(made)
    out.print()


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) >= 100):
        return f"{int(value):,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def show_plan(plan: Plan, sample: int = 0) -> None:
    """The dry run's findings; `sample` groups were asked for them."""
    table("Input", ["file", "form", "rows"], [[f["path"], f["form"], f["rows"]] for f in plan.files])
    if plan.marked:
        out.print(f"{plan.marked:,} of {plan.rows:,} rows can't be used as they are; the run marks them.\n")
    rows = [[what, low, high] for what, low, high in plan.lines]
    called = f"{sample} groups were asked" if sample else "nothing was called"
    table(f"What the run would do ({called})", ["", "at least", "at most"], rows)
    if plan.exact:
        least, most = next(line[1:] for line in plan.lines if line[0] == "LLM calls")
        more = "The calls are exact." if least == most else "Retries and later rounds add calls, up to the most told."
        out.print(f"Groups and prompts of the first round are the run's own. {more}\n")


def show_input(figures: Mapping[str, Any], reasons: bool = True) -> None:
    """What reading left out: rows by reason, then everything that the rows' messages don't hold.

    Args:
        figures: the manifest's `input`.
        reasons: whether the table of reasons is shown.

    """
    from ..io.reader import input_notes

    if reasons:
        table("Rows that can't be used", ["reason", "rows"], list(figures["marked"].items()))
    for note in input_notes(figures):
        out.print(f"input: {escape(note)}")


def show_summary(manifest: Mapping[str, Any]) -> None:
    """A run in tables: rows in and out, drops by rule, clusters, fusion, seconds, tokens."""
    show_input(manifest["input"], reasons=False)
    data, pool = manifest["dataset"], manifest["pool"]
    rows: list[list[Any]] = [["rows in", manifest["input"]["rows"]]]
    rows.append([f"low-quality pool ({pool['rule']})", pool["rows"]])
    rows += [["after the purge", manifest["purge"]["rows_out"]], ["clusters", manifest["clusters"]["k"]]]
    rounds = manifest["fusion"]["rounds"]
    for key, text in (("groups", "fusion groups"), ("fused", "fused by the model"), ("mosaic", "composed (mosaic)")):
        rows.append([text, sum(r[key] for r in rounds)])
    rows.append(["fusions refused by the gate", sum(r["attempts"] - r["fused"] for r in rounds)])
    rows += [[f"rows out: {origin}", n] for origin, n in sorted(data["by_origin"].items())] + [
        ["rows out", data["rows"]]
    ]
    table("Result", ["", "rows"], rows)
    if pool_of := data.get("accounts"):
        out.print(
            "{pool:,} rows of the pool = {fused:,} fused into others + {passed:,} passed through + "
            "{dropped:,} dropped with a reason + {unused:,} left unused.\n".format(**pool_of)
        )
    if data["rows"] < manifest["config"]["target_size"] == EntpConfig.target_size:
        out.print(
            f"{data['rows']:,} rows are all that the pool gave; target_size is at its default, "
            f"{EntpConfig.target_size:,}.\n"
        )
    rules = manifest["purge"]["rules"]
    found = [
        [name, *(r[k] for k in ("found", "repaired", "dropped", "flagged"))] for name, r in rules.items() if r["found"]
    ]
    table("Purge", ["rule", "found", "repaired", "dropped", "flagged"], found)
    reasons: dict[str, int] = {}
    for entry in rounds:
        for reason, number in entry["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + number
    table("Refused by the gate", ["reason", "times"], sorted(reasons.items(), key=lambda kv: -kv[1]))
    table("Rows not in the dataset", ["reason", "rows"], list(data["dropped_by"].items()))
    table(
        "Stages",
        ["stage", "rows in", "rows out", "seconds"],
        [[s["name"], s["rows_in"], s["rows_out"], round(s["seconds"], 1)] for s in manifest["stages"]],
    )
    tokens = manifest["tokens"]
    out.print(
        f"LLM calls {tokens['calls']:,} (of them {tokens['cached_calls']:,} from the cache), tokens "
        f"{tokens['prompt']:,} in and {tokens['completion']:,} out"
        + (f", cost {tokens['cost']:.4g}" if tokens["cost"] else "")
        + "."
    )
    show_warnings(manifest["warnings"])


def show_failed_calls(failed: Sequence[Mapping[str, Any]]) -> None:
    """A table of the calls that failed, by reason."""
    rows = [[entry["example"], entry["client"], entry["calls"]] for entry in failed]
    table("Failed calls (asked again by the next run)", ["reason", "model", "calls"], rows)


def show_warnings(warnings: Sequence[str]) -> None:
    """Warnings, if any."""
    for warning in warnings:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}")


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
