"""Correction stage: correct the ratings of a dataset and choose the low-quality pool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..embedding.neighbors import Space, copies_of
from ..errors import StageError
from ..execution.stage import set_columns
from ..execution.tables import column, each
from ..io.manifest import CorrectionSection, PoolSection, RatingsSection, RunRecord
from ..schema import LEVELS, instruction_of, response_of
from .correct import correct_ratings
from .local_prior import NUM_NEIGHBORS, lengths


def space_of(rows: Dataset, vectors: FloatMatrix, config: EntpConfig) -> Space:
    """The rows' embeddings (n, d) with what is needed to search for neighbors, which is done when first asked for."""
    return Space(vectors, copies_of(rows), max(NUM_NEIGHBORS, config.neighbors))


def correct(rows: Dataset, space: Space | None, names: Sequence[str], config: EntpConfig) -> tuple[Dataset, RunRecord]:
    """Correct the ratings, with the texts' lengths and trusted scores as further evidence; nothing without a rater.

    The info is the manifest's `ratings` and `correction`.
    """
    if not names:
        return rows, {}
    ratings = np.array([[np.nan if v is None else v for v in r] for r in column(rows, "ratings")], dtype=float)
    result = correct_ratings(
        ratings,
        None if space is None else space.vectors,
        copy_of=copies_of(rows) if space is None else space.copy_of,
        features=None
        if space is None
        else lengths(*(map(part, each(rows, "messages", "input")) for part in (instruction_of, response_of))),
        gold=trusted(rows, config.gold_column),
        neighbor_table=space.near if space is not None and len(rows) > 1 else None,
        method=config.correction,
        neighbors=config.neighbors,
        damping=config.damping,
        levels=config.levels,
        change_confidence=config.change_confidence,
        seed=config.seed,
    )
    seen = ~np.isnan(ratings)
    summary: RatingsSection = {
        "names": list(names),
        "raw": [_counts(ratings[seen[:, r], r]) for r in range(ratings.shape[1])],
        "unrated": (~seen).sum(axis=0).tolist(),
        "corrected": _counts(result.score[result.score >= 0]),
        "changed": int(result.changed.sum()),
        "mean_confidence": round(float(np.nanmean(result.confidence)), 4)
        if np.isfinite(result.confidence).any()
        else None,
    }
    return set_columns(rows, result.columns()), {
        "ratings": summary,
        "correction": cast(CorrectionSection, result.info),
    }


def trusted(rows: Dataset, name: str) -> NDArray[np.float64] | None:
    """Trusted scores (n,) as the input's column has them, NaN where it has none; None where no column is named."""
    if not name:
        return None
    values = [json.loads(row["original"]).get(name) if row["original"] else None for row in each(rows, "original")]
    return np.array([np.nan if v is None or not str(v).strip() else float(v) for v in values])


def _counts(values: NDArray[Any]) -> list[int]:
    counted: list[int] = np.bincount(np.rint(values).astype(int), minlength=LEVELS).tolist()
    return counted


def choose_pool(rows: Dataset, config: EntpConfig) -> tuple[Dataset, NDArray[np.bool_], PoolSection]:
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
    info: PoolSection = {
        "rows": int(low.sum()),
        "rule": rule,
        "threshold": threshold,
        "high_quality": int((~low).sum()),
    }
    return set_columns(rows, {"in_pool": low.tolist()}), low, info
