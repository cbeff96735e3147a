"""The input, settings and result that the correction methods share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, FloatMatrix, Ints
from ..embedding.neighbors import Neighbors
from . import rating_scale as scale


@dataclass(frozen=True)
class CorrectedRatings:
    """Scores of N rows, and the model behind them; L levels, R raters, K = 6 ratings.

    `expected` ranks rows best and is what agrees most with other raters; `score` is its whole-number companion.
    """

    score: Ints  # (N,) 0..5; -1: unrated
    expected: Float64  # (N,) posterior mean; NaN: unrated
    confidence: Float64  # (N,) posterior probability of the score's level; NaN: unrated, or nothing was corrected
    changed: NDArray[np.bool_]  # (N,)
    long_tail: FloatMatrix | None  # (N,) or None without embeddings
    info: dict[str, Any] = field(default_factory=dict)  # the manifest's `correction`, see manifest.py
    posterior: Float64 | None = None  # (N, L)
    neighbors: Neighbors | None = None  # in numbers of these rows, for stages that need them too

    def columns(self) -> dict[str, list[Any]]:
        """The row columns that this fit fills."""
        rated = self.score >= 0

        def none_if(values: Float64) -> list[float | None]:
            return [round(float(v), 6) if r and np.isfinite(v) else None for v, r in zip(values, rated, strict=True)]

        columns: dict[str, list[Any]] = {
            "score": [int(v) if r else None for v, r in zip(self.score, rated, strict=True)],
            "expected_score": none_if(self.expected),
            "confidence": none_if(self.confidence),
            "rating_changed": self.changed.tolist(),
        }
        if self.long_tail is not None:
            columns["long_tail"] = self.long_tail.tolist()
        return columns


@dataclass(frozen=True)
class Task:
    """Input of a correction method: ratings, neighbors and features of M distinct texts."""

    ratings: Float64  # (M, R), NaN: missing
    whole: Ints  # (M, R), -1: missing
    near: Neighbors | None
    embeddings: FloatMatrix | None
    features: Float64 | None
    gold: Float64  # (M,), NaN: not known
    seed: int

    @property
    def rated(self) -> NDArray[np.bool_]:
        """(M,): some rater rated it."""
        return scale.rated(self.whole)


@dataclass(frozen=True)
class CorrectionSettings:
    """See `correct_ratings`."""

    neighbors: int
    damping: float
    levels: int
    change_confidence: float


def as_they_came(task: Task, notes: list[str], method: str, **more: Any) -> CorrectedRatings:
    """No correction: the reference rating, its mean over raters as the expected score, no confidence at all."""
    rated = task.rated
    info: dict[str, Any] = {"method": method, "basis": "none", "notes": notes, **more}
    expected = np.where(rated, scale.mean_rating(task.ratings), np.nan)
    return CorrectedRatings(
        score=scale.reference(task.ratings, task.whole),
        expected=expected,
        confidence=np.full(len(rated), np.nan),
        changed=np.zeros(len(rated), bool),
        long_tail=None,
        info=info,
    )
