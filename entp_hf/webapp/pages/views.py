"""HTML of a run: progress, plan, summary, figures. Every text of the data is escaped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...io.manifest import record_of
from ...pipeline.plan import Plan
from ...reporting.formatting import clean, duration, num, squash
from ...reporting.sections import mix, overview, purge, ratings
from ...schema import STAGES, origin_label
from ..inputs import PoolInput
from ..jobs.runs import Run
from .results import Results

PLANNED = {
    "low-quality pool, rows": "rows taken up for repair and merging", "rows embedded": "rows compared by content",
    "fusion groups": "groups of rows to be merged", "LLM calls": "calls of the language model",
    "prompt tokens, about": "pieces of words (tokens) that it reads, about",
    "reply tokens, about": "pieces of words (tokens) that it writes, about",
}  # fmt: skip
RATES = "A line of the table is a true score; its cells say how often each rating is given to rows of it."
WHERE = {
    "queued": "waiting", "running": "running", "done": "finished", "failed": "failed", "cancelled": "cancelled",
    "interrupted": "interrupted",
}  # fmt: skip


def html(template: str, *values: Any) -> Markup:
    """The template with escaped values."""
    return Markup(template).format(*(clean(v) if type(v) is str else v for v in values))


def joined(parts: Iterable[Markup]) -> Markup:
    """Parts one after the other."""
    return Markup("").join(parts)


def note(text: str, kind: str = "hint") -> str:
    """A line of text; line ends are kept."""
    return str(html('<p class="{}" role="status">{}</p>', kind, text))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], name: str, numbers: bool = True) -> Markup:
    """A table; with `numbers`, all columns but the first are aligned as such."""
    cell = "n" if numbers else ""
    top = joined(html('<th scope="col" class="{}">{}</th>', cell if i else "", title) for i, title in enumerate(head))
    lines = joined(
        html("<tr>{}</tr>", joined(html('<td class="{}">{}</td>', cell if i else "", v) for i, v in enumerate(row)))
        for row in rows
    )
    frame = '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>'
    return html(frame + "<tbody>{}</tbody></table></div>", name, top, lines)


def preview(given: PoolInput) -> str:
    """The first rows of an input."""
    shown = f"{given.rows:,} rows in {given.name}" + (f", of the form {given.form}." if given.form else ".")
    cells = [
        [
            squash(json.dumps(v) if isinstance(v, (list, dict)) else "" if v is None else v, 120)
            for v in (row.get(c) for c in given.columns)
        ]
        for row in given.first
    ]
    body = table(given.columns, cells, "First rows", numbers=False)
    return str(html('<div class="entp"><p><strong>{}</strong> The first ones:</p>{}</div>', shown, body))


def plan_view(plan: Plan, calls_model: bool) -> str:
    """What a run would do."""
    rows = [
        [what.replace("minutes", "time"), duration(60 * low), duration(60 * high)]
        if what.startswith("minutes")
        else [PLANNED.get(what, what), _figure(low), _figure(high)]
        for what, low, high in plan.lines
    ]
    lead = html(
        "<p>{} rows were read{}. Nothing was asked of a model yet.</p>",
        f"{plan.rows:,}",
        f", {plan.marked:,} of them can't be used as they are" if plan.marked else "",
    )
    after = "" if calls_model else " No model will be asked, so it costs nothing."
    tail = html('<p class="hint">Where two figures stand, the run itself decides between them.{}</p>', after)
    return str(html('<div class="entp">{}{}{}</div>', lead, table(["", "at least", "at most"], rows, "Plan"), tail))


def _figure(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) and 0 < value < 10 else f"{value:,.0f}"


def progress(run: Run, place: int) -> str:
    """How a run goes: each stage with its count, and the time left of what is being done."""
    state = html('<p class="state {}" role="status" aria-live="polite">{}</p>', run.state, _state(run, place))
    steps = joined(_step(run, name, words.title) for name, words in STAGES.items())
    error = html('<p class="warn">{}</p>', run.error) if run.error else Markup("")
    frame = '<ol class="steps">{}</ol>'
    if run.state == "done":
        frame = f"<details><summary>How it went</summary>{frame}</details>"
    return str(html('<div class="entp">{}{}{}</div>', state, error, html(frame, steps)))


def _state(run: Run, place: int) -> str:
    if run.state == "queued":
        return f"Waiting: {place} run{'s' if place != 1 else ''} before this one." if place else "Starting…"
    spent = duration((run.ended or time.time()) - run.began) if run.began else ""
    return f"{run.source}: {WHERE[run.state]}{f', {spent}' if spent else ''}."


def _step(run: Run, name: str, words: str) -> Markup:
    mine = [entry for entry in run.news if entry["stage"] == name]
    latest = run.news[-1]["stage"] if run.news else ""
    if not mine:
        return html('<li class="todo">{}</li>', words)
    going = latest == name and run.state == "running"
    entry = mine[-1]
    count = f"{entry['done']:,} of {entry['total']:,}" if entry["what"] and entry["total"] else ""
    what = f" ({entry['what']})" if entry["what"] not in ("", name) else ""
    left, bar = "", Markup("")
    if going and entry["done"] and entry["total"]:
        seconds = (entry["now"] - entry["began"]) * (entry["total"] / entry["done"] - 1)
        left = f", about {duration(seconds)} left" if entry["done"] < entry["total"] else ""
        bar = html('<progress max="{}" value="{}" aria-label="{}"></progress>', entry["total"], entry["done"], words)
    kind = "now" if going else "did"
    return html('<li class="{}">{} <span class="hint">{}{}{}</span>{}</li>', kind, words, count, what, left, bar)


def summary(results: Results) -> str:
    """Key figures and warnings."""
    tile = '<div class="tile"><dt>{}</dt><dd><span class="figure">{}</span><span class="what">{}</span></dd></div>'
    tiles = joined(html(tile, *parts) for parts in overview.headline(record_of(results.manifest)))
    warned = joined(html("<li>{}</li>", warning) for warning in results.manifest["warnings"])
    box = html('<div class="warn"><strong>Warnings</strong><ul>{}</ul></div>', warned) if warned else Markup("")
    origins = results.manifest["dataset"]["by_origin"]
    made = table(
        ["where the rows come from", "rows"], [[origin_label(k), num(n)] for k, n in origins.items()], "Origins"
    )
    varied = mix.diversity(record_of(results.manifest))
    diversity = (
        table(
            [f"diversity, {num(varied['rows'])} rows of each", "as they came in", "of the dataset"],
            varied["lines"],
            "Diversity before and after",
        )
        if varied
        else Markup("")
    )
    return str(html('<div class="entp"><dl class="tiles">{}</dl>{}{}{}</div>', tiles, box, made, diversity))


def figures(manifest: Mapping[str, Any]) -> str:
    """The report's plots."""
    record = record_of(manifest)
    found = mix.clusters(record) or {}
    data, did = overview.dataset(record) or {}, ratings.correction(record) or {}
    maps = [(f"How {name or 'the rater'} rates", RATES, plot) for name, plot in did.get("maps", [])]
    plots = [
        (
            "Rows after each stage",
            "Each bar is as wide as the rows that were left.",
            (overview.stages(record) or {}).get("funnel"),
        ),
        (
            "Ratings before and after correction",
            "Raw ratings against corrected scores.",
            (ratings.ratings(record) or {}).get("plot"),
        ),
        *maps,
        ("What each rule did", "Rows repaired, dropped and flagged.", (purge.purge(record) or {}).get("plot")),
        (
            "Rows left out, by reason",
            "They are kept aside; used-up rows live on in merged ones.",
            data.get("dropped_by"),
        ),
        (
            "Separation by number of clusters",
            "How well rows of one cluster hold together; ringed: the number chosen.",
            found.get("curve"),
        ),
        (
            "Map of the rows",
            "Rows alike in content lie near each other; rings are representatives. Point at one.",
            found.get("map"),
        ),
    ]
    shown = joined(
        html("<figure><figcaption><strong>{}</strong>{}</figcaption>{}</figure>", name, how, plot)
        for name, how, plot in plots
        if plot
    )
    return str(html('<div class="entp"><div class="pair">{}</div></div>', shown))
