"""Generated rows with their parents, as one JSON text for the report's row browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from ..execution.tables import each
from ..schema import GENERATED, shown_turn
from .formatting import TEXT_LIMIT

MOST_ROWS = 300  # generated rows that a page embeds
MOST_BYTES = 3_500_000  # of their JSON, so that the page stays under 5 MB

Shown = dict[str, Any]


def generated_rows(kept: Dataset, dropped: Dataset) -> Shown | None:
    """{rows, parents {id: row}, total} for the browser, evenly spread over the generated rows; None without any.

    Fewer than `MOST_ROWS` rows are embedded where their texts would come to more than `MOST_BYTES`.
    """
    if "origin" not in kept.column_names:
        return None
    generated = [i for i, row in enumerate(each(kept, "origin")) if row["origin"] in GENERATED]
    if not generated:
        return None
    shown = min(MOST_ROWS, len(generated))
    picked = [generated[i * len(generated) // shown] for i in range(shown)]
    wanted = {key for index in picked for key in kept[index]["parents"] or ()}
    named = ((rows, i, row["id"]) for rows in (dropped, kept) for i, row in enumerate(each(rows, "id")))
    where = {key: (rows, i) for rows, i, key in named if key in wanted}
    rows: list[Shown] = []
    parents: dict[str, Shown] = {}
    size = 0
    for index in picked:
        row = _shown(kept[index], is_generated=True)
        absent = [key for key in row["parents"] if key in where and key not in parents]
        new = {key: _shown(where[key][0][where[key][1]]) for key in absent}
        size += len(script_json([row, new]).encode("utf-8", "replace"))
        if rows and size > MOST_BYTES:
            break
        rows.append(row)
        parents |= new
    return {"rows": rows, "parents": parents, "total": len(generated)}


def script_json(value: Any) -> str:
    """JSON that can stand inside a <script> element: no `<`, `>` or `&`, and no line separators of JavaScript."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _shown(row: Mapping[str, Any], is_generated: bool = False) -> Shown:
    """What the browser shows of a row; empty values are left out, since they are most of a page's bytes."""
    shown: Shown = {
        "id": row["id"],
        "turns": _turns(row["messages"]),
        "origin": row.get("origin"),
        "score": row.get("score"),
        "ratings": [round(r, 2) if r is not None else None for r in row.get("ratings") or []],
        "source": row.get("source"),
        "left": row.get("dropped_by"),
        "notes": (row.get("notes") or "")[:TEXT_LIMIT],
        "findings": [
            {key: (f.get(key) or "")[:300] for key in ("rule", "field", "action", "detail")}
            for f in (row.get("findings") or [])[:20]
        ],
    }
    if is_generated:
        shown |= {
            "round": row.get("round"),
            "model": row.get("model"),
            "prompt": row.get("prompt_version"),
            "gate": _gate(row.get("gate")),
        }
    shown = {key: value for key, value in shown.items() if value not in (None, "", [], {})}
    return shown | {"parents": list(row.get("parents") or [])} if is_generated else shown


def _turns(messages: Sequence[Mapping[str, Any]], limit: int = TEXT_LIMIT) -> list[list[Any]]:
    """[role, text, full length] of each turn; a turn's text is cut at `limit` characters, all turns at twice that.

    Turns beyond that come to one entry without a role and text, whose length is theirs together.
    """
    turns: list[list[Any]] = []
    room = 2 * limit
    for message in messages:
        text = shown_turn(message)
        if room == 0:
            turns.append(["", "", sum(len(shown_turn(m)) for m in messages[len(turns) :])])
            break
        turns.append([message["role"], text[: min(limit, room)], len(text)])
        room = max(0, room - len(text))
    return turns


def _gate(text: str | None) -> Shown:
    """The gate's figures that are plain values; a gate that is not JSON is shown as text."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {"gate": text[:300]}
    if not isinstance(found, dict):
        return {"gate": text[:300]}
    figures = {}
    for key, value in list(found.items())[:20]:
        if isinstance(value, float):
            value = round(value, 3)
        figures[str(key)[:40]] = value if isinstance(value, (int, float, bool)) else str(value)[:120]
    return figures
