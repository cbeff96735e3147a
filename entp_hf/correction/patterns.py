"""Counts of rating patterns of rows and their neighbors, the sufficient statistics of EM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Float64, Ints
from ..embedding.neighbors import Neighbors
from ..schema import LEVELS
from . import latent_class as latent
from .latent_class import Block

COUNTED = 2**16  # rows whose patterns are counted at once (not in the paper)


def blocks_of(whole: Ints, near: Neighbors | None, rows: Ints) -> list[Block]:
    """Patterns of ratings of `rows`: the raters' own where `near` is None, else triples that neighbors complete.

    One rater: own and every pair among the neighbors, symmetrised, all of one T. Two: both own and one neighbor's,
    which has an emission of its own (view 2 or 3, by whose it is), so that T does not rest on neighbors being alike.
    Every row weighs 1, however many patterns it gives. Counted by parts of the rows and added up, so that no more than
    a part's patterns are held.
    """
    starts = range(0, max(len(rows), 1), COUNTED)
    parts = [_part(whole, near, rows[start : start + COUNTED]) for start in starts]
    return [_added(same) for same in zip(*parts, strict=True)]


def _added(blocks: Sequence[Block]) -> Block:
    """The counts of several parts as one."""
    unique, _, which = unique_rows(np.concatenate([block.ratings for block in blocks]))
    weight = np.zeros(len(unique))
    np.add.at(weight, which, np.concatenate([block.weight for block in blocks]))
    return Block(unique, weight, blocks[0].raters)


def _part(whole: Ints, near: Neighbors | None, rows: Ints) -> list[Block]:
    if near is None:
        return [_counted(whole[rows], tuple(range(whole.shape[1])))]
    if whole.shape[1] == 1:
        return [_triples(whole[:, 0], near.index, rows)]
    blocks = []
    own, index = whole[rows], near.index[rows]
    for lender in (0, 1):
        stacked = np.concatenate([np.column_stack([own, whole[index[:, j], lender]]) for j in range(index.shape[1])])
        block = _counted(stacked, (0, 1, 2 + lender))
        blocks.append(Block(block.ratings, block.weight / (2 * index.shape[1]), block.raters))
    return blocks


def views(raters: int, by_neighbors: bool) -> int:
    """Emissions in the model: the raters', and with two raters also those of their neighbors."""
    return 4 if by_neighbors and raters == 2 else raters


def triples(whole: Ints, index: Ints, rows: Ints) -> Float64:
    """Mean histogram (K, K, K) of (own, neighbor, other neighbor) over all ordered pairs of the neighbors.

    `whole` (N,), -1 where missing; `index` (N, k). Every row with two rated neighbors weighs 1. Not symmetrised.
    """
    own, lent = whole[rows], whole[index[rows]]
    ballots = np.zeros((len(rows), LEVELS))
    for rating in range(LEVELS):
        ballots[:, rating] = (lent == rating).sum(axis=1)
    count = ballots.sum(axis=1)
    cube = np.zeros((LEVELS, LEVELS, LEVELS))
    for rating in range(LEVELS):
        mine = (own == rating) & (count >= 2)
        votes, weight = ballots[mine], 1 / (count[mine] * (count[mine] - 1))
        cube[rating] = (votes * weight[:, None]).T @ votes - np.diag(weight @ votes)
    return np.maximum(cube, 0)


def _triples(whole: Ints, index: Ints, rows: Ints) -> Block:
    cube = triples(whole, index, rows)
    axes = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    weight: Float64 = np.mean([cube.transpose(axis) for axis in axes], axis=0).ravel()
    patterns = np.array(list(np.ndindex(cube.shape)))
    return Block(patterns[weight > latent.TINY], weight[weight > latent.TINY], (0, 0, 0))


def _counted(patterns: Ints, raters: tuple[int, ...]) -> Block:
    patterns = patterns[(patterns >= 0).any(axis=1)]
    unique, counts, _ = unique_rows(patterns)
    return Block(unique, counts.astype(float), raters)


def unique_rows(patterns: Ints) -> tuple[Ints, Ints, Ints]:
    """Distinct rows of `patterns` (N, V), how often each comes, and which one each row is."""
    if patterns.shape[1] > 20:  # the code would not fit into 64 bits
        unique, back, counts = np.unique(patterns, axis=0, return_inverse=True, return_counts=True)
        return unique, counts, back.ravel()
    code = np.zeros(len(patterns), dtype=np.int64)
    for view in range(patterns.shape[1]):
        code = code * (LEVELS + 1) + patterns[:, view] + 1
    _, first, back, counts = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    return patterns[first], counts, back
