"""Calibration of the posterior on a small sample of trusted scores, and its cross-validated accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ..arrays import Float64, Ints
from . import latent_class as latent
from .local_prior import DAMPINGS, Choice, LocalPrior

# Not in the paper:
MIN_ROWS = 30  # trusted scores below which nothing is fitted to them
OWN = (0.25, 0.5, 1.0, 2.0, 4.0)
TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)
OUTLIER_WEIGHTS = (0.0, 0.03, 0.1, 0.2, 0.35, 0.5)


@dataclass(frozen=True)
class Tuned:
    """Calibrated weights of the posterior's factors.

    `own`: exponent of the own ratings' likelihood. `temperature`: the whole log posterior is divided by it.
    `outlier_weight`: share of rows for which the local prior is uninformative; one rater's triples can't tell that
    from noise. The manifest calls the last two `heat` and `stray`.
    """

    choice: Choice
    own: float = 1.0
    temperature: float = 1.0
    outlier_weight: float = 0.0


def belief(around: LocalPrior, tuned: Tuned, rows: Ints) -> Float64:
    """Posterior of the level of `rows`, (n, L)."""
    local = _with_outliers(around.log_prior(tuned.choice, rows), around.model.prior, tuned.outlier_weight)
    return latent.posterior(
        (local + tuned.own * np.log(around.own_likelihood(rows) + latent.TINY)) / tuned.temperature
    )


def _with_outliers(log_prior: Float64, prior: Float64, weight: float) -> Float64:
    """Log prior (n, L) of rows of which a share `weight` is as if drawn from `prior` (L,)."""
    if not weight:
        return log_prior
    mixed: Float64 = np.log((1 - weight) * latent.posterior(log_prior) + weight * prior + latent.TINY)
    return mixed


def tune(around: LocalPrior, begin: Choice, rows: Ints, level: Ints, fixed: bool) -> Tuned:
    """The weights (and, unless `fixed`, the damping) under which the true `level` (n,) of `rows` is most likely."""
    best, tuned = -np.inf, Tuned(begin)
    unit = around.log_prior(replace(begin, predicted=False, damping=1.0), rows)
    unit = unit - np.log(around.model.prior + latent.TINY)
    own = np.log(around.own_likelihood(rows) + latent.TINY)
    for predicted in (begin.predicted,) if fixed else sorted({False, around.predicted is not None}):
        base = around.log_prior(replace(begin, predicted=predicted, damping=0.0), rows)
        for damping, outlier_weight in product((begin.damping,) if fixed else DAMPINGS, OUTLIER_WEIGHTS):
            local = _with_outliers(base + damping * unit, around.model.prior, outlier_weight)
            for weight, temperature in product(OWN, TEMPERATURES):
                chance = latent.posterior((local + weight * own) / temperature)[np.arange(len(rows)), level]
                freed = (weight != 1) + (temperature != 1) + (outlier_weight != 0)
                score = float(np.log(chance + 1e-4).sum()) - freed  # Akaike: each must earn one nat
                if score > best + 1e-9:
                    choice = replace(begin, predicted=predicted, damping=damping)
                    best, tuned = score, Tuned(choice, weight, temperature, outlier_weight)
    return tuned


def calibrate(
    around: LocalPrior, begin: Choice, rows: Ints, level: Ints, fixed: bool, seed: int
) -> tuple[Tuned, dict[str, Any]]:
    """Tune on all trusted `rows`, and measure accuracy and reliability by two-fold cross-validation.

    Args:
        around: the model and the local prior.
        begin: the choice that the likelihood made, from which the tuning starts.
        rows: (n,) numbers of the rows with a trusted score.
        level: (n,) the level of each trusted score.
        fixed: the damping was set by the user and is kept.
        seed: of the two halves.

    Returns the weights, and the manifest's `correction.gold`.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    halves = np.array_split(order, 2)
    chance = np.zeros((len(rows), len(around.model.prior)))
    for train, test in ((0, 1), (1, 0)):
        tuned = tune(around, begin, rows[halves[train]], level[halves[train]], fixed)
        chance[halves[test]] = belief(around, tuned, rows[halves[test]])
    tuned = tune(around, begin, rows, level, fixed)
    top, right = chance.max(axis=1), chance.argmax(axis=1) == level
    return tuned, {
        "rows": len(rows),
        "own_weight": tuned.own,
        "heat": tuned.temperature,
        "stray": tuned.outlier_weight,
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
