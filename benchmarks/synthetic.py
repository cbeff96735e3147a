"""Ratings with a known transition matrix, for the correction's tests and benchmarks."""

from __future__ import annotations

import numpy as np

PRIOR = np.array([0.06, 0.14, 0.28, 0.3, 0.18, 0.04])


def transition(hard: bool) -> np.ndarray:
    """A 6 x 6 T: easy keeps 0.76 of the ratings on average, hard 0.57; mistakes fall with distance."""
    keep = 0.76 if not hard else 0.57
    away = np.exp(-np.abs(np.arange(6)[:, None] - np.arange(6)[None]) / (1.0 if not hard else 1.6))
    np.fill_diagonal(away, 0)
    away /= away.sum(axis=1, keepdims=True)
    return keep * np.eye(6) + (1 - keep) * away


def clusters(rows: int, size: int, hard: bool, seed: int, dim: int = 64, noise: float = 0.05):
    """Clusterable rows: (ratings (N,), truth (N,), embeddings (N, d)); `size` rows a cluster, of one score."""
    rng = np.random.default_rng(seed)
    count = -(-rows // size)
    truth = np.repeat(rng.choice(6, count, p=PRIOR), size)[:rows]
    centres = rng.standard_normal((count, dim)) / np.sqrt(dim)
    points = np.repeat(centres, size, axis=0)[:rows] + noise * rng.standard_normal((rows, dim)) / np.sqrt(dim)
    cdf = transition(hard).cumsum(axis=1)
    ratings = (rng.random(rows)[:, None] > cdf[truth]).sum(axis=1)
    return ratings, truth, points.astype(np.float32)
