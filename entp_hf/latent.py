"""Maximum likelihood of a latent-class model of ratings: prior p over L true levels, one K-column T for each rater.

T[r, l, b] = P(rater r says b | true level l). Views of one row are independent given its level. With three raters the
views are the raters (Dawid and Skene, 1979); with fewer, a row's neighbours lend theirs (k-NN clusterability, Zhu et
al., arXiv 2102.05291), and the views share their rater's T. Fitted by EM: monotone, no seed, no learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
TINY = 1e-12


@dataclass(frozen=True)
class Block:
    """Counted patterns of ratings: `ratings` (M, V), -1 where missing; `weight` (M,); `raters` (V,): whose each is."""

    ratings: NDArray[np.int64]
    weight: Array
    raters: tuple[int, ...]


@dataclass(frozen=True)
class Latent:
    """A fitted model: `prior` (L,), `transition` (R, L, K), mean log-likelihood per pattern."""

    prior: Array
    transition: Array
    likelihood: float


def log_votes(ratings: NDArray[np.int64], transition: Array) -> Array:
    """Log T[:, rating] for each entry, shape (..., L); 0 where the rating is missing (-1)."""
    table = np.vstack([np.log(transition.T + TINY), np.zeros((1, transition.shape[0]))])  # row -1: missing
    votes: Array = table[ratings]
    return votes


def start(marginal: Array, levels: int, raters: int) -> Latent:
    """Deterministic start: levels at the quantiles of the pooled ratings' `marginal` (K,), noise falling with distance."""
    k = len(marginal)
    if levels == k:
        centres = np.arange(k, dtype=float)
        prior = np.maximum(marginal, TINY)
    else:
        cdf = np.concatenate([[0], np.cumsum(marginal)])
        centres = np.interp((np.arange(levels) + 0.5) / levels, cdf, np.arange(k + 1) - 0.5)
        prior = np.full(levels, 1 / levels)
    row = np.exp(-1.5 * np.abs(np.arange(k)[None] - centres[:, None])) + 0.02
    row /= row.sum(axis=1, keepdims=True)
    return Latent(prior / prior.sum(), np.repeat(row[None], raters, axis=0), -np.inf)


def fit(blocks: Sequence[Block], begin: Latent, tolerance: float = 1e-9, most: int = 2000) -> Latent:
    """EM from `begin`, until the mean log-likelihood of a pattern grows by less than `tolerance`."""
    prior, transition = begin.prior, begin.transition
    total = sum(float(block.weight.sum()) for block in blocks)
    raters, levels, k = transition.shape
    before = -np.inf
    likelihood = before
    for _ in range(most):
        likelihood = 0.0
        new_prior = np.zeros(levels)
        counts = np.zeros_like(transition)
        for block in blocks:
            joint = np.log(prior + TINY)[None]
            for view, rater in enumerate(block.raters):
                joint = joint + log_votes(block.ratings[:, view], transition[rater])
            peak = joint.max(axis=1, keepdims=True)
            mass = np.exp(joint - peak)
            norm = mass.sum(axis=1, keepdims=True)
            likelihood += float(block.weight @ (np.log(norm) + peak)[:, 0])
            share = mass / norm * block.weight[:, None]
            new_prior += share.sum(axis=0)
            for view, rater in enumerate(block.raters):
                seen = block.ratings[:, view] >= 0
                np.add.at(counts[rater].T, block.ratings[seen, view], share[seen])
        prior = new_prior / new_prior.sum()
        rows = counts.sum(axis=2, keepdims=True)
        transition = np.where(rows > TINY, counts / np.maximum(rows, TINY), transition)
        likelihood /= total
        if likelihood - before < tolerance:
            break
        before = likelihood
    return align(Latent(prior, transition, likelihood))


def align(model: Latent) -> Latent:
    """Put levels in order: by assignment to the ratings where there are as many, else by expected rating.

    Latent levels are identified only up to their order.
    """
    levels, k = model.transition.shape[1:]
    mean = model.transition.mean(axis=0)
    if levels == k:
        _, column = linear_sum_assignment(-np.sqrt(model.prior)[:, None] * mean)
        order = np.argsort(column)
    else:
        order = np.argsort(mean @ np.arange(k), kind="stable")
    return Latent(model.prior[order], model.transition[:, order], model.likelihood)


def distance(a: Latent, b: Latent) -> float:
    """Mean over raters and levels of the L1 distance of rows of T."""
    return float(np.abs(a.transition - b.transition).sum(axis=2).mean())


def posterior(logits: Array) -> Array:
    """Rows of `logits` (N, L) as probabilities."""
    mass = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: Array = mass / mass.sum(axis=1, keepdims=True)
    return share


def resampled(blocks: Sequence[Block], rows: int, rng: np.random.Generator) -> list[Block]:
    """Blocks with weights drawn again for a sample of `rows` rows: one bootstrap replicate."""
    out = []
    for block in blocks:
        share = block.weight / block.weight.sum()
        out.append(Block(block.ratings, rng.multinomial(rows, share).astype(float), block.raters))
    return out
