"""The experiment's one table, as Markdown, CSV and LaTeX, and what it says in plain words."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...evaluation.benchmarks import BENCHMARKS
from ...evaluation.paired_bootstrap import LEVEL, Paired, in_words, mean_and_error, paired, paired_average
from ...evaluation.suite import HELDOUT, headlines
from .config import Experiment
from .runner import Outcome

AVERAGE = "average"  # of the paper's benchmarks, the last column of its table


@dataclass(frozen=True)
class Cell:
    """One arm on one task: mean over seeds and items, its standard error, and the difference to the reference."""

    mean: float
    error: float
    items: int
    against: Paired | None


@dataclass(frozen=True)
class Line:
    """One arm of one size with one model: `rows` trained on, `seeds` averaged over, and its cells by task."""

    arm: str
    model: str
    size: int
    rows: int
    seeds: int
    cells: dict[str, Cell]


def lines_of(outcomes: Sequence[Outcome], experiment: Experiment) -> list[Line]:
    """Outcomes averaged over seeds, in the experiment's order. Base is compared within each size's reference."""
    together: dict[tuple[str, str, int], list[Outcome]] = {}
    for outcome in outcomes:
        together.setdefault((outcome.run.model, outcome.run.arm.name, outcome.run.size), []).append(outcome)
    found = []
    for (model, arm, size), group in together.items():
        reference = together.get((model, experiment.reference, size)) or together.get(
            (model, experiment.reference, experiment.sizes[0] if size == 0 else 0)
        )
        cells = {
            name: _cell(group, reference if arm != experiment.reference else None, task, metric)
            for name, task, metric in headlines(group[0].found)
        }
        if average := _average(group, reference if arm != experiment.reference else None):
            cells[AVERAGE] = average
        found.append(Line(arm, model, size, group[0].rows, len(group), cells))
    return found


def _cell(group: Sequence[Outcome], reference: Sequence[Outcome] | None, task: str, metric: str) -> Cell:
    values = _matrix(group, task, metric)
    weight = group[0].found.items[task].get("tokens")
    against = paired(_matrix(reference, task, metric), values, weight) if reference else None
    return Cell(*mean_and_error(values, weight), values.shape[1], against)


def _average(group: Sequence[Outcome], reference: Sequence[Outcome] | None) -> Cell | None:
    """The mean of the paper's benchmarks that were run, each counting the same; None with fewer than two."""
    known = [(task, metric) for name, task, metric in headlines(group[0].found) if name in BENCHMARKS]
    if len(known) < 2:
        return None
    values = [_matrix(group, *which) for which in known]
    means, errors = zip(*map(mean_and_error, values), strict=True)
    against = None
    if reference:
        against = paired_average(
            [(_matrix(reference, *which), mine) for which, mine in zip(known, values, strict=True)]
        )
    error = math.sqrt(sum(error**2 for error in errors)) / len(known)
    return Cell(float(np.mean(means)), error, sum(matrix.shape[1] for matrix in values), against)


def _matrix(group: Sequence[Outcome], task: str, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([outcome.found.items[task][metric] for outcome in group], dtype=float)


def sentences(lines: Sequence[Line], reference: str) -> list[str]:
    """One for each arm and task: better, worse, or no difference that the data can show."""
    told = []
    for line in lines:
        for task, cell in line.cells.items():
            if cell.against is not None:
                arm = line.arm + (f" ({line.size:,} rows)" if line.size else "")
                told.append(in_words(cell.against, reference, arm, task, task != HELDOUT))
    return told


def verdict(lines: Sequence[Line], reference: str) -> str:
    """The whole table in one paragraph."""
    cells = [(line.arm, task, cell.against) for line in lines for task, cell in line.cells.items() if cell.against]
    shown = [(arm, task, p) for arm, task, p in cells if p.shown]
    better = [f"{arm} on {task}" for arm, task, p in shown if (p.difference > 0) == (task != HELDOUT)]
    worse = [f"{arm} on {task}" for arm, task, p in shown if (p.difference > 0) != (task != HELDOUT)]
    text = f"Of {len(cells)} comparisons with {reference}, {len(shown)} have an interval that leaves out 0"
    by_chance = len(cells) * (1 - LEVEL)
    text += f" (about {by_chance:.1f} would by chance if nothing differed)."
    text += f" Better than {reference}: {', '.join(better)}." if better else f" No arm is better than {reference}."
    text += f" Worse: {', '.join(worse)}." if worse else ""
    if len(shown) < len(cells):
        text += " For the rest these data show no difference; more items, rows or seeds would be needed to tell."
    return text


def header(lines: Sequence[Line]) -> list[str]:
    """Names of the columns, in order of first appearance."""
    return list(dict.fromkeys(task for line in lines for task in line.cells))


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    spread = "" if math.isnan(cell.error) else f" ± {cell.error:.3f}"
    told = f"{cell.mean:.3f}{spread}"
    if cell.against is not None:
        mark = "*" if cell.against.shown else ""
        told += f" ({cell.against.difference:+.3f}{mark} [{cell.against.low:+.3f}, {cell.against.high:+.3f}])"
    return told


def _rows(lines: Sequence[Line]) -> list[list[str]]:
    tasks = header(lines)
    several = len({line.model for line in lines}) > 1
    return [
        [
            f"{line.arm}, {line.model.split('/')[-1]}" if several else line.arm,
            f"{line.rows:,}",
            str(line.seeds),
            *(_text(line.cells.get(task)) for task in tasks),
        ]
        for line in lines
    ]


def markdown(lines: Sequence[Line], reference: str) -> str:
    """The table with its legend."""
    head = ["arm", "rows", "seeds", *header(lines)]
    out = ["| " + " | ".join(head) + " |", "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"]
    out += ["| " + " | ".join(cells) + " |" for cells in _rows(lines)]
    return "\n".join(out) + f"\n\n{legend(reference)}\n"


def legend(reference: str) -> str:
    """What the figures in a cell are."""
    return (
        f"Mean ± standard error over items; in brackets the paired difference to {reference} and its {LEVEL:.0%} "
        f"bootstrap interval over items and seeds, * where it leaves out 0. {HELDOUT}: loss in nats a token, "
        "lower is better; all else: share of items, higher is better. "
        f"{AVERAGE}: of the benchmarks, each counting the same."
    )


def comma_separated(lines: Sequence[Line]) -> str:
    """One line for each arm and task, all figures unrounded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = ["arm", "model", "size", "rows", "seeds", "task", "mean", "stderr", "items", "difference", "low", "high"]
    writer.writerow(names)
    for line in lines:
        for task, cell in line.cells.items():
            by = cell.against
            told = [by.difference, by.low, by.high] if by else ["", "", ""]
            error = "" if math.isnan(cell.error) else cell.error
            writer.writerow(
                [line.arm, line.model, line.size, line.rows, line.seeds, task, cell.mean, error, cell.items, *told]
            )
    return stream.getvalue()


def latex(lines: Sequence[Line], reference: str) -> str:
    """A booktabs table."""
    head = ["arm", "rows", "seeds", *header(lines)]

    def safe(text: str) -> str:
        for sign in "&%_#$":
            text = text.replace(sign, "\\" + sign)
        return text.replace("±", "$\\pm$").replace("*", "$^*$")

    body = [" & ".join(safe(cell) for cell in cells) + r" \\" for cells in [head, *_rows(lines)]]
    rules = [r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}", r"\toprule", body[0], r"\midrule", *body[1:]]
    return "\n".join([*rules, r"\bottomrule", r"\end{tabular}", f"% {legend(reference)}"]) + "\n"
