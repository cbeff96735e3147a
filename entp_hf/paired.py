"""Two models on the same items: the difference, a bootstrap interval around it, and what it says in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import EntpError

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
    n = left.shape[1]
    each = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
    rng = np.random.default_rng(seed)
    draws = np.empty(TIMES)
    for i in range(TIMES):
        items = rng.integers(0, n, n)
        total = each[items]
        sides = [
            side[rng.integers(0, len(side), len(side))][:, items].mean(axis=0) if len(side) > 1 else side[0, items]
            for side in (left, right)
        ]
        draws[i] = ((sides[1] - sides[0]) * total).sum() / max(total.sum(), 1e-300)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    difference = ((right.mean(axis=0) - left.mean(axis=0)) * each).sum() / each.sum()
    return Paired(float(difference), float(low), float(high), n)


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
