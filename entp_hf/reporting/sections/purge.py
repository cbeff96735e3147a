"""Report section of the purge: rules by findings, examples of repairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from markupsafe import Markup

from ...io.manifest import RunRecord
from ..formatting import Shown, cut, visible, word_diff
from ..plots import bar

BARS = 20  # rules that are drawn, those with most findings; the table beside them has all
EXAMPLES = 5  # before/after examples of one rule that the page shows


def purge(record: RunRecord) -> Shown | None:
    """What each rule found and did, most findings first, with examples as word diffs."""
    found = record.get("purge")
    if not found:
        return None
    rules = sorted(found["rules"].items(), key=lambda item: -item[1]["found"])
    busy = [(name, did) for name, did in rules if did["found"]]
    place = {name: did["found"] for name, did in rules}
    acts: tuple[Literal["repaired", "dropped", "flagged"], ...] = ("repaired", "dropped", "flagged")
    timed = any(did.get("seconds") is not None for _, did in busy)
    return {
        **{key: found.get(key) for key in ("rows_in", "rows_out")},
        "warnings": found.get("warnings", []),
        "rules": busy,
        "timed": timed,
        "quiet": [name for name, did in rules if not did["found"]],
        "drawn": min(len(busy), BARS),
        "plot": bar(
            [n for n, _ in busy[:BARS]], {act: [d[act] for _, d in busy[:BARS]] for act in acts}, "What each rule did"
        )
        if busy
        else None,
        "examples": [
            (name, [_example(e) for e in shown[:EXAMPLES]], len(shown))
            for name, shown in sorted(found.get("examples", {}).items(), key=lambda item: -place.get(item[0], 0))
            if shown
        ],
    }


def _example(example: Mapping[str, Any]) -> Shown:
    before, after = example.get("before") or "", example.get("after")
    changed = after is not None and after != before
    text: Markup | str = word_diff(before, after or "") if changed else visible(cut(before))
    detail = str(example.get("detail") or "").strip()
    known = (before.strip(), example.get("action"))  # stands there already
    notes = [example.get("action", ""), "" if detail in known else detail]
    return {"id": example.get("id", ""), "text": text, "told": ": ".join(filter(None, notes))}
