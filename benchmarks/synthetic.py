"""Ratings with a known transition matrix, for the correction's tests and benchmarks."""

from __future__ import annotations

import numpy as np

PRIOR = np.array([0.06, 0.14, 0.28, 0.3, 0.18, 0.04])
ACCURACY = {False: 0.762, True: 0.569}  # of raw ratings under the easy and the hard T


def transition(hard: bool) -> np.ndarray:
    """A 6 x 6 T that keeps 0.762 of the ratings (easy) or 0.569 (hard); mistakes fall with distance."""
    keep = ACCURACY[hard]
    away = np.exp(-np.abs(np.arange(6)[:, None] - np.arange(6)[None]) / (1.6 if hard else 1.0))
    np.fill_diagonal(away, 0)
    away /= away.sum(axis=1, keepdims=True)
    return keep * np.eye(6) + (1 - keep) * away


def random_transition(rng: np.random.Generator, low: float = 0.6, high: float = 0.9) -> np.ndarray:
    """A 6 x 6 T with no pattern but that each row keeps `low` to `high` of its ratings."""
    keep = rng.uniform(low, high, 6)
    away = rng.dirichlet(np.ones(5), 6)
    out = np.diag(keep)
    for level in range(6):
        out[level, np.arange(6) != level] = (1 - keep[level]) * away[level]
    return out


def random_prior(rng: np.random.Generator) -> np.ndarray:
    """A prior over 6 levels, none of them rarer than 0.05."""
    return 0.05 + 0.7 * rng.dirichlet(np.full(6, 3.0))


def rate(truth: np.ndarray, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One rating (N,) for each true level, drawn from its row of `matrix` (6, 6)."""
    return (rng.random(len(truth))[:, None] > matrix.cumsum(axis=1)[truth, :-1]).sum(axis=1)


def places(rows: int, size: int, prior: np.ndarray, rng: np.random.Generator, dim: int = 64, noise: float = 0.05):
    """Clusterable rows: (truth (N,), embeddings (N, d)); `size` rows a cluster, of one level."""
    count = -(-rows // size)
    truth = np.repeat(rng.choice(6, count, p=prior), size)[:rows]
    centres = rng.standard_normal((count, dim)) / np.sqrt(dim)
    points = np.repeat(centres, size, axis=0)[:rows] + noise * rng.standard_normal((rows, dim)) / np.sqrt(dim)
    return truth, points.astype(np.float32)


def clusters(rows: int, size: int, hard: bool, seed: int, dim: int = 64):
    """Ratings (N,), truth (N,) and embeddings (N, d) under the easy or the hard T."""
    rng = np.random.default_rng(seed)
    truth, points = places(rows, size, PRIOR, rng, dim)
    return rate(truth, transition(hard), rng), truth, points


def error(fitted: np.ndarray, matrix: np.ndarray) -> float:
    """Mean over rows of the L1 distance of two transition matrices."""
    return float(np.abs(np.asarray(fitted) - matrix).sum(axis=1).mean())
