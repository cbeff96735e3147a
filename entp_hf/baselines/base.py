"""The input of every selector: the rows of a pool, with ratings, scores and embeddings computed once and shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from datasets import Dataset

from ..arrays import Float64, FloatMatrix, Ints
from ..config import EntpConfig
from ..correction import rating_scale as scale
from ..correction.stage import correct, space_of
from ..embedding.embed import Embed
from ..embedding.neighbors import Neighbors, Space
from ..errors import ConfigError
from ..rating.stage import rate_rows
from ..schema import Row

Settings = Mapping[str, float | str]


@dataclass(frozen=True)
class Picked:
    """`index`: row numbers of the pool, best first. `score`: what they were ranked by, same order; None: nothing."""

    index: Ints
    score: Float64 | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Pool:
    """N rows of `schema.FEATURES`. Ratings, embeddings and corrected scores are computed when first asked for.

    `config` says how (raters, correction, embedder, model, batch_size, device, cache_dir, seed). `target`: rows with
    `messages` that the selection shall help with, and optionally `task`. One pool may serve many selections.
    """

    rows: Dataset
    config: EntpConfig
    target: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def listed(self) -> list[Row]:
        """The rows as dicts."""
        return list(self.rows)

    @cached_property
    def vectors(self) -> FloatMatrix:
        """Sentence embeddings (N, d), unit length."""
        return Embed.from_config(self.config).encode_rows(self.rows, desc="embed")

    @cached_property
    def space(self) -> Space:
        """The embeddings and the nearest distinct rows of each."""
        return space_of(self.rows, self.vectors, self.config)

    @cached_property
    def neighbors(self) -> Neighbors:
        """The 30 nearest rows of each, or more; exact copies are left out."""
        return self.space.near

    @cached_property
    def long_tail(self) -> FloatMatrix:
        """Mean cosine distance to the 10 nearest rows, (N,)."""
        return self.neighbors.long_tail()

    @cached_property
    def _rated(self) -> tuple[Dataset, list[str]]:
        rows, names = rate_rows(self.rows, self.config)
        if not names:
            raise ConfigError(["raters: this method needs ratings; name a rater, or `column` with rating_columns"])
        return rows, names

    @cached_property
    def ratings(self) -> Float64:
        """Raw ratings 0..5, (N, R); NaN where a rater gave none."""
        rows, _ = self._rated
        return np.array([[np.nan if v is None else v for v in r] for r in rows["ratings"][:]], dtype=float)

    @cached_property
    def raw_score(self) -> Float64:
        """The rating before correction on 0..5, (N,): one rater's own, or several's mean; NaN: unrated."""
        seen = ~np.isnan(self.ratings).all(axis=1)
        return np.where(seen, scale.mean_rating(self.ratings), np.nan)

    @cached_property
    def raw_level(self) -> Float64:
        """Like `raw_score`, in whole numbers 0..5 with the distribution of single ratings; NaN: unrated."""
        level = scale.reference(self.ratings, scale.as_levels(self.ratings))
        return np.where(level >= 0, level, np.nan)

    @cached_property
    def corrected(self) -> Float64:
        """Scores 0..5 after the correction of ratings, (N,); NaN: unrated."""
        rows, names = self._rated
        rows, _ = correct(rows, self.space, names, self.config)
        return np.array([np.nan if v is None else v for v in rows["score"][:]], dtype=float)

    def needs_target(self, method: str) -> list[Row]:
        """The target rows; ConfigError where there are none."""
        if not self.target:
            raise ConfigError(
                [
                    f"target: {method} chooses rows that are like a target set; give a file of rows with "
                    "`messages` from the tasks that matter, never from a test set"
                ]
            )
        return self.target


def best_first(score: Float64, n: int, seed: int, then: Float64 | None = None) -> Picked:
    """The n rows of highest score; ties by `then`, highest first, and else in a seeded random order. NaN: never."""
    shuffled = np.random.default_rng(seed).permutation(len(score))
    keys = [-score[shuffled]] if then is None else [-then[shuffled], -score[shuffled]]
    order = shuffled[np.lexsort(keys)]
    order = order[~np.isnan(score[order])][:n]
    lost = int(np.isnan(score).sum())
    notes = [f"{lost:,} of {len(score):,} rows have no score and can't be chosen"] if lost else []
    return Picked(order.astype(np.int64), score[order], notes)
