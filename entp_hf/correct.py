"""Correct noisy ratings: estimate the score transition matrix, then each row's posterior of the true score.

Method: ENTP section "rating correction" after DS2 (arXiv 2410.10877). Where DS2 fits T by gradient descent on
consensus counts and re-ranks by votes, the default here fits the same model by EM and applies Bayes' rule:
P(s | ...) ~ p_s T[s, own] prod_j T[s, r_j]^d over the k nearest rows' ratings r_j (ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import latent
from .errors import StageError
from .evidence import agreement, blocks_of, choose_damping, choose_levels
from .latent import Array, Block, Latent
from .neighbours import Floats, Ints, Neighbours, check_embeddings, nearest_distinct
from .schema import LEVELS

STABLE = 0.08  # largest split-half distance of T at which a number of levels counts as supported (ours)
FEWEST = 20  # least expected rows in a level that ratings may be corrected into (ours)
DAMPINGS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
BOOTSTRAPS = 50


@dataclass(frozen=True)
class CorrectedRatings:
    """Scores of N rows, and the model behind them; L levels, R raters, K = 6 ratings."""

    score: Ints  # (N,) 0..5; -1: unrated
    expected: Array  # (N,) posterior mean; NaN: unrated
    confidence: Array  # (N,) posterior probability of the score's level; NaN: unrated
    changed: NDArray[np.bool_]  # (N,)
    long_tail: Floats | None  # (N,) or None without embeddings
    info: dict[str, Any] = field(default_factory=dict)  # the manifest's `correction`, see manifest.py

    def columns(self) -> dict[str, list[Any]]:
        """The row columns that this fit fills."""
        rated = self.score >= 0
        none_if = lambda values: [float(v) if r else None for v, r in zip(values, rated, strict=True)]  # noqa: E731
        columns: dict[str, list[Any]] = {
            "score": [int(v) if r else None for v, r in zip(self.score, rated, strict=True)],
            "expected_score": none_if(self.expected),
            "confidence": none_if(self.confidence),
            "rating_changed": self.changed.tolist(),
        }
        if self.long_tail is not None:
            columns["long_tail"] = self.long_tail.tolist()
        return columns


def correct_ratings(
    ratings: Array,
    embeddings: Floats | None = None,
    *,
    copy_of: Ints | None = None,
    method: str = "posterior",
    neighbors: int = 10,
    damping: float = -1.0,
    levels: int = 0,
    change_confidence: float = 0.5,
    seed: int = 0,
) -> CorrectedRatings:
    """Correct `ratings` (N, R) on 0..5, NaN where a rater gave none.

    `embeddings` (N, d) are needed for fewer than three raters, whose missing votes the neighbours lend. `copy_of` (N,)
    names the first row of each set of exact copies. `levels` 0: the most, up to 6, on which split halves agree.
    `damping` < 0: the weight of neighbours under which the rows' own ratings are most likely. Raises StageError for
    ratings off the scale, fewer than three distinct rated rows, or embeddings that are not finite.
    """
    ratings = np.asarray(ratings, dtype=float)
    if ratings.ndim == 1:
        ratings = ratings[:, None]
    whole = _as_levels(ratings)
    copy_of = np.arange(len(whole)) if copy_of is None else copy_of
    raters = whole.shape[1]
    rated = (whole >= 0).any(axis=1)
    if len(np.unique(copy_of[rated])) < 3:
        raise StageError("correct", f"{len(np.unique(copy_of[rated]))} distinct rated rows; at least 3 are needed to "
                         "tell noise from quality. Add rows, or set correction to none")  # fmt: skip
    near = None
    if embeddings is not None:
        check_embeddings(embeddings, "correct")
        near = nearest_distinct(embeddings, copy_of, neighbors)
    reference = _reference(ratings, whole)
    tail = near.long_tail() if near is not None else None
    if method == "none":
        info: dict[str, Any] = {"method": "none", "basis": "none", "notes": ["ratings were taken as they came"]}
        expected = np.where(rated, np.nan_to_num(_mean(ratings)), np.nan)
        return CorrectedRatings(
            reference, expected, np.where(rated, 1.0, np.nan), np.zeros(len(whole), bool), tail, info
        )
    if near is None and raters < 3:
        raise StageError("correct", f"{raters} rater(s) need embeddings: neighbours lend the missing votes. Give "
                         "embeddings, at least three raters, or set correction to none")  # fmt: skip
    if method == "simifeat":
        if near is None:
            raise StageError("correct", "correction simifeat votes among neighbours and needs embeddings")
        from .simifeat import vote

        return vote(reference, near, copy_of, change_confidence, tail)
    return _bayes(whole, reference, near, copy_of, damping, levels, change_confidence, seed, tail)


def _as_levels(ratings: Array) -> Ints:
    off = np.argwhere(~np.isnan(ratings) & ((ratings < 0) | (ratings > LEVELS - 1)))
    if len(off):
        row, rater = off[0]
        raise StageError("correct", f"rating {ratings[row, rater]:g} of rater {rater} is not on the scale 0..{LEVELS - 1}",
                         [str(r) for r, _ in off])  # fmt: skip
    return np.where(np.isnan(ratings), -1, np.rint(np.nan_to_num(ratings))).astype(np.int64)


def _mean(ratings: Array) -> Array:
    seen = ~np.isnan(ratings)
    mean: Array = np.nansum(ratings, axis=1) / np.maximum(seen.sum(axis=1), 1)
    return mean


def _reference(ratings: Array, whole: Ints) -> Ints:
    """The rating that a row has before correction, (N,); -1 where none rated.

    One rater: its own. Several: their mean, carried to the distribution of single ratings by rank, because means crowd
    in the middle of the scale (ours).
    """
    rated = (whole >= 0).any(axis=1)
    if whole.shape[1] == 1:
        return whole[:, 0]
    mean = _mean(ratings)[rated]
    values, position, counts = np.unique(mean, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    reference = np.full(len(whole), -1)
    reference[rated] = np.searchsorted(np.cumsum(_marginal(whole))[:-1], middle[position])
    return reference


def _marginal(whole: Ints) -> Array:
    """Share of each rating 0..5 among all that were given, (6,)."""
    share: Array = np.bincount(whole[whole >= 0], minlength=LEVELS) / (whole >= 0).sum()
    return share


def _bayes(
    whole: Ints, reference: Ints, near: Neighbours | None, copy_of: Ints, damping: float, levels: int,
    change_confidence: float, seed: int, tail: Floats | None,
) -> CorrectedRatings:  # fmt: skip
    raters = whole.shape[1]
    rated = (whole >= 0).any(axis=1)
    distinct = np.flatnonzero((copy_of == np.arange(len(whole))) & rated)
    lends = near if raters < 3 else None
    blocks = blocks_of(whole, lends, distinct)
    marginal = _marginal(whole)
    stability: list[dict[str, float]] = []
    if levels == 0:
        levels, stability = choose_levels(whole, lends, distinct, marginal, seed, STABLE)
    model = latent.fit(blocks, latent.start(marginal, levels, raters))
    spread = _bootstrap(blocks, model, len(distinct), seed)
    weight = 0.0
    if lends is not None:
        weight = choose_damping(whole, lends, distinct, model, DAMPINGS) if damping < 0 else damping
    probability = latent.posterior(_logits(whole, lends, model, weight))
    scores, bands = _scale(model, marginal)
    identified = model.prior * len(distinct) >= FEWEST
    best = (
        np.where(identified[None], probability, -1).argmax(axis=1) if identified.any() else probability.argmax(axis=1)
    )
    confidence = probability[np.arange(len(whole)), best]
    low, high = bands[best, 0], bands[best, 1]
    sure = (confidence >= change_confidence) & identified[best] & rated
    inside = (reference >= low) & (reference <= high)
    target = np.clip(np.floor(scores[best] + 0.5), low, high).astype(np.int64)
    score = np.where(rated, np.where(sure & ~inside, target, reference), -1)
    info = {
        "method": "posterior",
        "basis": "neighbours" if lends is not None else "raters",
        "levels": int(levels),
        "level_scores": _round(scores),
        "prior": _round(model.prior),
        "transition": _round(model.transition),
        "transition_se": _round(spread),
        "identified": identified.tolist(),
        "stability": stability,
        "damping": weight,
        "agreement": agreement(whole, near, distinct) if near is not None else {},
        "notes": _notes(lends is not None, levels, identified, weight),
    }
    expected = np.where(rated, probability @ scores, np.nan)
    return CorrectedRatings(
        score, expected, np.where(rated, confidence, np.nan), (score != reference) & rated, tail, info
    )


def _logits(whole: Ints, near: Neighbours | None, model: Latent, damping: float) -> Array:
    logits = np.tile(np.log(model.prior + latent.TINY), (len(whole), 1))
    for rater in range(whole.shape[1]):
        logits += latent.log_votes(whole[:, rater], model.transition[rater])
        if near is not None and damping:
            logits += damping * latent.log_votes(whole[near.index, rater], model.transition[rater]).sum(axis=1)
    return logits


def _scale(model: Latent, marginal: Array) -> tuple[Array, Ints]:
    """Each level's score on 0..5 and the lowest and highest rating that agree with it, shapes (L,) and (L, 2).

    Levels take the ratings' distribution in order, quantile by quantile, so that corrected scores keep the scale of
    the raw ones (a level's own expected rating would be drawn to the middle by the noise) (ours).
    """
    levels, k = model.transition.shape[1:]
    if levels == k:
        return np.arange(k, dtype=float), np.repeat(np.arange(k)[:, None], 2, axis=1)
    edges = np.clip(np.concatenate([[0], np.cumsum(model.prior)]), 0, 1)
    edges[-1] = 1.0
    cdf = np.concatenate([[0], np.cumsum(marginal)])
    overlap = np.minimum(edges[1:, None], cdf[None, 1:]) - np.maximum(edges[:-1, None], cdf[None, :-1])
    overlap = np.maximum(overlap, 0)
    scores = overlap @ np.arange(k) / np.maximum(overlap.sum(axis=1), latent.TINY)
    owner = overlap.argmax(axis=0)
    bands = np.repeat(np.floor(scores + 0.5).astype(np.int64)[:, None], 2, axis=1)
    for rating in np.flatnonzero(marginal):
        level = owner[rating]
        bands[level] = min(bands[level, 0], rating), max(bands[level, 1], rating)
    return scores, bands


def _bootstrap(blocks: Sequence[Block], model: Latent, rows: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    fits = [latent.fit(latent.resampled(blocks, rows, rng), model, 1e-6, 200).transition for _ in range(BOOTSTRAPS)]
    spread: Array = np.std(fits, axis=0)
    return spread


def _notes(by_neighbours: bool, levels: int, identified: NDArray[np.bool_], damping: float) -> list[str]:
    notes = []
    if by_neighbours:
        notes.append("The correction rests on near neighbours sharing a true score; where they do not, the confidence is "
                     f"too high. Neighbours were weighted {damping:g} against 1 for the row's own rating.")  # fmt: skip
    else:
        notes.append("The correction rests on the raters' mistakes being independent given the true score.")
    if levels < LEVELS:
        notes.append(
            f"The data support {levels} distinct quality levels, not {LEVELS}: more do not repeat on split halves."
        )
    if not identified.all():
        notes.append(f"Levels {np.flatnonzero(~identified).tolist()} hold fewer than {FEWEST} rows: nothing was corrected "
                     "into them.")  # fmt: skip
    return notes


def _round(values: Array) -> list[Any]:
    listed: list[Any] = np.round(values, 4).tolist()
    return listed
