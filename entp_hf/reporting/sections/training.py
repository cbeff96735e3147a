"""The report's figures that come after or beside the pipeline: clusters, training, evaluation, configuration."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ...config import EntpConfig
from ..formatting import duration, num, share, squash
from ..plots import Point, grouped_bar, line, scatter

Manifest = Mapping[str, Any]
Shown = dict[str, Any]

MAP_POINTS = 2000  # points of the cluster map that are drawn; representatives always are (ours)
BARS = 60  # clusters whose size is drawn (ours)
COUNTS = ("n", "rows", "tokens", "samples")  # of an evaluation's items: not measures
LOWER = ("loss", "perplexity")  # measures that are better when lower
MEASURES = {
    "novelsum": "mean distance to the other rows, near and rare ones first (NovelSum)",
    "vendi": "how many entirely different rows it is worth (Vendi score)",
    "knn_coverage": "share of the rows that came in with a row of it nearby",
}  # of diversity, in words
TRAIN = {"rows": "rows", "steps": "steps", "loss_first": "first loss", "loss_last": "last loss", "seconds": "time"}


def clusters(manifest: Manifest) -> Shown | None:
    """Silhouette curve, sizes and the map."""
    found = manifest.get("clusters")
    if not found:
        return None
    curve = [(float(c["k"]), float(c["silhouette"])) for c in found.get("curve") or []]
    sizes = sorted(enumerate(found.get("sizes") or []), key=lambda item: -item[1])
    points = found.get("map") or []
    drawn = _thinned(points)
    ringed = sum(bool(p["representative"]) for p in drawn)
    desc = f"{len(drawn)} rows as points, {ringed} of them ringed: the representatives."
    return {
        **{key: found.get(key) for key in ("rows", "k", "silhouette", "representatives")},
        "warnings": found.get("warnings", []),
        "curve": line(curve, "Separation by number of clusters", "clusters", "silhouette", float(found["k"]))
        if curve
        else None,
        "sizes": grouped_bar(
            [str(i) for i, _ in sizes[:BARS]], {"rows": [n for _, n in sizes[:BARS]]}, "Cluster sizes"
        )
        if sizes
        else None,
        "sizes_left_out": max(0, len(sizes) - BARS),
        "map": scatter([_point(p) for p in drawn], "Map of the pool", desc) if drawn else None,
        "drawn": len(drawn),
        "points": len(points),
    }


def _thinned(points: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if len(points) <= MAP_POINTS:
        return points
    ringed = [p for p in points if p["representative"]][:MAP_POINTS]
    rest = [p for p in points if not p["representative"]]
    room = MAP_POINTS - len(ringed)
    return ringed + [rest[i * len(rest) // room] for i in range(min(room, len(rest)))]


def _point(point: Mapping[str, Any]) -> Point:
    kind = ", representative" if point["representative"] else ""
    hover = f"cluster {point['cluster']}{kind}: {squash(point.get('text') or '', 120)}"
    return Point(float(point["x"]), float(point["y"]), int(point["cluster"]), bool(point["representative"]), hover)


def diversity(manifest: Manifest) -> Shown | None:
    """(what is measured, as it came in, of the dataset) of each measure."""
    found = manifest.get("diversity")
    if not found:
        return None
    lines = [(what, num(found["before"][m]), num(found["after"][m])) for m, what in MEASURES.items()
             if m in found["before"]]  # fmt: skip
    return {"rows": found["rows"], "lines": lines}


def train(manifest: Manifest) -> Shown | None:
    """Figures of the fine-tuning run, and what it was made with."""
    found = manifest.get("train")
    if not found:
        return None
    known = [(label, found[key], key) for key, label in TRAIN.items() if found.get(key) is not None]
    other = [(squash(key.replace("_", " "), 40), value, key) for key, value in found.items() if key not in TRAIN]
    figures = [entry for entry in known + other if _is_number(entry[1])]
    return {
        "figures": [(label, duration(value) if key == "seconds" else num(value)) for label, value, key in figures],
        "facts": [(label, value) for label, value, _ in known + other if isinstance(value, str) and value],
    }


def measures(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float, float | None]]:
    """(name, value, standard error) of every figure in an evaluation, however deep tasks and metrics are nested.

    Reads {metric, value, stderr} and {metric: value, metric_stderr: value}; counts of items are no measures.
    """
    if isinstance(found, list):
        for entry in found:
            yield from measures(entry, path)
    elif isinstance(found, Mapping) and _is_number(found.get("value")):
        names = [found[key] for key in ("task", "metric") if isinstance(found.get(key), str)]
        error = found.get("stderr")
        yield " · ".join([*path, *names]) or "value", float(found["value"]), error if _is_number(error) else None
    elif isinstance(found, Mapping):
        for key, entry in found.items():
            if _is_number(entry) and not key.endswith("_stderr") and key not in COUNTS:
                error = found.get(f"{key}_stderr")
                yield " · ".join([*path, key]), float(entry), error if _is_number(error) else None
            else:
                yield from measures(entry, (*path, str(key)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def evaluation(manifest: Manifest) -> Shown | None:
    """The same measures before and after training, and whether their difference is more than noise."""
    found = manifest.get("eval")
    if not found:
        return None
    sides = {side: {n: (v, e) for n, v, e in measures(found.get(side) or {})} for side in ("before", "after")}
    names = list(dict.fromkeys([*sides["before"], *sides["after"]]))
    rows = [_compared(name, sides["before"].get(name), sides["after"].get(name)) for name in names]
    both = [r for r in rows if not r["lower"] and all(r[s] is not None and 0 <= r[s] <= 1 for s in sides)]
    tasks = [r["name"].split(" · ")[0] for r in both]
    plot = None
    if both:
        plot = grouped_bar(
            tasks if len(set(tasks)) == len(tasks) else [r["name"] for r in both],
            {side: [r[side] for r in both] for side in ("before", "after")},
            "Before and after training",
            errors={side: [r[f"{side}_error"] for r in both] for side in ("before", "after")},
        )
    return {"rows": rows, "plot": plot} if rows else None


def _compared(name: str, before: tuple[float, float | None] | None, after: tuple[float, float | None] | None) -> Shown:
    (old, old_error), (new, new_error) = before or (None, None), after or (None, None)
    change = new - old if old is not None and new is not None else None
    noise = math.hypot(old_error, new_error) if old_error is not None and new_error is not None else None
    verdict = ""
    if change is not None and noise:
        verdict = "more than noise" if abs(change) > 2 * noise else "within noise"
    lower = name.split(" · ")[-1] in LOWER
    return {"name": name, "lower": lower, "before": old, "before_error": old_error, "after": new,
            "after_error": new_error, "change": change, "verdict": verdict}  # fmt: skip


def accuracy(manifest: Manifest) -> Shown | None:
    """How well the purge did on rows whose defects are known (`purge.accuracy`): in all, and rule by rule."""
    found = manifest.get("purge_accuracy")
    if not isinstance(found, Mapping) or not found:
        return None
    rules = found.get("rules") or {}
    columns = list(dict.fromkeys(name for figures in rules.values() for name in figures))
    return {
        "facts": [(squash(name, 40), num(value)) for name, value in found.items() if _is_number(value)],
        "columns": columns,
        "rows": [(rule, [num(figures.get(name)) for name in columns]) for rule, figures in rules.items()],
    }


def configuration(manifest: Manifest) -> list[tuple[str, str, str]]:
    """(knob, value, what it does) for every knob of the run."""
    helps = {f.name: f.metadata["help"] for f in dataclasses.fields(EntpConfig)}
    values = manifest.get("config", {})
    return [(name, json.dumps(value, ensure_ascii=False), helps.get(name, "")) for name, value in values.items()]


def tokens(manifest: Manifest) -> list[tuple[str, str]]:
    """What the language model calls came to; nothing where none was made."""
    found = manifest.get("tokens")
    if not found or not found.get("calls"):
        return []
    cached = f"{num(found['cached_calls'])} ({share(found['cached_calls'], found['calls'])})"
    rows = [("calls", num(found["calls"])), ("of these answered from the cache", cached),
            ("tokens sent", num(found["prompt"])), ("tokens received", num(found["completion"]))]  # fmt: skip
    return [*rows, ("cost", num(found["cost"]))] if found.get("cost") else rows
