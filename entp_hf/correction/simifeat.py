"""The paper's own correction: SimiFeat's vote and rank (Zhu et al., arXiv 2110.06283), as DS2 uses it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, FloatMatrix, Ints
from ..schema import LEVELS
from . import latent_class as latent
from . import rating_scale as scale
from .latent_class import Block, Latent
from .patterns import triples
from .task import CorrectedRatings, CorrectionSettings, Task

ROUNDS = 51  # draws of rows, each voted on (DS2)
DRAWN, DRAWN_SHARE = 50_000, 0.9  # rows in a draw: at most so many, and at most this share (DS2)


@dataclass(frozen=True)
class Pool:
    """Rows as DS2 sees them, once or doubled: `label` (L,), lists of near rows (L, k) with distances, `row` (L,)."""

    label: Ints
    index: Ints
    distance: FloatMatrix
    row: Ints


def vote(task: Task, settings: CorrectionSettings, doubled: bool) -> CorrectedRatings:
    """Per rated class, flag the share that agrees least with its neighbors' vote; replace by the vote's argmax.

    51 seeded draws of rows. In each, the share is 1 - P(true = c | rated c) under T and p; nine neighbors within the
    draw vote by cosine similarity, and so does the row itself, at the weight that its two nearest distances come to
    when extrapolated. The confidence is DS2's: mean flag times share of the suggestion, both with its add-one priors,
    so it grows with how often a row was drawn. T is fitted by EM where DS2 runs Adam. `doubled` enters every row twice
    (DS2's code does, which pulls T to identity). Neighbors come from one search: in a draw that is a small share of
    the rows, a row may have fewer than nine.
    """
    reference = scale.reference(task.ratings, task.whole)
    rated = reference >= 0
    pool = _pool(task, reference, doubled)
    share = np.bincount(reference[rated], minlength=LEVELS) / rated.sum()
    model = _transition(pool, share, task.seed)
    flags, seen, suggested = _rounds(pool, model, share, len(reference), task.seed)
    mean_flag = (flags + 1) / (seen + 2)
    table = (suggested + 1) / (suggested.sum(axis=1, keepdims=True) + LEVELS)
    people = np.arange(len(reference))
    table[people[rated], reference[rated]] = -1
    suggestion = table.argmax(axis=1)
    confidence = table[people, suggestion] * mean_flag
    flagged = (mean_flag > 0.5) & rated
    changed = flagged & (confidence >= settings.change_confidence)
    info = {
        "method": "simifeat",
        "basis": "neighbors",
        "levels": LEVELS,
        "level_scores": list(range(LEVELS)),
        "prior": np.round(model.prior, 4).tolist(),
        "transition": np.round(model.transition, 4).tolist(),
        "identified": (model.prior * rated.sum() >= 1).tolist(),
        "flagged": int(flagged.sum()),
        "doubled": doubled,
        "notes": [
            "Neighbors' votes, as the paper has it. The confidence is DS2's, which grows with how often a row "
            "was drawn and is not a probability."
        ],
    }
    score = np.where(changed, suggestion, reference)
    shown = np.where(changed, confidence, 1 - confidence)  # of the score that the row has
    return CorrectedRatings(
        score=score,
        expected=np.where(rated, score, np.nan),
        confidence=np.where(rated, shown, np.nan),
        changed=changed,
        long_tail=None,
        info=info,
    )


def _pool(task: Task, reference: Ints, doubled: bool) -> Pool:
    assert task.near is not None
    near, n = task.near, len(reference)
    if not doubled:
        return Pool(reference, near.index, near.distance, np.arange(n))
    twin = np.r_[np.arange(n, 2 * n), np.arange(n)]
    once = np.concatenate([near.index, near.index])
    index = np.stack([once, once + n], axis=2).reshape(2 * n, -1)
    apart = np.repeat(np.concatenate([near.distance, near.distance]), 2, axis=1)
    return Pool(
        np.r_[reference, reference],
        np.column_stack([twin, index]),
        np.column_stack([np.zeros(2 * n, np.float32), apart]),
        np.r_[np.arange(n), np.arange(n)],
    )


def _drawn(pool: Pool, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_]]:
    size = len(pool.label)
    rows = np.sort(rng.choice(size, min(DRAWN, max(3, int(DRAWN_SHARE * size))), replace=False))
    present = np.zeros(size, bool)
    present[rows] = pool.label[rows] >= 0
    return rows[present[rows]], present


def _first(
    pool: Pool, rows: Ints, present: NDArray[np.bool_], count: int
) -> tuple[Ints, FloatMatrix, NDArray[np.bool_]]:
    """The first `count` near rows of each of `rows` that are present; the mask tells where there were so many."""
    there = present[pool.index[rows]]
    order = np.argsort(~there, axis=1, kind="stable")[:, :count]
    take = np.take_along_axis
    return take(pool.index[rows], order, 1), take(pool.distance[rows], order, 1), take(there, order, 1)


def _transition(pool: Pool, share: Float64, seed: int) -> Latent:
    """T and p from (own, nearest, second nearest) within a few draws."""
    rng = np.random.default_rng(seed)
    cube = np.zeros((LEVELS, LEVELS, LEVELS))
    for _ in range(5):
        rows, present = _drawn(pool, rng)
        index, _, there = _first(pool, rows, present, 2)
        full = there.all(axis=1)
        near = np.zeros((len(pool.label), 2), np.int64)
        near[rows] = index
        cube += triples(pool.label, near, rows[full])
    patterns = np.array(list(np.ndindex(cube.shape)))
    weight = cube.ravel()
    block = Block(patterns[weight > 0], weight[weight > 0], (0, 0, 0))
    return latent.best([block], latent.starts(share, LEVELS, 1))


def _rounds(pool: Pool, model: Latent, share: Float64, n: int, seed: int) -> tuple[Float64, Float64, Float64]:
    """How often each row was flagged, was drawn (n,), and was given each suggestion (n, K)."""
    rng = np.random.default_rng(seed + 1)
    flags, seen, suggested = np.zeros(n), np.zeros(n), np.zeros((n, LEVELS))
    right = np.diagonal(model.transition[0]) * model.prior / np.maximum(share, latent.TINY)
    rate = 1 - np.minimum(right, 1)
    rate = np.where(rate >= 1, 0.95, np.where(rate <= 0, 0.05, rate))
    for _ in range(ROUNDS):
        rows, present = _drawn(pool, rng)
        index, distance, there = _first(pool, rows, present, 9)
        ballots = np.zeros((len(rows), LEVELS))
        people = np.arange(len(rows))
        for j in range(index.shape[1]):
            ok = there[:, j]
            ballots[people[ok], pool.label[index[ok, j]]] += 1 - distance[ok, j]
        second = distance[:, min(1, distance.shape[1] - 1)]
        own = pool.label[rows]
        ballots[people, own] += 1 - (2 * distance[:, 0] - second)
        ballots = np.maximum(ballots, 0)  # opposite rows weigh less than nothing, and have no logarithm
        disagreement = -np.log(ballots[people, own] / np.linalg.norm(ballots, axis=1).clip(latent.TINY) + 1e-8)
        disagreement, ballots = np.round(disagreement, 9), np.round(ballots, 9)  # logarithms differ in the last digit
        guess = ballots.argmax(axis=1)
        hit = np.zeros(len(rows), bool)
        for label in np.unique(own):
            members = own == label
            bound = np.percentile(disagreement[members], 100 * (1 - rate[label]))
            hit |= members & (disagreement >= bound) & (guess != own)
        row = pool.row[rows]
        flags[row[hit]] = flags[row[hit]] + 1  # not add.at: a row and its double count once a draw, as in DS2
        seen[row] = seen[row] + 1
        suggested[row, guess] = suggested[row, guess] + 1
    return flags, seen, suggested
