"""Purge stage: row rules, contamination and duplicates over a dataset, marked in `dropped_by` and `findings`."""

from __future__ import annotations

import time

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..embedding.neighbors import Among
from ..execution.ray_engine import RayEngine
from ..execution.stage import apply
from ..execution.tables import as_dataset, column, pick
from ..io.manifest import PurgeSection
from ..rules.registry import DATASET_THRESHOLDS
from ..rules.selection import dataset_rules_off
from .contamination.index import Contamination
from .dataset_rules import mark_corpus
from .duplicates.search import mark_duplicates
from .purge import Purge
from .report import purge_report

TIMED = 500  # rows that the time of each purge rule is taken on


def purge(
    rows: Dataset,
    vectors: FloatMatrix | None,
    config: EntpConfig,
    contamination: Contamination | None = None,
    neighbors: Among | None = None,
) -> tuple[Dataset, NDArray[np.bool_], PurgeSection]:
    """Row rules, contamination, duplicates; returns all rows, which of them stay (n,), and the manifest's `purge`.

    `neighbors` as in `mark_duplicates`.
    """
    begun = time.perf_counter()
    rules = Purge.from_config(config)
    off = dataset_rules_off(config.purge_rules, config.purge_off)
    ray = RayEngine.from_config(config)
    after, seconds = row_rules(rows, config, contamination, ray)
    limits = {**DATASET_THRESHOLDS, **dict(rules.thresholds)}
    after = mark_corpus(after, config, limits, off, rules.drop, seconds)
    after = mark_duplicates(
        after, vectors, config.near_duplicate, config.semantic_duplicate, off, seconds, neighbors, ray
    )
    report = purge_report(rows, after, seconds, config.purge_warn_share, rules.names())
    stay = np.array([reason is None for reason in column(after, "dropped_by")], bool)
    seconds_in_all = round(time.perf_counter() - begun, 3)
    return (
        after,
        stay,
        {
            "rows_in": report["rows_in"],
            "rows_out": report["rows_out"],
            "seconds": seconds_in_all,
            "rules": report["rules"],
            "warnings": report["warnings"],
            "examples": report["examples"],
        },
    )


def row_rules(
    rows: Dataset, config: EntpConfig, contamination: Contamination | None, ray: RayEngine | None
) -> tuple[Dataset, dict[str, float]]:
    """The rules that look at one row at a time; marked rows, and the seconds that each rule took."""
    rules = Purge.from_config(config)
    after = apply(rows, rules, desc="purge", num_proc=config.num_proc, ray=ray)
    seconds = _seconds_by_rule(rows, rules)
    if contamination is not None and "contamination" not in dataset_rules_off(config.purge_rules, config.purge_off):
        started = time.perf_counter()
        after = apply(after, contamination, desc="contamination", ray=ray) if ray else contamination.mark(after)
        seconds["contamination"] = time.perf_counter() - started
    return after, seconds


def _seconds_by_rule(rows: Dataset, rules: Purge) -> dict[str, float]:
    """Seconds of each row rule over all rows, from `TIMED` of them: timing every call would slow the rules down."""
    if not len(rows):
        return {}
    sample = rows.select(range(0, len(rows), max(1, len(rows) // TIMED)))
    return {name: spent * len(rows) / len(sample) for name, spent in rules.timed(sample[:]).items()}


def usable(good: Dataset, config: EntpConfig, contamination: Contamination | None) -> Dataset:
    """Good rows that pass the purge and hold no benchmark item; looked at only where the dataset asks for them."""
    if not (config.high_quality_ratio or config.keep_good) or not len(good):
        return as_dataset([])
    after, stay, _ = purge(good, None, config, contamination)
    return pick(after, stay)
