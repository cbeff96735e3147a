"""Report sections of the mix stage: clusters, rounds of fusion, diversity."""

from __future__ import annotations

from typing import Literal

from ...io.manifest import MapPoint, RunRecord
from ..formatting import Shown, num, squash
from ..plots import Point, bar, grouped_bar, line, scatter

BARS = 60  # clusters whose size is drawn
MAP_POINTS = 2000  # points of the cluster map that are drawn; representatives always are
CURVES: tuple[Literal["similarity", "novelty", "reject_rate"], ...] = ("similarity", "novelty", "reject_rate")
MEASURES = {
    "novelsum": "mean distance to the other rows, near and rare ones first (NovelSum)",
    "vendi": "how many entirely different rows it is worth (Vendi score)",
    "knn_coverage": "share of the rows that came in with a row of it nearby",
}  # of diversity, in words


def fusion(record: RunRecord) -> Shown | None:
    """The rounds of fusion and why groups were refused."""
    found = record.get("fusion")
    if not found:
        return None
    rounds = found.get("rounds", [])
    reasons: dict[str, int] = {}
    for entry in rounds:
        for reason, count in (entry.get("reasons") or {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    curves = {
        key.replace("_", " "): [(float(r["round"]), value) for r in rounds if (value := r.get(key)) is not None]
        for key in CURVES
    }
    return {
        **{key: found.get(key) for key in ("fuser", "model", "stopped_by")},
        "triage": found.get("triage") or {},
        "cured": sum(entry.get("cured", 0) for entry in rounds),
        "rounds": rounds,
        "reasons": bar([r for r, _ in ordered], {"refusals": [n for _, n in ordered]}, "Why fused rows were refused")
        if ordered
        else None,
        "curves": [
            (name.capitalize(), line(points, f"{name} by round", "round", name))
            for name, points in curves.items()
            if len(points) > 1
        ],
    }


def clusters(record: RunRecord) -> Shown | None:
    """Silhouette curve, sizes and the map."""
    found = record.get("clusters")
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


def _thinned(points: list[MapPoint]) -> list[MapPoint]:
    if len(points) <= MAP_POINTS:
        return points
    ringed = [p for p in points if p["representative"]][:MAP_POINTS]
    rest = [p for p in points if not p["representative"]]
    room = MAP_POINTS - len(ringed)
    return ringed + [rest[i * len(rest) // room] for i in range(min(room, len(rest)))]


def _point(point: MapPoint) -> Point:
    kind = ", representative" if point["representative"] else ""
    hover = f"cluster {point['cluster']}{kind}: {squash(point.get('text') or '', 120)}"
    return Point(float(point["x"]), float(point["y"]), int(point["cluster"]), bool(point["representative"]), hover)


def diversity(record: RunRecord) -> Shown | None:
    """(what is measured, as it came in, of the dataset) of each measure."""
    found = record.get("diversity")
    if not found:
        return None
    lines = [
        (what, num(found["before"][m]), num(found["after"][m])) for m, what in MEASURES.items() if m in found["before"]
    ]
    return {"rows": found["rows"], "lines": lines}
