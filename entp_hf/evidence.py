"""What the ratings can tell: counted patterns for the fit, how many levels repeat, how much neighbours are worth."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from . import latent
from .latent import Array, Block, Latent
from .neighbours import Ints, Neighbours
from .schema import LEVELS


def blocks_of(whole: Ints, near: Neighbours | None, rows: Ints) -> list[Block]:
    """Patterns of ratings of `rows`: the raters' own where `near` is None, else triples with two neighbours' ratings.

    One rater: own and every pair among the neighbours. Two: both own and one neighbour's, from either rater. Counts
    of neighbour patterns are divided by the patterns a row gives, so that weights still sum to rows.
    """
    if near is None:
        return [_counted(whole[rows], tuple(range(whole.shape[1])))]
    own, index = whole[rows], near.index[rows]
    if whole.shape[1] == 1:
        pairs = list(combinations(range(index.shape[1]), 2))
        codes = np.zeros(LEVELS**3)
        first = own[:, 0]
        for a, b in pairs:
            second, third = whole[index[:, a], 0], whole[index[:, b], 0]
            full = (first >= 0) & (second >= 0) & (third >= 0)
            codes += np.bincount((first * LEVELS + second)[full] * LEVELS + third[full], minlength=LEVELS**3)
        cube = codes.reshape(LEVELS, LEVELS, LEVELS) / max(len(pairs), 1)
        axes = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        cube = sum(cube.transpose(axis) for axis in axes) / 6
        patterns = np.array(list(np.ndindex(cube.shape)))
        weight = cube.ravel()
        return [Block(patterns[weight > 0], weight[weight > 0], (0, 0, 0))]
    blocks = []
    for lender in (0, 1):
        stacked = np.concatenate([np.column_stack([own, whole[index[:, j], lender]]) for j in range(index.shape[1])])
        block = _counted(stacked, (0, 1, lender))
        blocks.append(Block(block.ratings, block.weight / (2 * index.shape[1]), block.raters))
    return blocks


def _counted(patterns: Ints, raters: tuple[int, ...]) -> Block:
    patterns = patterns[(patterns >= 0).any(axis=1)]
    unique, counts = np.unique(patterns, axis=0, return_counts=True)
    return Block(unique, counts.astype(float), raters)


def choose_levels(
    whole: Ints, near: Neighbours | None, rows: Ints, marginal: Array, seed: int, stable: float
) -> tuple[int, list[dict[str, float]]]:
    """The most levels whose T repeats on two random halves of `rows` (mean row L1 at most `stable`), 2 at the least.

    More levels fit better without end on large data, and mean nothing: DS2's published 6 x 6 matrices do not repeat.
    """
    order = np.random.default_rng(seed).permutation(rows)
    halves = [blocks_of(whole, near, np.sort(half)) for half in np.array_split(order, 2)]
    most = max(2, int((marginal > 0).sum()))
    tried = []
    for levels in range(2, most + 1):
        begin = latent.start(marginal, levels, whole.shape[1])
        a, b = (latent.fit(half, begin, 1e-8, 1000) for half in halves)
        tried.append({"levels": levels, "error": round(latent.distance(a, b), 4)})
    steady = [int(entry["levels"]) for entry in tried if entry["error"] <= stable]
    return max(steady, default=2), tried


def choose_damping(whole: Ints, near: Neighbours, rows: Ints, model: Latent, grid: tuple[float, ...]) -> float:
    """The weight in `grid` under which own ratings are most likely given the neighbours' alone (no other rater needed)."""
    votes = sum(
        latent.log_votes(whole[near.index[rows], r], model.transition[r]).sum(axis=1) for r in range(whole.shape[1])
    )
    best, weight = -np.inf, grid[0]
    for damping in grid:
        belief = latent.posterior(np.log(model.prior + latent.TINY)[None] + damping * votes)
        gain = 0.0
        for r in range(whole.shape[1]):
            seen = whole[rows, r] >= 0
            chance = (belief[seen] * model.transition[r].T[whole[rows[seen], r]]).sum(axis=1)
            gain += float(np.log(chance + latent.TINY).sum())
        if gain > best:
            best, weight = gain, damping
    return weight


def agreement(whole: Ints, near: Neighbours, rows: Ints) -> dict[str, float]:
    """Share of rows whose first rater agrees with the nearest row, the farthest of its neighbours, and a random row."""
    own = whole[rows, 0]
    shares = {}
    for name, column in (("near", 0), ("far", near.index.shape[1] - 1)):
        other = whole[near.index[rows, column], 0]
        both = (own >= 0) & (other >= 0)
        shares[name] = round(float((own == other)[both].mean()), 4) if both.any() else 0.0
    counts = np.bincount(own[own >= 0], minlength=LEVELS)
    shares["chance"] = round(float(((counts / max(counts.sum(), 1)) ** 2).sum()), 4)
    return shares
