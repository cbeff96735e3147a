"""Prior over a row's quality level, from its neighbors and features; its own rating is not used.

The product of two sources: neighbors' votes, prod_j T[l, r_j]^(d w_j), which is Bayes' rule where neighbors share a
level; and a regression of ratings on embeddings, neighbors' means and features, which assumes no such thing (neither
the regression nor the damping is in the paper). Use of the regression, number of neighbors and damping are chosen by
the likelihood of the rows' own ratings: neither other raters nor trusted scores are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, FloatMatrix, Ints
from ..embedding.exact import fine
from ..embedding.neighbors import Neighbors
from ..schema import LEVELS
from . import latent_class as latent
from .latent_class import Latent
from .patterns import unique_rows
from .rating_scale import rated

# Not in the paper:
NUM_NEIGHBORS = 30  # neighbors searched for, of which fewer may vote
DAMPINGS = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.0)
MIN_LOG_LIKELIHOOD_GAIN = 1e-4  # log-likelihood gain per row (nats) needed to prefer a more complex option
COUNTS = (5, 10, 20, 30)  # neighbors that vote
SHARPNESS = (0.0, 10.0)  # weight of neighbor j: exp(-sharpness * (distance_j - distance_1))
FOLDS = 5
RIDGES = (30.0, 300.0, 3000.0, 30000.0)
SAMPLE = 20_000  # rows on which the choice is made
MIN_ROWS = 250  # rows for one bin of predictions; with fewer than two bins there is no regression
MOST_BINS = 40
BLOCK = 8192  # rows of embeddings that the regression holds at once


@dataclass(frozen=True)
class Choice:
    """Form of the local prior.

    `gain`: mean log-likelihood of a row's own ratings beyond that under the global prior, in nats.
    """

    predicted: bool = False  # begin with the regression's prior, else with the model's
    votes: int = 10
    sharpness: float = 0.0
    damping: float = 0.0
    gain: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class LocalPrior:
    """The local prior of N distinct rows.

    `whole`: ratings (N, R), -1 where missing. `near`: neighbors. `model`: fitted prior and T. `predicted`: the
    regression's log prior (N, L), or None.
    """

    whole: Ints
    near: Neighbors
    model: Latent
    predicted: Float64 | None

    def log_prior(self, choice: Choice, rows: Ints) -> Float64:
        """Log prior of the level of `rows` under `choice`, own ratings not used, not normalised; (n, L)."""
        begin = np.log(self.model.prior + latent.TINY)[None]
        if choice.predicted and self.predicted is not None:
            begin = self.predicted[rows]
        if not choice.damping:
            return np.repeat(begin, len(rows) // len(begin), axis=0)
        index, weight = self.near.index[rows, : choice.votes], self._weights(choice.sharpness, rows, choice.votes)
        votes = np.zeros((len(rows), len(self.model.prior)))
        for rater in range(self.whole.shape[1]):
            cast = latent.log_votes(self.whole[index, rater], self.model.transition[rater])
            votes += (cast * weight[:, :, None]).sum(axis=1)
        out: Float64 = begin + choice.damping * votes
        return out

    def _weights(self, sharpness: float, rows: Ints, votes: int) -> Float64:
        distance = self.near.distance[rows, :votes].astype(float)
        weight: Float64 = np.exp(-sharpness * (distance - distance[:, :1]))
        return weight

    def ballots(self, choice: Choice) -> Float64:
        """The first rater's votes by rating among the neighbors that vote, damped, (N, K)."""
        rows = np.arange(len(self.whole))
        votes, weight = (
            self.whole[self.near.index[:, : choice.votes], 0],
            choice.damping * self._weights(choice.sharpness, rows, choice.votes),
        )
        return np.column_stack([(weight * (votes == rating)).sum(axis=1) for rating in range(LEVELS)])

    def own_likelihood(self, rows: Ints) -> Float64:
        """P(own ratings | level), (n, L)."""
        raters = range(self.whole.shape[1])
        return np.exp(sum(latent.log_votes(self.whole[rows, r], self.model.transition[r]) for r in raters))

    def choose(self, rows: Ints, target: Float64) -> Choice:
        """The form of the local prior under which the own ratings are most likely.

        Args:
            rows: (n,) numbers of the rows.
            target: (n, L) likelihood of each row's own ratings at each level.
        """
        reach = self.near.index.shape[1]
        counts = sorted({min(count, reach) for count in COUNTS})
        options = [Choice(predicted, counts[0]) for predicted in sorted({False, self.predicted is not None})]
        base = float(np.log(target @ self.model.prior + latent.TINY).mean())
        best = replace(options[0], gain=0.0)
        for count in counts:
            for sharpness in SHARPNESS:
                unit = self.log_prior(Choice(False, count, sharpness, 1.0), rows)
                unit = unit - np.log(self.model.prior + latent.TINY)
                for option in options:
                    begin = self.log_prior(option, rows)
                    for damping in DAMPINGS:
                        belief = latent.posterior(begin + damping * unit)
                        gain = float(np.log((belief * target).sum(axis=1) + latent.TINY).mean()) - base
                        if gain > best.gain + MIN_LOG_LIKELIHOOD_GAIN:
                            best = Choice(option.predicted, count, sharpness, damping, gain)
        return replace(best, gain=round(best.gain, 5))


def sample(rows: Ints, seed: int) -> Ints:
    """At most 20,000 of `rows`, in order."""
    if len(rows) <= SAMPLE:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))


def predict(
    whole: Ints, near: Neighbors, embeddings: FloatMatrix, features: Float64 | None, rows: Ints, seed: int
) -> tuple[Float64, Ints] | None:
    """Every row's mean rating, predicted without its own, shape (N,), and the fold that it was left out with.

    Two ridge regressions, cross-fitted: on embeddings; then on what that predicts, neighbors' means at three widths,
    and `features` (N, F) with their squares and products. None where there are too few rated `rows`.
    """
    if len(rows) < 2 * MIN_ROWS:
        return None
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(whole))
    seen = whole >= 0
    mean = np.where(seen, whole, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    target = np.where(seen, whole - mean, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    used = np.zeros(len(whole), bool)
    used[rows] = True

    def scaled(part: slice) -> Float64:
        rows: Float64 = fine(embeddings[part]) * np.sqrt(embeddings.shape[1])
        return rows

    first = _ridge(scaled, embeddings.shape[1], target, fold, used)
    columns = [first, *_neighbors_means(near, target, rated(whole)).T]
    if features is not None:
        extra = _standard(np.asarray(features, dtype=float))
        pairs = [extra[:, i] * extra[:, j] for i in range(extra.shape[1]) for j in range(i, extra.shape[1])]
        columns += [*extra.T, *pairs]
    wide = _standard(np.column_stack(columns))
    return _ridge(wide.__getitem__, wide.shape[1], target, fold, used), fold


def _neighbors_means(near: Neighbors, target: Float64, some: NDArray[np.bool_]) -> Float64:
    """Weighted means (N, 3) of the `target` (N,) of the 10, 20 and 30 nearest rows, of those that are rated."""
    out = np.empty((len(target), 3))
    for part in (slice(start, start + BLOCK) for start in range(0, len(target), BLOCK)):
        index, distance = near.index[part], near.distance[part]
        weight = np.exp(-10 * (distance - distance[:, :1])) * some[index]
        lent = weight * target[index]
        for column, count in enumerate((10, 20, NUM_NEIGHBORS)):
            total = np.maximum(weight[:, :count].sum(axis=1), 1e-9)
            out[part, column] = lent[:, :count].sum(axis=1) / total
    return out


def _standard(columns: Float64) -> Float64:
    spread = columns.std(axis=0)
    out: Float64 = (columns - columns.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    return out


def _ridge(
    columns: Callable[[slice], NDArray[Any]], width: int, target: Float64, fold: Ints, used: NDArray[np.bool_]
) -> Float64:
    """Cross-fitted ridge predictions, (N,); of `RIDGES`, the penalty that predicts best.

    `columns` gives rows of the design matrix (N, width), a block at a time, so that it need not be in memory. The five
    folds' Gram matrices are formed once and subtracted: scikit-learn's RidgeCV and cross_val_predict come to the same
    predictions in four times the time, with the whole matrix in memory.
    """
    grams, sides = np.zeros((FOLDS, width + 1, width + 1)), np.zeros((FOLDS, width + 1))
    parts = [slice(start, start + BLOCK) for start in range(0, len(target), BLOCK)]
    for part in parts:
        wide = _with_one(columns(part))
        for f in range(FOLDS):
            mine = wide[used[part] & (fold[part] == f)]
            grams[f] += mine.T @ mine
            sides[f] += mine.T @ target[part][used[part] & (fold[part] == f)].astype(wide.dtype)
    penalty = np.diag(np.r_[np.ones(width), 1e-6])
    weights = np.array(
        [
            [
                np.linalg.solve(grams.sum(axis=0) - grams[f] + ridge * penalty, sides.sum(axis=0) - sides[f])
                for f in range(FOLDS)
            ]
            for ridge in RIDGES
        ]
    )
    guess = np.empty((len(RIDGES), len(target)))
    for part in parts:
        wide = _with_one(columns(part))
        for f in range(FOLDS):
            mine = np.flatnonzero(fold[part] == f)
            guess[:, part.start + mine] = weights[:, f] @ wide[mine].T
    wrong = ((guess - target) ** 2)[:, used].mean(axis=1)
    best: Float64 = guess[np.round(wrong, 9).argmin()]
    return np.round(best, 6)  # so that no bin's edge hangs on the last digits


def _with_one(columns: NDArray[Any]) -> NDArray[Any]:
    return np.hstack([columns, np.ones((len(columns), 1), columns.dtype)])


def levels_given(prediction: Float64, fold: Ints, whole: Ints, rows: Ints, model: Latent) -> Float64:
    """Log P(level | prediction), (N, L): predictions in bins, and in each the levels that explain the others' ratings.

    T is held; a row's own fold does not count for it. Two rows' worth of the prior are added to each bin.
    """
    bins = int(np.clip(len(rows) // MIN_ROWS, 2, MOST_BINS))
    edges = np.quantile(prediction[rows], np.arange(1, bins) / bins)
    place = np.searchsorted(edges, prediction)
    patterns, _, code = unique_rows(whole[rows])
    votes = sum(latent.log_votes(patterns[:, r], model.transition[r]) for r in range(whole.shape[1]))
    likely = np.exp(votes)  # (M, L)
    table = np.zeros((FOLDS, bins, len(patterns)))
    np.add.at(table, (fold[rows], place[rows], code), 1)
    out = np.empty((len(prediction), len(model.prior)))
    for f in range(FOLDS):
        counted = table.sum(axis=0) - table[f]
        share = np.tile(model.prior, (bins, 1))
        for _ in range(200):
            scale = counted / np.maximum(share @ likely.T, latent.TINY)
            share = share * (scale @ likely) + 2 * model.prior
            share /= share.sum(axis=1, keepdims=True)
        mine = fold == f
        out[mine] = np.log(share + latent.TINY)[place[mine]]
    return out


def lengths(instructions: Iterable[str], responses: Iterable[str]) -> Float64:
    """Log characters of instruction, response and both, (N, 3): cheap features that raters' scores follow closely."""
    sizes = [(len(a), len(b), len(a) + len(b)) for a, b in zip(instructions, responses, strict=True)]
    out: Float64 = np.log1p(np.array(sizes, float).reshape(-1, 3))
    return out
