"""The report's figures, section by section.

Each function reads one part of the manifest and returns what the page shows of it; None where the run has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...schema import LEVELS
from ..formatting import cut, duration, num, raw, share, squash, visible, word_diff
from ..plots import HeatRow, bar, funnel, grouped_bar, heat_map, line, reliability

Manifest = Mapping[str, Any]
Shown = dict[str, Any]

BARS = 20  # rules that are drawn, those with most findings; the table beside them has all (ours)
EXAMPLES = 5  # before/after examples of one rule that the page shows (ours)
ORIGINS = {
    "input": "purged rows", "fused": "fused by the model", "mosaic": "composed, no model",
    "passthrough": "repaired only", "high_quality": "high-quality rows",
}  # fmt: skip
MADE = {"fused": "merged", "mosaic": "composed"}
STEPS = {"read": "read", "rate": "usable", "purge": "after rules", "mix": "made rows"}  # that change the rows
BASIS = {
    "raters": "Several raters judged the same rows. How reliable each one is was worked out from how they agree with "
    "one another, on the assumption that they make their mistakes independently of each other.",
    "neighbours": "How reliable the ratings are was worked out from how rows of nearly the same content were rated, "
    "on the assumption that a row and its nearest neighbours have the same true quality. Where neighbours in fact "
    "differ in quality, the raters look less reliable here than they are, and the stated confidence is too high.",
    "none": "Nothing was corrected: the ratings were used as they came.",
}


def headline(manifest: Manifest) -> list[tuple[str, str, str]]:
    """(name, figure, explanation) of each key figure that the run has."""
    tiles = []
    if "input" in manifest:
        tiles.append(("rows in", num(manifest["input"]["rows"]), "read from the input files"))
    if "pool" in manifest:
        tiles.append(("low-quality pool", num(manifest["pool"]["rows"]), "rows taken up for repair and fusion"))
    if "dataset" in manifest:
        tiles.append(("dropped or used up", num(manifest["dataset"]["dropped"]), "kept aside, each with its reason"))
    if "clusters" in manifest:
        tiles.append(("clusters", num(manifest["clusters"]["k"]), "groups of rows alike in content"))
    rounds = manifest.get("fusion", {}).get("rounds", [])
    for key, what in (
        ("groups", "sets of rows to be merged into one"),
        ("fused", "rows merged by the model"),
        ("mosaic", "rows composed without a model"),
    ):
        if rounds:
            tiles.append((MADE.get(key, key), num(sum(r.get(key, 0) for r in rounds)), what))
    if "dataset" in manifest:
        tiles.append(("rows out", num(manifest["dataset"]["rows"]), "in the finished dataset"))
    if manifest.get("seconds"):
        tiles.append(("time", duration(manifest["seconds"]), "for the whole run"))
    tokens = manifest.get("tokens")
    if tokens and tokens.get("calls"):
        total = tokens["prompt"] + tokens["completion"]
        cost = f"; cost {num(tokens['cost'])}" if tokens.get("cost") else ""
        calls = f"in {num(tokens['calls'])} calls, {num(tokens['cached_calls'])} from the cache"
        tiles.append(("tokens", num(total), calls + cost))
    return tiles


def stages(manifest: Manifest) -> Shown | None:
    """Rows and seconds of each stage."""
    entries = manifest.get("stages")
    if not entries:
        return None
    steps = [(STEPS[e["name"]], e["rows_out"]) for e in entries if e["name"] in STEPS]
    names = [name for name, _ in steps]
    if STEPS["purge"] in names and "pool" in manifest:  # chosen between two stages
        steps.insert(names.index(STEPS["purge"]), ("pool", manifest["pool"]["rows"]))
    if "dataset" in manifest:
        steps.append(("dataset", manifest["dataset"]["rows"]))
    return {
        "entries": entries,
        "funnel": funnel(
            [n for n, _ in steps], [r for _, r in steps], "Rows after each stage", (STEPS["mix"], "dataset")
        ),
        "seconds": bar(
            [e["name"] for e in entries],
            {"seconds": [e["seconds"] for e in entries]},
            "Time of each stage",
            [duration(e["seconds"]) for e in entries],
        ),
    }


def ratings(manifest: Manifest) -> Shown | None:
    """Raw ratings of each rater against the corrected scores."""
    found = manifest.get("ratings")
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


def correction(manifest: Manifest) -> Shown | None:
    """Transition matrix of each rater, and what it rests on."""
    found = manifest.get("correction")
    if not found:
        return None
    names = manifest.get("ratings", {}).get("names", [])
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
        "stability": line(curve, "Disagreement of two halves", "number of quality levels", "disagreement",
                          found.get("levels")) if curve else None,
        "agreement": found.get("agreement") or None,
        "reliability": _reliability(found.get("gold") or {}),
    }  # fmt: skip


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


def purge(manifest: Manifest) -> Shown | None:
    """What each rule found and did, most findings first, with examples as word diffs."""
    found = manifest.get("purge")
    if not found:
        return None
    rules = sorted(found["rules"].items(), key=lambda item: -item[1]["found"])
    busy = [(name, did) for name, did in rules if did["found"]]
    place = {name: did["found"] for name, did in rules}
    acts = ("repaired", "dropped", "flagged")
    timed = any(did.get("seconds") is not None for _, did in busy)
    return {
        **{key: found.get(key) for key in ("rows_in", "rows_out")},
        "warnings": found.get("warnings", []),
        "rules": busy,
        "timed": timed,
        "quiet": [name for name, did in rules if not did["found"]],
        "drawn": min(len(busy), BARS),
        "plot": bar([n for n, _ in busy[:BARS]], {act: [d[act] for _, d in busy[:BARS]] for act in acts},
                    "What each rule did")
        if busy
        else None,
        "examples": [(name, [_example(e) for e in shown[:EXAMPLES]], len(shown)) for name, shown in
                     sorted(found.get("examples", {}).items(), key=lambda item: -place.get(item[0], 0)) if shown],
    }  # fmt: skip


def _example(example: Mapping[str, Any]) -> Shown:
    before, after = example.get("before") or "", example.get("after")
    changed = after is not None and after != before
    text: Markup | str = word_diff(before, after or "") if changed else visible(cut(before))
    detail = str(example.get("detail") or "").strip()
    known = (before.strip(), example.get("action"))  # stands there already
    told = [example.get("action", ""), "" if detail in known else detail]
    return {"id": example.get("id", ""), "text": text, "told": ": ".join(filter(None, told))}


def fusion(manifest: Manifest) -> Shown | None:
    """The rounds of fusion and why groups were refused."""
    found = manifest.get("fusion")
    if not found:
        return None
    rounds = found.get("rounds", [])
    reasons: dict[str, int] = {}
    for entry in rounds:
        for reason, count in (entry.get("reasons") or {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    curves = {
        key.replace("_", " "): [(float(r["round"]), float(r[key])) for r in rounds if r.get(key) is not None]
        for key in ("similarity", "novelty", "reject_rate")
    }
    return {
        **{key: found.get(key) for key in ("fuser", "model", "stopped_by")},
        "rounds": rounds,
        "reasons": bar([r for r, _ in ordered], {"refusals": [n for _, n in ordered]}, "Why merged rows were refused")
        if ordered
        else None,
        "curves": [(name.capitalize(), line(points, f"{name} by round", "round", name))
                   for name, points in curves.items() if len(points) > 1],
    }  # fmt: skip


def dataset(manifest: Manifest) -> Shown | None:
    """What the finished dataset is made of, and where the other rows went."""
    found = manifest.get("dataset")
    if not found:
        return None
    origins = {ORIGINS.get(name, name): count for name, count in found.get("by_origin", {}).items() if count}
    dropped = sorted(found.get("dropped_by", {}).items(), key=lambda item: -item[1])
    reasons = [squash(reason, 40) for reason, _ in dropped]
    return {
        "rows": found["rows"],
        "dropped": found.get("dropped"),
        "preference": found.get("preference"),
        "origins": bar(list(origins), {"rows": list(origins.values())}, "Rows of the dataset by origin")
        if origins
        else None,
        "dropped_by": bar(reasons, {"rows": [n for _, n in dropped]}, "Rows left out, by reason") if dropped else None,
    }
