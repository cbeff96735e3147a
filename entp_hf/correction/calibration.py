"""A small sample of trusted scores: calibrates the posterior, and says how right it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ..arrays import Float64, Ints
from . import latent_class as latent
from .local_prior import DAMPINGS, Choice, LocalPrior

MIN_ROWS = 30  # trusted scores below which nothing is fitted to them (ours)
OWN = (0.25, 0.5, 1.0, 2.0, 4.0)
HEATS = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)
STRAYS = (0.0, 0.03, 0.1, 0.2, 0.35, 0.5)


@dataclass(frozen=True)
class Tuned:
    """Exponents: `own` of the own ratings' likelihood, 1 / `heat` of the whole posterior.

    `stray`: share of rows of whose level the surroundings say nothing. One rater's triples can't tell it from noise.
    """

    choice: Choice
    own: float = 1.0
    heat: float = 1.0
    stray: float = 0.0


def belief(around: LocalPrior, tuned: Tuned, rows: Ints) -> Float64:
    """Posterior of the level of `rows`, (n, L)."""
    local = _with_strays(around.log_prior(tuned.choice, rows), around.model.prior, tuned.stray)
    return latent.posterior((local + tuned.own * np.log(around.own_likelihood(rows) + latent.TINY)) / tuned.heat)


def _with_strays(log_prior: Float64, prior: Float64, stray: float) -> Float64:
    """Log prior (n, L) of rows of which a share `stray` is as if drawn from `prior` (L,)."""
    if not stray:
        return log_prior
    mixed: Float64 = np.log((1 - stray) * latent.posterior(log_prior) + stray * prior + latent.TINY)
    return mixed


def tune(around: LocalPrior, begin: Choice, rows: Ints, level: Ints, fixed: bool) -> Tuned:
    """The exponents (and, unless `fixed`, the damping) under which the true `level` (n,) of `rows` is most likely."""
    best, tuned = -np.inf, Tuned(begin)
    unit = around.log_prior(replace(begin, predicted=False, damping=1.0), rows)
    unit = unit - np.log(around.model.prior + latent.TINY)
    own = np.log(around.own_likelihood(rows) + latent.TINY)
    for predicted in (begin.predicted,) if fixed else sorted({False, around.predicted is not None}):
        base = around.log_prior(replace(begin, predicted=predicted, damping=0.0), rows)
        for damping, stray in product((begin.damping,) if fixed else DAMPINGS, STRAYS):
            local = _with_strays(base + damping * unit, around.model.prior, stray)
            for weight, heat in product(OWN, HEATS):
                chance = latent.posterior((local + weight * own) / heat)[np.arange(len(rows)), level]
                freed = (weight != 1) + (heat != 1) + (stray != 0)
                score = float(np.log(chance + 1e-4).sum()) - freed  # Akaike: each must earn one nat
                if score > best + 1e-9:
                    choice = replace(begin, predicted=predicted, damping=damping)
                    best, tuned = score, Tuned(choice, weight, heat, stray)
    return tuned


def calibrate(
    around: LocalPrior, begin: Choice, rows: Ints, level: Ints, fixed: bool, seed: int
) -> tuple[Tuned, dict[str, Any]]:
    """Tune on all trusted `rows`; and on each half, to say honestly how right the posterior is on the other."""
    order = np.random.default_rng(seed).permutation(len(rows))
    halves = np.array_split(order, 2)
    chance = np.zeros((len(rows), len(around.model.prior)))
    for here, there in ((0, 1), (1, 0)):
        tuned = tune(around, begin, rows[halves[here]], level[halves[here]], fixed)
        chance[halves[there]] = belief(around, tuned, rows[halves[there]])
    tuned = tune(around, begin, rows, level, fixed)
    top, right = chance.max(axis=1), chance.argmax(axis=1) == level
    return tuned, {
        "rows": len(rows),
        "own_weight": tuned.own,
        "heat": tuned.heat,
        "stray": tuned.stray,
        "accuracy": round(float(right.mean()), 4),
        "mean_confidence": round(float(top.mean()), 4),
        "reliability": reliability(top, right),
    }


def reliability(confidence: Float64, right: Float64, bins: int = 10) -> list[dict[str, float]]:
    """Points of a reliability diagram: mean confidence and share right in equal bins of confidence, with counts."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": round(float(confidence[place == b].mean()), 4),
            "accuracy": round(float(right[place == b].mean()), 4),
            "rows": int((place == b).sum()),
        }
        for b in np.unique(place)
    ]
