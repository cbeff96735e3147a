"""Output of a study: figures as JSON and CSV, the table as Markdown, and a page with plots."""

from __future__ import annotations

import csv
import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...reporting.plots import bar
from .measurements import MEANING, RUNS, SPREAD, Lines

FEW = 20  # a plot of more lines than this shows those that are not 0


def columns(lines: Lines) -> list[str]:
    """Names of the columns that hold anything; a measure's spread stands beside it in its cell."""
    found = {
        key for line in lines for key, value in line.items() if value is not None and not key.endswith((SPREAD, RUNS))
    }
    return [key for key in dict.fromkeys(key for line in lines for key in line) if key in found]


def cell(line: dict[str, Any], key: str, missing: str = "-") -> str:
    """A figure, with its standard deviation over the seeds where there are several."""
    value, spread = line.get(key), line.get(key + SPREAD)
    if value is None:
        return missing
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" + (f"\u00a0±\u00a0{spread:.2g}" if spread else "")


def legend(lines: Lines, seeds: int) -> list[str]:
    """What the columns mean, and what stands behind ±."""
    meanings = [f"{key}: {MEANING[key]}" for key in columns(lines) if key in MEANING]
    over = (
        f"Means over {seeds} seeds; ± is the standard deviation between them, that of one run."
        if seeds > 1
        else ("One seed: how much another would change is not known; --seeds 3 shows it.")
    )
    return [over, *meanings]


def markdown(lines: Lines) -> str:
    """The lines as a table."""
    head = columns(lines)
    rows = [[cell(line, key) for key in head] for line in lines]
    bars = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(bars) + "\n"


def write(result: dict[str, Any], plotted: Sequence[str], folder: Path) -> None:
    """study.json, table.md, table.csv and report.html."""
    lines = result["lines"]
    (folder / "study.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    notes = "".join(f"- {text}\n" for text in legend(lines, result["seeds"]))
    (folder / "table.md").write_text(f"{result['finding']}\n\n{markdown(lines)}\n{notes}", encoding="utf-8")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        names = [key for key in dict.fromkeys(key for line in lines for key in line) if not key.endswith(RUNS)]
        writer = csv.DictWriter(stream, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    (folder / "report.html").write_text(page(result, plotted), encoding="utf-8")


def page(result: dict[str, Any], plotted: Sequence[str]) -> str:
    """One HTML file without requests."""
    style = importlib.resources.files("entp_hf.templates").joinpath("report.css").read_text(encoding="utf-8")
    lines, head = result["lines"], columns(result["lines"])
    labels = [key for key in head if key in (*result["variants"][0]["label"], "round")]
    td = Markup("<td>{}</td>")
    rows = [head, *([cell(line, key, "–") for key in head] for line in lines)]
    table = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(td.format(v) for v in row)) for row in rows)
    text = Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title><style>{1}</style><main>'
        "<h1>{0}</h1><p>{2}</p><p>{3}</p><div class='wide'><table>{4}</table></div><ul>{5}</ul>{6}"
        "<p><code>{7}</code></p></main></html>\n"
    )
    told = Markup("").join(Markup("<li>{}</li>").format(entry) for entry in legend(lines, result["seeds"]))
    drawn = Markup("").join(_plot(lines, labels, measure) for measure in plotted)
    return str(
        text.format(
            result["study"], Markup(style), result["about"], result["finding"], table, told, drawn, result["command"]
        )
    )


def _plot(lines: Lines, labels: Sequence[str], measure: str) -> Markup:
    """Bars of one measure; "" where no line has it."""
    shown = [line for line in lines if line.get(measure) is not None and (len(lines) <= FEW or line[measure])]
    if not shown:
        return Markup("")
    names = [
        " ".join(str(line[key]) if len(labels) == 1 else f"{key} {line[key]}" for key in labels) for line in shown
    ]
    values = [float(line[measure]) for line in shown]
    drawing = bar(names, {measure: values}, f"{measure} by variant", [cell(line, measure) for line in shown])
    caption = f"{measure}: {MEANING[measure]}" if measure in MEANING else measure
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(drawing, caption)
