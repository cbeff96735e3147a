"""Maximum likelihood of a latent-class model of ratings: prior p over L true levels, one K-column T for each rater.

T[r, l, b] = P(rater r says b | true level l). Views of one row are independent given its level. With three raters the
views are the raters (Dawid and Skene, 1979); with fewer, a row's neighbors lend theirs (k-NN clusterability, Zhu et
al., arXiv 2102.05291). Fitted by EM: monotone, no seed, no learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..arrays import Float64

TINY = 1e-12
DIGITS = 8  # decimals that a fit keeps: processors differ in the last digits of exp, log and sums (not in the paper)
SLOPES = (1.5, 0.7)  # decay of mistakes with distance in the two starts; the likelier fit is kept (not in the paper)


@dataclass(frozen=True)
class Block:
    """Counted patterns of ratings.

    `ratings` (M, V), -1 where missing; `weight` (M,) rows of each pattern; `raters` (V,): the rater of each view.
    """

    ratings: NDArray[np.int64]
    weight: Float64
    raters: tuple[int, ...]


@dataclass(frozen=True)
class Latent:
    """A fitted model: `prior` (L,), `transition` (R, L, K), mean log-likelihood per pattern.

    `failed` (R,): share of a rater's ratings that are 0 whatever the level, because rating failed; `transition` has
    them in its column 0.
    """

    prior: Float64
    transition: Float64
    likelihood: float = -np.inf
    failed: Float64 | None = None

    def seen(self) -> NDArray[np.bool_]:
        """Levels that hold rows, (L,); rows of T for empty levels keep their initial values and are meaningless."""
        seen: NDArray[np.bool_] = self.prior > 1e-9
        return seen


def log_votes(ratings: NDArray[np.int64], transition: Float64) -> Float64:
    """Log T[:, rating] for each entry, shape (..., L); 0 where the rating is missing (-1)."""
    table = np.vstack([np.log(transition.T + TINY), np.zeros((1, transition.shape[0]))])  # row -1: missing
    votes: Float64 = table[ratings]
    return votes


def starts(marginal: Float64, levels: int, views: int) -> list[Latent]:
    """Deterministic starts from the pooled ratings' `marginal` (K,).

    As many levels as ratings: T near identity, so that renaming the ratings renames the fit. Fewer: levels at the
    marginal's quantiles, mistakes that fall with distance, slow and fast.
    """
    k = len(marginal)
    if levels == k:
        rows = [np.exp(5 * np.eye(k))]
        prior = np.where(marginal > 0, marginal, 0)
    else:
        cdf = np.concatenate([[0], np.cumsum(marginal)])
        centres = np.interp((np.arange(levels) + 0.5) / levels, cdf, np.arange(k + 1) - 0.5)
        prior = np.full(levels, 1 / levels)
        away = np.abs(np.arange(k)[None] - centres[:, None])
        rows = [np.exp(-slope * away) + 0.02 for slope in SLOPES]
    scaled = [row / row.sum(axis=1, keepdims=True) for row in rows]
    return [Latent(prior / prior.sum(), np.repeat(row[None], views, axis=0)) for row in scaled]


def best(
    blocks: Sequence[Block],
    begin: Sequence[Latent],
    tolerance: float = 1e-10,
    most: int = 3000,
    failing: Sequence[int] = (),
) -> Latent:
    """The likeliest of the fits from each start in `begin`; the first of those that came to the same maximum."""
    fits = (fit(blocks, start, tolerance, most, failing) for start in begin)
    return max(fits, key=lambda model: round(model.likelihood, 6))


def fit(
    blocks: Sequence[Block], begin: Latent, tolerance: float = 1e-10, most: int = 3000, failing: Sequence[int] = ()
) -> Latent:
    """EM from `begin`, until the mean log-likelihood of a pattern grows by less than `tolerance`.

    Raters in `failing` have an outcome beside their T: a 0 that says nothing, as likely at every level. In the upper
    half of the levels every 0 is of that kind.
    """
    prior, transition = begin.prior, begin.transition
    failed = np.where(np.isin(np.arange(len(transition)), failing), 0.05, 0.0)
    transition = _with_failures(transition, failed)
    total = sum(float(block.weight.sum()) for block in blocks)
    k = transition.shape[2]
    marks = [[np.eye(k + 1)[block.ratings[:, v]][:, :k] for v in range(len(block.raters))] for block in blocks]
    before = -np.inf
    for _ in range(most):
        likelihood, new_prior, counts = _expect(blocks, marks, prior, transition)
        prior = new_prior / new_prior.sum()
        for rater in failing:
            failed[rater] = _take_failures(counts[rater], transition[rater], failed[rater])
        rows = counts.sum(axis=2, keepdims=True)
        share = counts / np.maximum(rows, TINY)
        fresh = failed[:, None, None] * np.eye(k)[0] + (1 - failed)[:, None, None] * share
        transition = np.where(rows > TINY * total, fresh, transition)
        likelihood /= total
        if likelihood - before < tolerance:
            break
        before = likelihood
    return align(Latent(prior, transition, likelihood, failed))


def _expect(
    blocks: Sequence[Block], marks: Sequence[Sequence[Float64]], prior: Float64, transition: Float64
) -> tuple[float, Float64, Float64]:
    """Log-likelihood, expected rows in each level (L,), expected ratings of each kind (R, L, K)."""
    likelihood, rows, counts = 0.0, np.zeros_like(prior), np.zeros_like(transition)
    for block, mark in zip(blocks, marks, strict=True):
        joint = np.log(prior + TINY)[None]
        for view, rater in enumerate(block.raters):
            joint = joint + log_votes(block.ratings[:, view], transition[rater])
        peak = joint.max(axis=1, keepdims=True)
        mass = np.exp(joint - peak)
        norm = mass.sum(axis=1, keepdims=True)
        likelihood += float(block.weight @ (np.log(norm) + peak)[:, 0])
        share = mass / norm * block.weight[:, None]
        rows += share.sum(axis=0)
        for view, rater in enumerate(block.raters):
            counts[rater] += share.T @ mark[view]
    return likelihood, rows, counts


def _with_failures(transition: Float64, failed: Float64) -> Float64:
    mixed: Float64 = failed[:, None, None] * np.eye(transition.shape[2])[0] + (1 - failed)[:, None, None] * transition
    return mixed


def _take_failures(counts: Float64, transition: Float64, failed: float) -> float:
    """Take the failed ratings' expected number out of `counts` (L, K), in place; returns their share of all."""
    levels = len(counts)
    total = counts.sum()
    share = np.minimum(failed / np.maximum(transition[:, 0], TINY), 1)
    share[levels // 2 :] = 1
    lost = counts[:, 0] * share
    counts[:, 0] -= lost
    return float(lost.sum() / max(total, TINY))


def align(model: Latent) -> Latent:
    """Put levels in order: by assignment to the ratings where there are as many, else by expected rating.

    Latent levels are identified only up to their order.
    """
    levels, k = model.transition.shape[1:]
    mean = model.transition.mean(axis=0)
    if levels == k:
        _, column = linear_sum_assignment(-np.round(np.sqrt(model.prior)[:, None] * mean, DIGITS))
        order = np.argsort(column)
    else:
        order = np.argsort(np.round(mean @ np.arange(k), DIGITS), kind="stable")
    return replace(
        model, prior=np.round(model.prior[order], DIGITS), transition=np.round(model.transition[:, order], DIGITS)
    )


def distance(a: Latent, b: Latent, raters: int) -> float:
    """Mean over `raters` raters and the levels that either fit saw of the L1 distance of rows of T."""
    seen = a.seen() | b.seen()
    return float(np.abs(a.transition[:raters, seen] - b.transition[:raters, seen]).sum(axis=2).mean())


def with_all_votes(model: Latent, own: NDArray[np.int64], ballots: Float64, tolerance: float = 1e-7) -> Latent:
    """EM from `model` with rows' own ratings (N,) and all their neighbors' votes `ballots` (N, K) at once; one rater.

    Nearer to T than triples are where neighbors share a level, and farther where they do not.
    """
    prior, transition, before = model.prior, model.transition[0], -np.inf
    rated = own >= 0
    mark = np.eye(transition.shape[1])[own[rated]]
    for _ in range(200):
        joint = np.log(prior + TINY) + (mark + ballots[rated]) @ np.log(transition + TINY).T
        peak = joint.max(axis=1)
        share = posterior(joint)
        likelihood = float((peak - np.log(share.max(axis=1))).mean())
        if likelihood - before < tolerance:
            break
        before, prior, counts = likelihood, share.mean(axis=0), share.T @ mark
        rows = counts.sum(axis=1, keepdims=True)
        transition = np.where(rows > TINY * len(share), counts / np.maximum(rows, TINY), transition)
    return replace(model, prior=np.round(prior, DIGITS), transition=np.round(transition[None], DIGITS))


def posterior(logits: Float64) -> Float64:
    """Rows of `logits` (N, L) as probabilities."""
    mass = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: Float64 = mass / mass.sum(axis=1, keepdims=True)
    return share


def bootstrap(blocks: Sequence[Block], model: Latent, rows: int, times: int, seed: int) -> Float64:
    """Standard error of every cell of T, (R, L, K): refits, from `model`, of patterns drawn again for `rows` rows.

    A row's many triples count as one draw, which they are more than; and as independent of other rows', which they
    are not quite: the two err in opposite directions.
    """
    rng = np.random.default_rng(seed)
    failing = () if model.failed is None else np.flatnonzero(model.failed).tolist()
    fits = []
    for _ in range(times):
        drawn = [
            Block(b.ratings, rng.multinomial(rows, b.weight / b.weight.sum()).astype(float), b.raters) for b in blocks
        ]
        fits.append(fit(drawn, model, 1e-6, 200, failing).transition)
    spread: Float64 = np.std(fits, axis=0)
    return spread
