"""Ratings on 0..5: checks, means over raters, and the score on that scale of each latent level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, Ints
from ..errors import StageError
from ..schema import LEVELS
from . import latent_class as latent
from .latent_class import Latent

FAIR = 1 / 3  # share of a rating's rows that makes it agree with a level (not in the paper)


def as_levels(ratings: Float64) -> Ints:
    """Ratings (N, R) as whole numbers, -1 where NaN. StageError for ratings off the scale, naming the rows."""
    off = np.argwhere(~np.isnan(ratings) & ~((ratings >= 0) & (ratings <= LEVELS - 1)))
    if len(off):
        row, rater = off[0]
        raise StageError(
            "correct",
            f"rating {ratings[row, rater]:g} of rater {rater} is not on the scale "
            f"0..{LEVELS - 1}; compress it, or mask it with NaN",
            [str(r) for r, _ in off],
        )
    return np.where(np.isnan(ratings), -1, np.rint(np.nan_to_num(ratings))).astype(np.int64)


def rated(whole: Ints) -> NDArray[np.bool_]:
    """(N,): some rater rated the row."""
    some = np.zeros(len(whole), bool)
    for rater in range(whole.shape[1]):
        some |= whole[:, rater] >= 0
    return some


def mean_rating(ratings: Float64) -> Float64:
    """Mean of the ratings that a row has, (N,); 0 where it has none."""
    seen = ~np.isnan(ratings)
    mean: Float64 = np.nansum(ratings, axis=1) / np.maximum(seen.sum(axis=1), 1)
    return mean


def one_per_text(ratings: Float64, originals: Ints, back: Ints) -> Float64:
    """Ratings (M, R) of distinct texts: the mean, per rater, of those that a text's copies got; NaN where none did."""
    if len(originals) == len(back):
        return ratings
    seen = ~np.isnan(ratings)
    total, count = np.zeros((len(originals), ratings.shape[1])), np.zeros((len(originals), ratings.shape[1]))
    np.add.at(total, back, np.where(seen, ratings, 0))
    np.add.at(count, back, seen)
    out: Float64 = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out


def marginal(whole: Ints) -> Float64:
    """Share of each rating 0..5 among all that were given, (6,)."""
    share: Float64 = np.bincount(whole[whole >= 0], minlength=LEVELS) / max((whole >= 0).sum(), 1)
    return share


def reference(ratings: Float64, whole: Ints) -> Ints:
    """The rating that a row has before correction, (N,); -1 where none rated.

    One rater: its own. Several: their mean, carried to the distribution of single ratings by rank, because means crowd
    in the middle of the scale (not in the paper).
    """
    if whole.shape[1] == 1:
        return whole[:, 0]
    some = rated(whole)
    mean = mean_rating(ratings)[some]
    _, position, counts = np.unique(mean, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    out = np.full(len(whole), -1)
    out[some] = np.searchsorted(np.cumsum(marginal(whole))[:-1], middle[position])
    return out


def scale(model: Latent, share: Float64) -> tuple[Float64, Ints]:
    """Each level's score on 0..5 and the lowest and highest rating that agree with it, shapes (L,) and (L, 2).

    Levels take the ratings' distribution `share` (K,) in order, quantile by quantile, so that corrected scores keep
    the scale of the raw ones (a level's own expected rating would be drawn to the middle by the noise; not in the
    paper). A rating that straddles levels agrees with each of which it has its fair share.
    """
    levels, k = model.transition.shape[1:]
    if levels == k:
        return np.arange(k, dtype=float), np.repeat(np.arange(k)[:, None], 2, axis=1)
    edges = np.clip(np.concatenate([[0], np.cumsum(model.prior)]), 0, 1)
    edges[-1] = 1.0
    cdf = np.concatenate([[0], np.cumsum(share)])
    overlap = np.minimum(edges[1:, None], cdf[None, 1:]) - np.maximum(edges[:-1, None], cdf[None, :-1])
    overlap = np.maximum(overlap, 0)
    scores = overlap @ np.arange(k) / np.maximum(overlap.sum(axis=1), latent.TINY)
    owner = overlap.argmax(axis=0)
    bands = np.repeat(np.floor(scores + 0.5).astype(np.int64)[:, None], 2, axis=1)
    for rating in np.flatnonzero(share):
        for level in {owner[rating], *np.flatnonzero(overlap[:, rating] >= FAIR * share[rating])}:
            bands[level] = min(bands[level, 0], rating), max(bands[level, 1], rating)
    return scores, bands
