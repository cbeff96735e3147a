"""Report sections of the ratings and their correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...io.manifest import RunRecord
from ...schema import LEVELS
from ..formatting import Shown, raw, share
from ..plots import HeatRow, grouped_bar, heat_map, line, reliability

BASIS = {
    "raters": "Several raters judged the same rows. How reliable each one is was worked out from how they agree with "
    "one another, on the assumption that they make their mistakes independently of each other.",
    "neighbors": "How reliable the ratings are was worked out from how rows of nearly the same content were rated, "
    "on the assumption that a row and its nearest neighbors have the same true quality. Where neighbors in fact "
    "differ in quality, the raters look less reliable here than they are, and the stated confidence is too high.",
    "none": "Nothing was corrected: the ratings were used as they came.",
}


def ratings(record: RunRecord) -> Shown | None:
    """Raw ratings of each rater against the corrected scores."""
    found = record.get("ratings")
    if not found:
        return None
    series = {raw(name): counts for name, counts in zip(found["names"], found["raw"], strict=True)}
    if found.get("corrected"):
        series["corrected"] = found["corrected"]
    rows = sum(found.get("corrected") or [0])
    return {
        "plot": grouped_bar(
            [str(k) for k in range(LEVELS)],
            series,
            "Ratings before and after correction",
            "score, 0 (worst) to 5 (best)",
        ),
        "unrated": list(zip(found["names"], found.get("unrated", []), strict=False)),
        "changed": found.get("changed"),
        "changed_share": share(found.get("changed"), rows),
        "confidence": found.get("mean_confidence"),
    }


def correction(record: RunRecord) -> Shown | None:
    """Transition matrix of each rater, and what it rests on."""
    found = record.get("correction")
    if not found:
        return None
    names = record.get("ratings", {}).get("names", [])
    maps = [
        heat_map(
            _levels(found, matrix, rater),
            [str(k) for k in range(LEVELS)],
            f"How often {names[rater] if rater < len(names) else f'rater {rater + 1}'} gives each rating",
            "rating given",
            "true score",
        )
        for rater, matrix in enumerate(found.get("transition") or [])
    ]
    stability = found.get("stability") or []
    curve = [(float(s["levels"]), float(s["error"])) for s in stability]
    return {
        "method": found.get("method"),
        "basis": BASIS.get(str(found.get("basis"))),
        "notes": found.get("notes", []),
        "levels": found.get("levels"),
        "maps": list(zip([*names, *[""] * len(maps)], maps, strict=False)),
        "unsure": not all(found.get("identified", [True])),
        "stability": line(
            curve, "Disagreement of two halves", "number of quality levels", "disagreement", found.get("levels")
        )
        if curve
        else None,
        "agreement": found.get("agreement") or None,
        "reliability": _reliability(found.get("gold") or {}),
    }


def _reliability(trusted: Mapping[str, Any]) -> Markup | None:
    bins = trusted.get("reliability")
    if not bins:
        return None
    return reliability(
        [(b["confidence"], b["accuracy"], b["rows"]) for b in bins], "Confidence against trusted scores"
    )


def _levels(found: Mapping[str, Any], matrix: Sequence[Sequence[float]], rater: int) -> list[HeatRow]:
    spread = found.get("transition_se") or []
    rows = []
    for level, values in enumerate(matrix):
        sure = found["identified"][level] if level < len(found.get("identified", [])) else True
        prior = found["prior"][level] if level < len(found.get("prior", [])) else None
        errors = spread[rater][level] if rater < len(spread) else [None] * len(values)
        below = "not identified" if not sure else f"{share(prior)} of rows" if prior is not None else ""
        score = found["level_scores"][level] if level < len(found.get("level_scores", [])) else level
        rows.append(HeatRow(f"score {score:.1f}", below, values, errors, not sure))
    return rows
