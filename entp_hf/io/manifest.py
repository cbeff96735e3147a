"""What ran: configuration, versions, counts, seconds, tokens. Report, card and summary are filled from it alone.

The keys, in the order of the run (a key that a run does not have is absent, never invented):

    entp_version, created, source_hash, versions {package: version}, cpus, config {setting: value}, seconds,
                warnings [str]
    input       {files: [{path, rows, form, sha256, license, languages [str]}], rows, marked {reason: rows}}
    stages      [{name, seconds, rows_in, rows_out}]
    ratings     {names: [R], raw: [R][6] counts, unrated: [R], corrected: [6], changed,
                 mean_confidence | null where nothing was corrected}
    correction  {method, basis: "neighbors" | "raters" | "none", levels, level_scores [L], prior [L],
                 transition [R][L][6], transition_se [R][L][6], identified [L], stability: [{levels, error}],
                 failed [R], damping, surroundings {...}, agreement {near, far, shuffled, chance, raters, same_level},
                 gold {rows, accuracy, mean_confidence, reliability: [{confidence, accuracy, rows}]}, notes [str]}
    pool        {rows, rule, threshold, high_quality}
    purge       {rows_in, rows_out, rules: {rule: {found, repaired, dropped, flagged, seconds}}, warnings [str],
                 examples: {rule: [{id, before, after, detail}]}}
    clusters    {rows, k, silhouette, curve: [{k, silhouette}], sizes [k], representatives, warnings [str],
                 map: [{x, y, cluster, representative, id, text}]}
    fusion      {fuser, model, rounds: [{round, groups, fused, mosaic, passthrough, attempts, replies, reasons
                 {reason: n}, similarity, novelty, reject_rate, prompt_tokens, completion_tokens, seconds}],
                 stopped_by, no_replies: the model was asked for fusions, and no reply came}
    dataset     {rows, by_origin {origin: n}, dropped, dropped_by {reason: n}, preference}
    diversity   {rows, before {measure: value}, after {...}}: equally many rows as they came in, and of the dataset
    contamination    {items, coverage, rows, by_benchmark {benchmark: rows dropped}, refused: made rows}
    tokens      {calls, cached_calls, prompt, completion, cost}
    failed_calls    [{client, asked, calls, example}]: calls that got no reply, by reason; asked again by the next run
    selection   {method, paper, n, rows, settings, target, score}    of `entp select`
    train, eval, purge_accuracy    added by `entp train`, `entp eval` and the demo
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..execution.progress import enter
from ..execution.source_hash import source_hash
from ..execution.threads import cpu_count

Info = dict[str, Any]

PACKAGES = (
    "datasets", "huggingface-hub", "transformers", "torch", "trl", "peft", "sentence-transformers", "scikit-learn",
    "faiss-cpu", "lm-eval",
)  # fmt: skip


class Manifest(dict[str, Any]):
    """A dict with the keys above, and a stopwatch for the stages."""

    @classmethod
    def start(cls, config: dict[str, Any]) -> Manifest:
        """A manifest with what is known before the run."""
        return cls(
            entp_version=importlib.metadata.version("entp-hf"),
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            source_hash=source_hash(),
            versions=installed_versions(),
            cpus=cpu_count(),
            config=config,
            seconds=0.0,
            warnings=[],
            stages=[],
            tokens={"calls": 0, "cached_calls": 0, "prompt": 0, "completion": 0, "cost": 0.0},
        )

    @contextmanager
    def stage(self, name: str, rows_in: int) -> Iterator[dict[str, Any]]:
        """Time a stage; the caller sets `rows_out` in the dict it gets."""
        entry: dict[str, Any] = {"name": name, "seconds": 0.0, "rows_in": rows_in, "rows_out": rows_in}
        enter(name, rows_in)
        begun = time.perf_counter()
        yield entry
        entry["seconds"] = round(time.perf_counter() - begun, 3)
        self["seconds"] = round(self["seconds"] + entry["seconds"], 3)
        self["stages"].append(entry)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read what `save` wrote."""
        return cls(json.loads(path.read_text(encoding="utf-8")))


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that decide a run's figures, those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
