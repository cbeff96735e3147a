"""Diversity: values by hand, brute force, and what any measure of diversity has to do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from entp_hf.embedding.diversity import (
    before_and_after,
    centroids_of,
    cluster_coverage,
    diversity,
    knn_coverage,
    novelsum,
    vendi_score,
)
from entp_hf.errors import StageError


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_rows(n, d=8, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(n, d)))


def test_novelsum_of_three_rows_by_hand():
    # Angles 0, 90 and 180 degrees: distances 1 (neighbors), 2 (the ends). k = 2, so densities are means of two.
    rows = unit([[1, 0], [0, 1], [-1, 0]])
    ends, middle = (1 + 2) / 2, 1.0
    end_row = (1 * middle**-0.5 * 1 + 0.5 * ends**-0.5 * 2) / 1.5
    middle_row = (1 + 0.5) * ends**-0.5 * 1 / 1.5
    assert novelsum(rows, k=2) == pytest.approx((2 * end_row + middle_row) / 3, abs=1e-6)
    assert novelsum(rows, k=2, beta=0, alpha=0) == pytest.approx((1.5 + 1.5 + 1) / 3, abs=1e-6)


def test_novelsum_is_the_slow_sum():
    pool = random_rows(60)
    rows = pool[:25]
    total = 0.0
    for i in range(25):
        distance = 1 - rows @ rows[i]
        others = sorted((j for j in range(25) if j != i), key=lambda j: distance[j])
        weights = [1 / rank for rank in range(1, 25)]
        density = [np.sort(np.delete(1 - pool @ rows[j], j))[:10].mean() ** -0.5 for j in others]
        terms = [w * s * distance[j] for w, s, j in zip(weights, density, others, strict=True)]
        total += sum(terms) / sum(weights)
    assert novelsum(rows, pool) == pytest.approx(total / 25, rel=1e-4)


def test_copies_are_less_diverse():
    rows = random_rows(40)
    copied = np.concatenate([rows[:20], rows[:20]])
    assert novelsum(copied, rows) < novelsum(rows, rows)
    assert vendi_score(copied) < vendi_score(rows)
    assert knn_coverage(copied, rows) < knn_coverage(rows, rows) == 1


def test_vendi_score_is_1_for_copies_and_n_for_orthogonal_rows():
    assert vendi_score(np.tile(unit([[1, 2, 3]]), (7, 1))) == pytest.approx(1, abs=1e-4)
    assert vendi_score(np.eye(5, dtype=np.float32)) == pytest.approx(5, abs=1e-4)
    two = vendi_score(unit([[1, 0], [1, 0], [0, 1]]))
    assert two == pytest.approx(math.exp(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3)), abs=1e-4)


def test_vendi_score_is_the_same_by_kernel_and_covariance():
    rows = random_rows(30, 5)
    values = np.linalg.eigvalsh((rows @ rows.T).astype(float) / 30)
    values = values[values > 1e-9]
    assert vendi_score(rows) == pytest.approx(math.exp(-(values * np.log(values)).sum()), rel=1e-4)


def test_coverage_by_hand():
    centroids = unit([[1, 0], [0, 1], [-1, 0], [0, -1]])
    assert cluster_coverage(unit([[1, 0.1], [0.9, -0.1], [0.1, 1]]), centroids) == 0.5
    # Pool rows at 0, 10, 20 and 180 degrees; k = 1, so their balls reach to the next: 10, 10, 10 and 160 degrees.
    pool = unit([[math.cos(a), math.sin(a)] for a in np.radians([0, 10, 20, 180])])
    at = np.radians(4.0)
    one = unit([[math.cos(at), math.sin(at)]])
    assert knn_coverage(one, pool, k=1) == 0.5  # near enough to 0 and 10, not to 20 (16) nor to 180 (176)
    assert knn_coverage(pool[3:], pool, k=1) == 0.25
    assert knn_coverage(one[:0], pool) == cluster_coverage(one[:0], centroids) == 0


def test_all_measures_together():
    pool = random_rows(50)
    labels = (pool[:, 0] > 0).astype(int)
    found = diversity(pool[:10], pool, centroids_of(pool, labels))
    assert set(found) == {"novelsum", "vendi", "cluster_coverage", "knn_coverage"}
    assert centroids_of(pool, labels).shape == (2, 8)
    assert set(diversity(pool[:10])) == {"novelsum", "vendi"}
    with pytest.raises(StageError, match="1 rows; NovelSum needs at least 2"):
        novelsum(pool[:1])
    with pytest.raises(StageError, match="embeddings are not finite or are zero"):
        vendi_score(np.zeros((3, 2), np.float32))


def test_before_and_after_are_as_many_rows_and_equal_for_equal_rows():
    came = unit(np.random.default_rng(0).normal(size=(4000, 8)))
    same = before_and_after(came, came[::-1])
    assert same["rows"] == 1000
    for measure, value in same["before"].items():
        assert same["after"][measure] == pytest.approx(value, rel=0.05)
    narrow = before_and_after(came, unit(came[:300] * [9, 1, 1, 1, 1, 1, 1, 1]))
    assert narrow["rows"] == 300
    assert all(narrow["after"][measure] < value for measure, value in narrow["before"].items())
    assert before_and_after(came[:30], came) is None
