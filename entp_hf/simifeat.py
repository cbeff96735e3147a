"""The paper's way of correcting: SimiFeat's vote and rank (Zhu et al., arXiv 2110.06283), as DS2 uses it."""

from __future__ import annotations

import numpy as np

from . import latent
from .correct import CorrectedRatings
from .evidence import blocks_of
from .neighbours import Floats, Ints, Neighbours
from .schema import LEVELS


def vote(
    reference: Ints, near: Neighbours, copy_of: Ints, change_confidence: float, tail: Floats | None
) -> CorrectedRatings:
    """Per rated class, flag the share that agrees least with its neighbours' vote; replace by the vote's argmax.

    The share is 1 - P(true = c | rated c) under the fitted T and p; the vote weighs neighbours by cosine similarity
    and counts the row's own rating once, at the weight that its two nearest distances extrapolate to (DS2). One pass
    over all rows; the confidence is the vote's share, where DS2's depends on how often a row was drawn.
    """
    rated = reference >= 0
    whole = reference[:, None]
    distinct = np.flatnonzero((copy_of == np.arange(len(reference))) & rated)
    marginal = np.bincount(reference[rated], minlength=LEVELS) / rated.sum()
    model = latent.fit(blocks_of(whole, near, distinct), latent.start(marginal, LEVELS, 1))
    ballots = np.zeros((len(reference), LEVELS))
    people = np.arange(len(reference))
    for j in range(near.index.shape[1]):
        label = reference[near.index[:, j]]
        seen = label >= 0
        ballots[people[seen], label[seen]] += 1 - near.distance[seen, j]
    second = near.distance[:, min(1, near.distance.shape[1] - 1)]
    ballots[people[rated], reference[rated]] += np.clip(1 - (2 * near.distance[:, 0] - second), 0, 1)[rated]
    own = np.where(rated, reference, 0)
    disagreement = -np.log(ballots[people, own] / np.linalg.norm(ballots, axis=1).clip(1e-12) + 1e-8)
    suggestion = ballots.argmax(axis=1)
    confidence = ballots.max(axis=1) / ballots.sum(axis=1).clip(1e-12)
    flagged = np.zeros(len(reference), dtype=bool)
    for label in range(LEVELS):
        members = np.flatnonzero(reference == label)
        if not len(members):
            continue
        right = min(1.0, model.transition[0, label, label] * model.prior[label] / marginal[label])
        order = members[np.argsort(-disagreement[members], kind="stable")]
        flagged[order[: int(round((1 - right) * len(members)))]] = True
    changed = flagged & (confidence >= change_confidence) & (suggestion != reference)
    score = np.where(changed, suggestion, reference)
    info = {
        "method": "simifeat", "basis": "neighbours", "levels": LEVELS, "level_scores": list(range(LEVELS)),
        "prior": np.round(model.prior, 4).tolist(), "transition": np.round(model.transition, 4).tolist(),
        "identified": (model.prior * len(distinct) >= 1).tolist(), "flagged": int(flagged.sum()),
        "notes": ["Neighbours' votes, as the paper has it; the confidence is the vote's share, not a probability."],
    }  # fmt: skip
    expected = np.where(rated, ballots @ np.arange(LEVELS) / ballots.sum(axis=1).clip(1e-12), np.nan)
    return CorrectedRatings(score, expected, np.where(rated, confidence, np.nan), changed, tail, info)
