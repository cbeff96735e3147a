"""Report sections of the whole run: key figures, rows by stage, configuration, tokens.

Each function reads one part of the manifest and returns what the page shows of it; None where the run has none.
"""

from __future__ import annotations

import dataclasses
import json

from ...config import EntpConfig
from ...io.manifest import RunRecord
from ...schema import STAGES, Origin, origin_label
from ..formatting import Shown, duration, num, share, squash
from ..plots import bar, funnel

STEPS = {name: words.rows for name, words in STAGES.items() if words.rows}  # stages that change the rows


def headline(record: RunRecord) -> list[tuple[str, str, str]]:
    """(name, figure, explanation) of each key figure that the run has."""
    tiles = []
    if "input" in record:
        tiles.append(("rows in", num(record["input"]["rows"]), "read from the input files"))
    if "pool" in record:
        tiles.append(("low-quality pool", num(record["pool"]["rows"]), "rows taken up for repair and fusion"))
    if "dataset" in record:
        tiles.append(("dropped or used up", num(record["dataset"]["dropped"]), "kept aside, each with its reason"))
    if "clusters" in record:
        tiles.append(("clusters", num(record["clusters"]["k"]), "groups of rows alike in content"))
    rounds = record.get("fusion", {}).get("rounds", [])
    for key, name, what in (
        ("groups", "groups", "sets of related rows to be fused into one"),
        (Origin.FUSED, "fused", "rows fused by the model"),
        (Origin.MOSAIC, "composed", "rows composed without a model"),
    ):
        if rounds:
            tiles.append((name, num(sum(r.get(key, 0) for r in rounds)), what))
    if "dataset" in record:
        tiles.append(("rows out", num(record["dataset"]["rows"]), "in the finished dataset"))
    if record.get("seconds"):
        tiles.append(("time", duration(record["seconds"]), "for the whole run"))
    tokens = record.get("tokens")
    if tokens and tokens.get("calls"):
        total = tokens["prompt"] + tokens["completion"]
        cost = f"; cost {num(tokens['cost'])}" if tokens.get("cost") else ""
        calls = f"in {num(tokens['calls'])} calls, {num(tokens['cached_calls'])} from the cache"
        tiles.append(("tokens", num(total), calls + cost))
    return tiles


def stages(record: RunRecord) -> Shown | None:
    """Rows and seconds of each stage."""
    entries = record.get("stages")
    if not entries:
        return None
    steps = [(STEPS[e["name"]], e["rows_out"]) for e in entries if e["name"] in STEPS]
    names = [name for name, _ in steps]
    if STEPS["purge"] in names and "pool" in record:  # chosen between two stages
        steps.insert(names.index(STEPS["purge"]), ("pool", record["pool"]["rows"]))
    if "dataset" in record:
        steps.append(("dataset", record["dataset"]["rows"]))
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


def dataset(record: RunRecord) -> Shown | None:
    """Rows of the finished dataset by origin, and rows left out by reason."""
    found = record.get("dataset")
    if not found:
        return None
    origins = {origin_label(name): count for name, count in found.get("by_origin", {}).items() if count}
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


def configuration(record: RunRecord) -> list[tuple[str, str, str]]:
    """(setting, value, what it does) for every setting of the run."""
    helps = {f.name: f.metadata["help"] for f in dataclasses.fields(EntpConfig)}
    values = record.get("config", {})
    return [(name, json.dumps(value, ensure_ascii=False), helps.get(name, "")) for name, value in values.items()]


def tokens(record: RunRecord) -> list[tuple[str, str]]:
    """Counts of the calls and tokens of language models; [] for a run without calls."""
    found = record.get("tokens")
    if not found or not found.get("calls"):
        return []
    cached = f"{num(found['cached_calls'])} ({share(found['cached_calls'], found['calls'])})"
    rows = [
        ("calls", num(found["calls"])),
        ("of these answered from the cache", cached),
        ("tokens sent", num(found["prompt"])),
        ("tokens received", num(found["completion"])),
    ]
    return [*rows, ("cost", num(found["cost"]))] if found.get("cost") else rows
