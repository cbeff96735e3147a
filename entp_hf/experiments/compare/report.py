"""Output of `entp compare`: table, report with plots, and all figures as JSON."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ...evaluation.suite import HELDOUT
from ...execution.source_hash import source_hash
from ...io.manifest import installed_versions
from ...reporting.plots import grouped_bar
from . import table
from .config import Experiment
from .runner import Outcome, runs_of

PAGE = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style><main>'
    "<h1>{title}</h1><p>{verdict}</p><h2>Table</h2><div class='wide'>{table}</div><p>{legend}</p><h2>Plots</h2>{plots}"
    "<h2>Comparisons</h2><ul>{told}</ul><h2>How the rows were chosen</h2><ul>{notes}</ul></main></html>\n"
)


def write_results(outcomes: Sequence[Outcome], experiment: Experiment, folder: Path, command: str) -> list[table.Line]:
    """Write results.json, table.md, table.csv, table.tex and report.html; returns the table's lines."""
    lines = table.lines_of(outcomes, experiment)
    reference = experiment.reference
    (folder / "table.md").write_text(table.markdown(lines, reference), encoding="utf-8")
    (folder / "table.csv").write_text(table.comma_separated(lines), encoding="utf-8")
    (folder / "table.tex").write_text(table.latex(lines, reference), encoding="utf-8")
    (folder / "report.html").write_text(page(lines, outcomes, reference), encoding="utf-8")
    figures = results(outcomes, lines, experiment, command)
    (folder / "results.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return lines


def results(
    outcomes: Sequence[Outcome], lines: Sequence[table.Line], experiment: Experiment, command: str
) -> dict[str, Any]:
    """All figures but single items: command, versions, experiment, table, runs, findings."""
    return {
        "command": command,
        "versions": installed_versions(),
        "source_hash": source_hash(),
        "runs_finished": len(outcomes),
        "runs_planned": len(list(runs_of(experiment))),
        "experiment": {k: v for k, v in experiment.to_dict().items() if k != "data_dir"},
        "finding": table.verdict(lines, experiment.reference),
        "comparisons": table.sentences(lines, experiment.reference),
        "table": [_without_nan(dataclasses.asdict(line)) for line in lines],
        "runs": [
            {
                "arm": o.run.arm.name,
                "size": o.run.size,
                "seed": o.run.seed,
                "model": o.run.model,
                "rows": o.rows,
                "training": o.training,
                "seconds": o.seconds,
                "notes": o.notes,
                "metrics": {t: m for t, m in o.found.metrics.items() if not t.startswith(("mmlu_", "bbh_cot"))},
            }
            for o in outcomes
        ],
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and value != value else value


def page(lines: Sequence[table.Line], outcomes: Sequence[Outcome], reference: str) -> str:
    """The report as one HTML file without requests."""
    style = importlib.resources.files("entp_hf.templates").joinpath("report.css").read_text(encoding="utf-8")
    notes = list(dict.fromkeys(f"{o.run.arm.name}: {note}" for o in outcomes for note in o.notes))
    return str(
        PAGE.format(
            title="Fine-tuning on different selections of one pool",
            style=Markup(style),
            verdict=table.verdict(lines, reference),
            table=_html_table(lines),
            legend=table.legend(reference),
            plots=Markup("").join(_plot(lines, task) for task in table.header(lines)),
            told=_items(table.sentences(lines, reference)),
            notes=_items(notes or ["No selection left a note."]),
        )
    )


def _items(texts: Sequence[str]) -> Markup:
    return Markup("").join(Markup("<li>{}</li>").format(text) for text in texts)


def _html_table(lines: Sequence[table.Line]) -> Markup:
    rows = [text.strip("| ").split(" | ") for text in table.markdown(lines, "").split("\n\n")[0].split("\n")]
    cell = [Markup("").join(Markup("<td>{}</td>").format(text) for text in row) for row in [rows[0], *rows[2:]]]
    return Markup("<table>{}</table>").format(Markup("").join(Markup("<tr>{}</tr>").format(row) for row in cell))


def _plot(lines: Sequence[table.Line], task: str) -> Markup:
    chosen = [line for line in lines if task in line.cells]
    names = [line.arm + (f" {line.size}" if len({x.size for x in chosen if x.size}) > 1 else "") for line in chosen]
    unit = "loss, nats a token (lower is better)" if task == HELDOUT else "share of items"
    errors: list[float | None] = [line.cells[task].error for line in chosen]
    shown = [None if error is None or error != error else error for error in errors]
    values = [line.cells[task].mean for line in chosen]
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(
        grouped_bar(names, {task: values}, f"{task} by arm", "", {task: shown}), escape(f"{task}: {unit}")
    )
