"""HTML of rows: generated rows beside their parents, repairs as diffs, lists, and a run's files as links."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from ...reporting.formatting import clean, cut, num, share, squash, visible, word_diff
from ...schema import origin_label, shown_turn, text_of
from ...text.words import content_words
from .downloads import FILES
from .results import Results, facts_of
from .views import html, joined, note

WORDS = re.compile(r"\w+|\W+")
GATE = {
    "similarity": "nearness to its parents", "novelty": "what no parent has",
    "coverage": "least share of a parent kept",
    "parent_similarity": "nearness to the parent farthest from it",
    "sentence": "least nearness of a sentence to its parents", "margin": "how far over the nearest bound",
    "repeats": "share that it says twice", "surplus": "items listed for each that was asked for",
    "copy": "share copied from one parent", "duplicate": "nearness to another made row",
}  # fmt: skip


def lineage(results: Results, key: str) -> str:
    """A made row beside its parents: what each gave, what the rules found, and the gate's figures."""
    row = results.get(key)
    if row is None:
        return note("There is no such row.")
    marks = json.loads(row["gate"] or "{}")
    gate = joined(
        html("<li>{} <strong>{}</strong></li>", GATE.get(name, name), num(value)) for name, value in marks.items()
    )
    gate = html('<ul class="gate" aria-label="Figures of the check">{}</ul>', gate) if gate else Markup("")
    made = html('<div class="side made"><h3>Made row</h3>{}{}{}</div>', _facts(row), gate, _turns(row))
    sides = []
    for number, (parent_id, parent, covered) in enumerate(results.parents(row), 1):
        if parent is None:
            sides.append(
                html('<div class="side"><h3>Parent {}</h3><p>{} is not at hand.</p></div>', number, parent_id)
            )
            continue
        gave = html("<p>{} of its content words are in the made row (marked).</p>", share(covered))
        sides.append(
            html(
                '<div class="side"><h3>Parent {}</h3>{}{}{}{}</div>',
                number,
                gave,
                _facts(parent),
                _turns(parent, content_words(text_of(row))),
                _findings(parent),
            )
        )
    both = html('<div class="sides">{}<div class="parents">{}</div></div>', made, joined(sides))
    return str(html('<div class="entp">{}</div>', both))


def _facts(row: Mapping[str, Any]) -> Markup:
    return html('<p class="facts">{}</p>', " · ".join(f"{name} {squash(value, 80)}" for name, value in facts_of(row)))


def _turns(row: Mapping[str, Any], known: set[str] | None = None) -> Markup:
    return joined(
        html(
            '<p class="role">{}</p><div class="text" dir="auto" tabindex="0">{}</div>',
            turn["role"],
            _marked(shown_turn(turn), known),
        )
        for turn in row["messages"]
    )


def _marked(text: str, known: set[str] | None) -> Markup:
    text = cut(text)
    if not known:
        return escape(clean(text))
    return joined(
        html("<mark>{}</mark>", part) if content_words(part) & known else escape(clean(part))
        for part in WORDS.findall(text)
    )


def _findings(row: Mapping[str, Any]) -> Markup:
    lines = joined(
        html("<li>{} ({}): {} {}</li>", f["rule"], f["field"], f["action"], squash(f["detail"] or "", 120))
        for f in row["findings"]
    )
    return html('<p class="role">what the rules found</p><ul>{}</ul>', lines) if lines else Markup("")


def repairs(results: Results, places: Sequence[tuple[str, int]]) -> str:
    """Repaired rows with what was taken out and put in."""
    shown = []
    for place in places:
        row = results.at(place)
        diff = word_diff(results.before(row), text_of(row))
        side = '<div class="side">{}<div class="text" dir="auto" tabindex="0">{}</div>{}</div>'
        shown.append(html(side, _facts(row), diff, _findings(row)))
    return _list(shown, "No repaired row has these words.")


def rows(results: Results, places: Sequence[tuple[str, int]]) -> str:
    """Rows with their facts and findings."""
    shown = []
    for place in places:
        row = results.at(place)
        head = html(
            '<summary>{} <span class="badge">{}</span></summary>',
            visible(results.label(place)),
            row["dropped_by"] or origin_label(row["origin"]),
        )
        shown.append(html("<details>{}{}{}{}</details>", head, _facts(row), _turns(row), _findings(row)))
    return _list(shown, "No row has these words.")


def downloads(run_id: str) -> str:
    """The files of a run as links."""
    line = '<li><a href="runs/{}/{}" download>{}</a> <span class="hint">{}</span></li>'
    listed = joined(html(line, run_id, name, name, what) for name, (_, what) in FILES.items())
    return str(html('<div class="entp"><ul class="files">{}</ul></div>', listed))


def _list(shown: list[Markup], nothing: str) -> str:
    return str(html('<div class="entp list">{}</div>', joined(shown) if shown else html("<p>{}</p>", nothing)))
