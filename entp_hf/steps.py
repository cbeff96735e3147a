"""The steps of a run between its stages: score, pool, purge, cluster; each returns rows and fills the manifest."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from .cluster import Clusters, cluster, map_of, representatives
from .config import EntpConfig
from .correct import correct_ratings
from .errors import StageError
from .groups import kind_of
from .hybrid import OVER, as_dataset
from .mix import INTO, groups_possible
from .neighbours import Floats
from .purge import Purge
from .purge.config_rules import dataset_rules_off
from .purge.contamination import Contamination
from .purge.duplicates import mark_duplicates
from .purge.report import purge_report
from .schema import LEVELS, Row, instruction_of, response_of, text_of
from .stage import apply, set_columns
from .surroundings import lengths

Info = dict[str, Any]
TIMED = 500  # rows that the time of each purge rule is taken on


def set_aside(rows: Dataset) -> tuple[Dataset, Dataset]:
    """Rows that go on, and rows that a stage dropped."""
    out = np.array([reason is not None for reason in rows["dropped_by"]], bool)
    return rows.select(np.flatnonzero(~out)), rows.select(np.flatnonzero(out))


def mark_unrated(rows: Dataset) -> Dataset:
    """Drop rows that no rater could rate; StageError if that is every row."""
    rated = [any(value is not None for value in ratings) for ratings in rows["ratings"]]
    if not any(rated):
        notes = next((note for note in rows["notes"] if note), "no rater gave a number")
        raise StageError("rate", f"no row could be rated: {notes}. Set another rater, or pool to all", rows["id"][:])
    return set_columns(rows, {"dropped_by": [None if r else "rate:unrated" for r in rated]})


def correct(rows: Dataset, vectors: Floats | None, names: Sequence[str], config: EntpConfig) -> tuple[Dataset, Info]:
    """Correct the ratings, with the texts' lengths and trusted scores as further evidence; nothing without a rater.

    The info is the manifest's `ratings` and `correction`.
    """
    if not names:
        return rows, {}
    ratings = np.array([[np.nan if v is None else v for v in r] for r in rows["ratings"]], dtype=float)
    first: dict[str, int] = {}
    copy_of = np.array([first.setdefault(text_of(row), i) for i, row in enumerate(rows)], np.int64)
    found = correct_ratings(
        ratings,
        vectors,
        copy_of=copy_of,
        features=None
        if vectors is None
        else lengths([instruction_of(r) for r in rows], [response_of(r) for r in rows]),
        gold=trusted(rows, config.gold_column),
        method=config.correction,
        neighbors=config.neighbors,
        damping=config.damping,
        levels=config.levels,
        change_confidence=config.change_confidence,
        seed=config.seed,
    )
    seen = ~np.isnan(ratings)
    summary = {
        "names": list(names),
        "raw": [_counts(ratings[seen[:, r], r]) for r in range(ratings.shape[1])],
        "unrated": (~seen).sum(axis=0).tolist(),
        "corrected": _counts(found.score[found.score >= 0]),
        "changed": int(found.changed.sum()),
        "mean_confidence": round(float(np.nanmean(found.confidence)), 4)
        if np.isfinite(found.confidence).any()
        else None,
    }
    return set_columns(rows, found.columns()), {"ratings": summary, "correction": found.info}


def trusted(rows: Dataset, column: str) -> NDArray[np.float64] | None:
    """Trusted scores (n,) as the input's `column` has them, NaN where it has none; None where no column is named."""
    if not column:
        return None
    values = [json.loads(text).get(column) if text else None for text in rows["original"]]
    return np.array([np.nan if v is None or not str(v).strip() else float(v) for v in values])


def _counts(values: NDArray[Any]) -> list[int]:
    counted: list[int] = np.bincount(np.rint(values).astype(int), minlength=LEVELS).tolist()
    return counted


def choose_pool(rows: Dataset, config: EntpConfig) -> tuple[Dataset, NDArray[np.bool_], Info]:
    """Mark the low-quality pool; returns rows, the mask (n,), and the manifest's `pool`."""
    threshold: float | None
    if config.pool == "all":
        low, rule, threshold = np.ones(len(rows), bool), "all rows", None
    elif config.pool == "score":
        low = np.array([score <= config.pool_max_score for score in rows["score"]], bool)
        rule, threshold = f"score <= {config.pool_max_score}", float(config.pool_max_score)
    else:
        expected = np.array(rows["expected_score"][:], float)
        threshold = float(np.quantile(expected, config.pool_quantile))
        low, rule = expected <= threshold, f"lowest {config.pool_quantile:.0%} of expected scores"
    if not low.any():
        raise StageError("pool", f"no row has {rule}. Raise pool_max_score, or set pool to quantile or all")
    info = {"rows": int(low.sum()), "rule": rule, "threshold": threshold, "high_quality": int((~low).sum())}
    return set_columns(rows, {"in_pool": low.tolist()}), low, info


def purge(
    rows: Dataset, vectors: Floats | None, config: EntpConfig, contamination: Contamination | None = None
) -> tuple[Dataset, Dataset, Info]:
    """Row rules, contamination, duplicates; returns kept and dropped rows and the manifest's `purge`."""
    begun = time.perf_counter()
    rules = Purge.from_config(config)
    off = dataset_rules_off(config.purge_rules, config.purge_off)
    after = apply(rows, rules, desc="purge", num_proc=config.num_proc)
    seconds = _seconds_by_rule(rows, rules)
    if contamination is not None and "contamination" not in off:
        started = time.perf_counter()
        after = apply(after, contamination, desc="contamination")
        seconds["contamination"] = time.perf_counter() - started
    after = mark_duplicates(after, vectors, config.near_duplicate, config.semantic_duplicate, off, seconds)
    report = purge_report(rows, after, seconds, config.purge_warn_share, rules.names())
    kept, dropped = set_aside(after)
    whole = round(time.perf_counter() - begun, 3)
    return kept, dropped, {"rows_in": len(rows), "rows_out": len(kept), "seconds": whole, **report}


def _seconds_by_rule(rows: Dataset, rules: Purge) -> dict[str, float]:
    """Seconds of each row rule over all rows, from `TIMED` of them: timing every call would slow the rules down."""
    if not len(rows):
        return {}
    sample = rows.select(range(0, len(rows), max(1, len(rows) // TIMED)))
    return {name: spent * len(rows) / len(sample) for name, spent in rules.timed(sample[:]).items()}


def find_clusters(pool: list[Row], vectors: Floats, config: EntpConfig) -> tuple[Clusters, Info]:
    """Cluster the pool and mark representatives in its rows; returns the clusters and the manifest's `clusters`."""
    found = cluster(vectors, config.cluster_counts, config.silhouette_sample, config.seed)
    can = [bool(kind_of(row)) for row in pool]
    wanted = groups_possible(sum(can), 0, config) or min(len(pool), found.k)
    chosen = set(representatives(vectors, found, wanted, can))
    for i, row in enumerate(pool):
        row["cluster"], row["representative"] = int(found.label[i]), i in chosen
    texts, ids = [instruction_of(row) for row in pool], [row["id"] for row in pool]
    return found, {
        "rows": len(pool),
        "k": found.k,
        "silhouette": round(found.silhouette, 4),
        "curve": [{"k": k, "silhouette": s} for k, s in found.curve],
        "sizes": found.sizes(),
        "representatives": len(chosen),
        "warnings": found.warnings(),
        "map": map_of(vectors, found, chosen, texts, ids, config.seed),
    }


def usable(good: Sequence[Row], config: EntpConfig, contamination: Contamination | None) -> list[Row]:
    """Good rows that pass the purge and hold no benchmark item; looked at only where the dataset asks for them."""
    if not config.high_quality_ratio or not good:
        return []
    kept, _, _ = purge(as_dataset(good), None, config, contamination)
    return list(kept)


def account(total: int, pool: int, made: int, kept: Sequence[Mapping[str, Any]], dropped: Dataset) -> dict[str, int]:
    """Every row that came in and every row that was made is kept or dropped, once; StageError otherwise.

    Returns what became of the `pool` rows of the pool: fused into something, passed through, dropped with a reason, or
    left unused (fit, but over the size asked for); they add up, or that is a StageError too.
    """
    ids = [row["id"] for row in kept] + dropped["id"][:]
    if len(ids) != total + made or len(set(ids)) != len(ids):
        twice = sorted(key for key, times in Counter(ids).items() if times > 1)
        raise StageError(
            "assemble",
            f"{total} rows came in and {made} were made, but {len(kept)} were kept and {len(dropped)} dropped, "
            f"{len(ids) - len(set(ids))} of them twice; this is a fault of the program, please report it",
            twice,
        )
    columns = (dropped[name][:] for name in ("in_pool", "origin", "dropped_by"))
    why = [reason for low, origin, reason in zip(*columns, strict=True) if low and origin == "input"]
    fused, unused = sum(reason in INTO for reason in why), why.count(OVER)
    passed = sum(row["origin"] == "passthrough" for row in kept)
    if passed + len(why) != pool:
        raise StageError(
            "assemble",
            f"the pool had {pool} rows, of which {passed} were passed through and {len(why)} dropped or used; this is "
            "a fault of the program, please report it",
        )
    left = len(why) - fused - unused
    return {"pool": pool, "fused": fused, "passed": passed, "dropped": left, "unused": unused}
