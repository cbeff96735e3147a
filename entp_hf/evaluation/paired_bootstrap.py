"""Two models on the same items: the difference, a bootstrap interval around it, and what it says in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EntpError

TIMES = 2000  # bootstrap samples (ours)
LEVEL = 0.95  # of the intervals (ours)
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """`difference` of the means, b - a, over `items` items; the interval runs from `low` to `high`."""

    difference: float
    low: float
    high: float
    items: int

    @property
    def shown(self) -> bool:
        """The interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired(
    a: Sequence[float] | Matrix, b: Sequence[float] | Matrix, weight: Sequence[float] | None = None, seed: int = 0
) -> Paired:
    """Compare values of the same items, (n,) or (seeds, n) each; `weight` (n,) for means over an item's parts.

    Percentile bootstrap: items are drawn with replacement, the same ones for both; where there are several training
    seeds, seeds are drawn as well, for each side its own (Efron and Tibshirani 1993, chapter 8, for pairs). With two
    or three seeds it still understates what another seed would change.
    """
    left, right = (np.atleast_2d(np.asarray(values, dtype=float)) for values in (a, b))
    if left.shape[1] != right.shape[1]:
        raise EntpError(f"{left.shape[1]} items against {right.shape[1]}: only results on the same items are paired")
    each = np.ones(left.shape[1]) if weight is None else np.asarray(weight, dtype=float)
    return _interval(left, right, each, _draws(left, right, each, seed))


def paired_average(pairs: Sequence[tuple[Matrix, Matrix]], seed: int = 0) -> Paired:
    """Compare the unweighted means over several benchmarks, each (seeds, n) of its own items, as `paired` does.

    The training seeds drawn are the same in all benchmarks, since one training gives the model for all of them.
    """
    found, draws = [], []
    for left, right in pairs:
        each = np.ones(left.shape[1])
        draws.append(_draws(left, right, each, seed))
        found.append(_interval(left, right, each, draws[-1]))
    low, high = np.quantile(np.mean(draws, axis=0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    difference = float(np.mean([part.difference for part in found]))
    return Paired(difference, float(low), float(high), sum(part.items for part in found))


def _draws(left: Matrix, right: Matrix, each: Matrix, seed: int) -> Matrix:
    """Bootstrap differences, (TIMES,). The training seeds drawn depend on `seed` and their number alone."""
    n, rng, of_seeds = left.shape[1], np.random.default_rng(seed), np.random.default_rng([seed, 1])
    draws = np.empty(TIMES)

    def drawn(side: Matrix, items: Any) -> Any:
        if len(side) == 1:
            return side[0, items]
        return side[of_seeds.integers(0, len(side), len(side))][:, items].mean(axis=0)

    for i in range(TIMES):
        items = rng.integers(0, n, n)
        total = each[items]
        difference = -drawn(left, items) + drawn(right, items)
        draws[i] = (difference * total).sum() / max(total.sum(), 1e-300)
    return draws


def _interval(left: Matrix, right: Matrix, each: Matrix, draws: Matrix) -> Paired:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    difference = ((right.mean(axis=0) - left.mean(axis=0)) * each).sum() / each.sum()
    return Paired(float(difference), float(low), float(high), left.shape[1])


def in_words(found: Paired, a: str, b: str, metric: str, higher_is_better: bool = True) -> str:
    """One plain sentence: which is better, by how much, or that the data show no difference."""
    interval = f"{found.difference:+.4g}, {LEVEL:.0%} interval {found.low:+.4g} to {found.high:+.4g}"
    if not found.shown:
        return f"{metric}: no difference between {b} and {a} that {found.items} items can show ({interval})"
    better = (found.difference > 0) == higher_is_better
    return f"{metric}: {b} is {'better' if better else 'worse'} than {a} ({interval}, {found.items} items)"


def mean_and_error(values: Sequence[float] | Matrix, weight: Sequence[float] | None = None) -> tuple[float, float]:
    """Weighted mean over items of the seeds' means, and its standard error over items; NaN for a single item."""
    each = np.atleast_2d(np.asarray(values, dtype=float)).mean(axis=0)
    share = np.ones(len(each)) if weight is None else np.asarray(weight, dtype=float)
    share = share / share.sum()
    mean = float((share * each).sum())
    if len(each) < 2:
        return mean, float("nan")
    # Of a weighted mean as a ratio (Cochran 1977, section 2.11); with equal weights the usual one.
    spread = np.sqrt(len(each) / (len(each) - 1) * (share**2 * (each - mean) ** 2).sum())
    return mean, float(spread)
