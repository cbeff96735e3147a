"""The steps of a run between its stages: score, pool, purge, cluster; each returns rows and fills the manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..config import EntpConfig
from ..correction.correct import correct_ratings
from ..correction.local_prior import REACH, lengths
from ..embedding.clustering import Clusters, cluster, map_of, representatives
from ..embedding.neighbors import Among, Floats, Ints, Space
from ..errors import StageError
from ..execution.ray_engine import RayHost
from ..execution.stage import apply, set_columns
from ..execution.tables import column, each, pick
from ..mix.assembly import as_dataset
from ..mix.pool import Corpus, kinds_of
from ..mix.stage import groups_possible
from ..purge.contamination.index import Contamination
from ..purge.dataset_rules import mark_corpus
from ..purge.duplicates.fingerprints import digest_of
from ..purge.duplicates.search import mark_duplicates
from ..purge.purge import Purge
from ..purge.report import purge_report
from ..rules.registry import DATASET_THRESHOLDS
from ..rules.selection import dataset_rules_off
from ..schema import LEVELS, instruction_of, response_of, text_of

Info = dict[str, Any]
TIMED = 500  # rows that the time of each purge rule is taken on


def set_aside(rows: Dataset) -> tuple[Dataset, Dataset]:
    """Rows that go on, and rows that a stage dropped."""
    out = np.array([reason is not None for reason in column(rows, "dropped_by")], bool)
    return pick(rows, ~out), pick(rows, out)


def mark_unrated(rows: Dataset) -> Dataset:
    """Drop rows that no rater could rate; StageError if that is every row."""
    rated = [any(value is not None for value in ratings) for ratings in column(rows, "ratings")]
    if not any(rated):
        notes = next((note for note in rows["notes"] if note), "no rater gave a number")
        raise StageError("rate", f"no row could be rated: {notes}. Set another rater, or pool to all", rows["id"][:])
    return set_columns(rows, {"dropped_by": [None if r else "rate:unrated" for r in rated]})


def space_of(rows: Dataset, vectors: Floats, config: EntpConfig) -> Space:
    """The rows' embeddings (n, d) with what is needed to search for neighbours, which is done when first asked for."""
    return Space(vectors, copies_of(rows), max(REACH, config.neighbors))


def copies_of(rows: Dataset) -> Ints:
    """For each row the number of the first row with the same text, (n,)."""
    first: dict[bytes, int] = {}
    digests = (digest_of(text_of(row)) for row in each(rows, "messages"))
    return np.fromiter((first.setdefault(digest, i) for i, digest in enumerate(digests)), np.int64, len(rows))


def correct(rows: Dataset, space: Space | None, names: Sequence[str], config: EntpConfig) -> tuple[Dataset, Info]:
    """Correct the ratings, with the texts' lengths and trusted scores as further evidence; nothing without a rater.

    The info is the manifest's `ratings` and `correction`.
    """
    if not names:
        return rows, {}
    ratings = np.array([[np.nan if v is None else v for v in r] for r in column(rows, "ratings")], dtype=float)
    found = correct_ratings(
        ratings,
        None if space is None else space.vectors,
        copy_of=copies_of(rows) if space is None else space.copy_of,
        features=None
        if space is None
        else lengths(*(map(part, each(rows, "messages", "input")) for part in (instruction_of, response_of))),
        gold=trusted(rows, config.gold_column),
        neighbours=space.near if space is not None and len(rows) > 1 else None,
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


def trusted(rows: Dataset, name: str) -> NDArray[np.float64] | None:
    """Trusted scores (n,) as the input's column has them, NaN where it has none; None where no column is named."""
    if not name:
        return None
    values = [json.loads(row["original"]).get(name) if row["original"] else None for row in each(rows, "original")]
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
        low = np.array([score <= config.pool_max_score for score in column(rows, "score")], bool)
        rule, threshold = f"score <= {config.pool_max_score}", float(config.pool_max_score)
    else:
        expected = np.array(column(rows, "expected_score"), float)
        threshold = float(np.quantile(expected, config.pool_quantile))
        low, rule = expected <= threshold, f"lowest {config.pool_quantile:.0%} of expected scores"
    if not low.any():
        raise StageError("pool", f"no row has {rule}. Raise pool_max_score, or set pool to quantile or all")
    info = {"rows": int(low.sum()), "rule": rule, "threshold": threshold, "high_quality": int((~low).sum())}
    return set_columns(rows, {"in_pool": low.tolist()}), low, info


def purge(
    rows: Dataset, vectors: Floats | None, config: EntpConfig, contamination: Contamination | None = None,
    neighbours: Among | None = None,
) -> tuple[Dataset, NDArray[np.bool_], Info]:  # fmt: skip
    """Row rules, contamination, duplicates; returns all rows, which of them stay (n,), and the manifest's `purge`.

    `neighbours` as in `mark_duplicates`.
    """
    begun = time.perf_counter()
    rules = Purge.from_config(config)
    off = dataset_rules_off(config.purge_rules, config.purge_off)
    ray = RayHost.from_config(config)
    after, seconds = row_rules(rows, config, contamination, ray)
    limits = {**DATASET_THRESHOLDS, **dict(rules.thresholds)}
    after = mark_corpus(after, config, limits, off, rules.drop, seconds)
    after = mark_duplicates(
        after, vectors, config.near_duplicate, config.semantic_duplicate, off, seconds, neighbours, ray
    )
    report = purge_report(rows, after, seconds, config.purge_warn_share, rules.names())
    stay = np.array([reason is None for reason in column(after, "dropped_by")], bool)
    whole = round(time.perf_counter() - begun, 3)
    return after, stay, {"rows_in": len(rows), "rows_out": int(stay.sum()), "seconds": whole, **report}


def row_rules(
    rows: Dataset, config: EntpConfig, contamination: Contamination | None, ray: RayHost | None
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


def find_clusters(pool: Dataset, vectors: Floats, config: EntpConfig) -> tuple[Corpus, Clusters, Info]:
    """Cluster the pool and mark its representatives; returns it as a corpus, and the manifest's `clusters`."""
    found = cluster(vectors, config.cluster_counts, config.silhouette_sample, config.seed)
    kinds = kinds_of(pool)
    can = [bool(kind) for kind in kinds]
    wanted = groups_possible(sum(can), 0, config) or min(len(pool), found.k)
    chosen = set(representatives(vectors, found, wanted, can))
    pool = set_columns(pool, {"cluster": found.label, "representative": [i in chosen for i in range(len(pool))]})
    return (
        Corpus(pool, vectors, found.label, kinds),
        found,
        {
            "rows": len(pool),
            "k": found.k,
            "silhouette": round(found.silhouette, 4),
            "curve": [{"k": k, "silhouette": s} for k, s in found.curve],
            "sizes": found.sizes(),
            "representatives": len(chosen),
            "warnings": found.warnings(),
            "map": map_of(vectors, found, chosen, lambda i: (pool[i]["id"], instruction_of(pool[i])), config.seed),
        },
    )


def usable(good: Dataset, config: EntpConfig, contamination: Contamination | None) -> Dataset:
    """Good rows that pass the purge and hold no benchmark item; looked at only where the dataset asks for them."""
    if not config.high_quality_ratio or not len(good):
        return as_dataset([])
    after, stay, _ = purge(good, None, config, contamination)
    return pick(after, stay)
