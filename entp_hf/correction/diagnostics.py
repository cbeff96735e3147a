"""Diagnostics of the ratings: how many levels are reproducible, and whether neighbors and raters agree."""

from __future__ import annotations

import numpy as np

from ..arrays import Float64, Ints
from ..embedding.neighbors import Neighbors
from ..schema import LEVELS
from . import latent_class as latent
from .latent_class import Latent
from .patterns import COUNTED, blocks_of, unique_rows, views

SPLITS = 2  # random halvings that the stability of a number of levels is averaged over (not in the paper)


def choose_levels(
    whole: Ints, near: Neighbors | None, rows: Ints, marginal: Float64, seed: int, stable: float
) -> tuple[int, list[dict[str, float]]]:
    """The most levels whose T repeats on random halves of `rows` (mean row L1 at most `stable`), 2 at the least.

    More levels fit better without end on large data, and mean nothing: DS2's published 6 x 6 matrices do not repeat.
    Also returns the error of each number tried.
    """
    rng = np.random.default_rng(seed)
    halves = []
    for _ in range(SPLITS):
        parts = np.array_split(rng.permutation(rows), 2)
        halves.append([blocks_of(whole, near, np.sort(part)) for part in parts])
    raters = whole.shape[1]
    most = max(2, int((marginal > 0).sum()))
    tried = []
    for levels in range(2, most + 1):
        begin = latent.starts(marginal, LEVELS if levels == most else levels, views(raters, near is not None))
        errors = [
            latent.distance(latent.best(a, begin, 1e-8, 1000), latent.best(b, begin, 1e-8, 1000), raters)
            for a, b in halves
        ]
        tried.append({"levels": levels, "error": round(float(np.mean(errors)), 4)})
    steady = [int(entry["levels"]) for entry in tried if entry["error"] <= stable]
    return max(steady, default=2), tried


def agreement(whole: Ints, near: Neighbors, rows: Ints, seed: int) -> dict[str, float]:
    """How often a row's rating (the first rater's) is that of other rows: four shares, and `z`.

    `near`: of its nearest row; `far`: of the farthest of its neighbors; `shuffled`: of the nearest row of some other
    row, as if features were shuffled; `chance`: of a random row. `z`: the larger of two z-scores of the ten nearest,
    for agreement above chance and for covariance with the row.
    """
    own = whole[rows, 0]
    rated = own >= 0
    counts = np.bincount(own[rated], minlength=LEVELS)
    share = counts / max(counts.sum(), 1)
    mixed = np.random.default_rng(seed).permutation(rows)
    columns = {"near": near.index[rows, 0], "far": near.index[rows, -1], "shuffled": near.index[mixed, 0]}
    found: dict[str, float] = {}
    for name, column in columns.items():
        other = whole[column, 0]
        both = rated & (other >= 0)
        found[name] = round(float((own == other)[both].mean()), 4) if both.any() else 0.0
    found["chance"] = round(float((share**2).sum()), 4)
    mean = float(own[rated].mean()) if rated.any() else 0.0
    equal, together = np.zeros(len(rows)), np.zeros(len(rows))
    for part in (slice(start, start + COUNTED) for start in range(0, len(rows), COUNTED)):
        lent = whole[near.index[rows[part], :10], 0]
        equal[part] = (lent == own[part, None]).sum(axis=1) - share[own[part]] * (lent >= 0).sum(axis=1)
        together[part] = (own[part] - mean) * np.where(lent >= 0, lent - mean, 0).sum(axis=1)
    found["z"] = round(max(_errors_above_zero(equal[rated]), _errors_above_zero(together[rated])), 2)
    return found


def _errors_above_zero(excess: Float64) -> float:
    """Mean of `excess` (n,) in standard errors; 0 where it does not vary."""
    error = float(excess.std()) / np.sqrt(max(len(excess), 1))
    return float(excess.mean()) / error if error > 0 else 0.0


def rater_agreement(whole: Ints) -> tuple[float, float]:
    """Share of equal ratings over pairs of raters, and the z-score of inter-rater agreement.

    The larger of two z-scores, for agreement above chance and for covariance: raters of different severity seldom give
    the same rating, and may still rank rows alike.
    """
    equal, excess, pairs, together = 0.0, np.zeros(len(whole)), np.zeros(len(whole)), np.zeros(len(whole))
    for a in range(whole.shape[1]):
        for b in range(a):
            both = (whole[:, a] >= 0) & (whole[:, b] >= 0)
            if not both.any():
                continue
            shares = [np.bincount(whole[both, r], minlength=LEVELS) / both.sum() for r in (a, b)]
            same = both & (whole[:, a] == whole[:, b])
            equal += same.sum()
            pairs += both
            excess += same - both * float(shares[0] @ shares[1])
            one, other = whole[:, a] - whole[both, a].mean(), whole[:, b] - whole[both, b].mean()
            spread = float(one[both].std() * other[both].std())
            together += both * one * other / (spread or 1.0)
    some = pairs > 0
    z = max(_errors_above_zero(excess[some]), _errors_above_zero(together[some]))
    return round(float(equal) / max(float(pairs.sum()), 1), 4), round(z, 2)


def same_level(whole: Ints, near: Neighbors, rows: Ints, model: Latent) -> float:
    """Share of rows whose nearest row is of the same level, by EM over pairs under `model` (two raters or more).

    This is clusterability itself, which one rater's triples cannot show.
    """
    raters = min(whole.shape[1], 3)  # more would make a table of patterns that is too large
    patterns, _, code = unique_rows(whole[:, :raters])
    likely = np.exp(sum(latent.log_votes(patterns[:, r], model.transition[r]) for r in range(raters)))
    pairs = np.zeros((len(patterns), len(patterns)))
    np.add.at(pairs, (code[rows], code[near.index[rows, 0]]), 1)
    joint = model.prior[:, None] * model.prior[None]
    for _ in range(300):
        chance = likely @ joint @ likely.T
        joint = joint * (likely.T @ (pairs / np.maximum(chance, latent.TINY)) @ likely)
        joint /= joint.sum()
    return float(np.trace(joint))
