"""Diversity of a set of rows and its coverage of a pool, from embeddings of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import FloatMatrix, Ints
from ..errors import StageError
from ..io.manifest import DiversitySection
from .exact import fine, on_grid
from .neighbors import check_embeddings, nearest

BLOCK = 1024  # rows of a distance matrix held at once
# Not in the paper:
SIDE = 1000  # rows of each side of a comparison
LEAST = 20  # rows of a side, below which nothing is reported


def novelsum(
    vectors: FloatMatrix,
    reference: FloatMatrix | None = None,
    k: int = 10,
    alpha: float = 1.0,
    beta: float = 0.5,
) -> float:
    """NovelSum of n rows (Yang et al., arXiv 2502.17184): mean over rows i of sum_j w_ij sigma_j d_ij / sum_j w_ij.

    d_ij is the cosine distance, w_ij = rank_i(j)^-alpha with rank 1 for the nearest other row, and the density factor
    sigma_j = (mean distance of j to its k nearest rows of `reference`)^-beta; defaults as in the paper, whose sum over
    rows is a mean here, so that sets of different sizes compare, as in its released code. `reference`: embeddings of
    the whole pool (None: the rows themselves). Higher is more diverse. Raises StageError for fewer than two rows.
    """
    if len(vectors) < 2:
        raise StageError("diversity", f"{len(vectors)} rows; NovelSum needs at least 2")
    check_embeddings(vectors, "diversity")
    density = _mean_distance(vectors, vectors if reference is None else reference, k) + 1e-9
    factor = density**-beta
    weight = np.arange(1, len(vectors), dtype=float) ** -alpha
    weight /= weight.sum()
    total, exact = 0.0, fine(vectors)
    for start in range(0, len(vectors), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        distance = np.clip(1 - fine(vectors[rows]) @ exact.T, 0, 2)
        distance[np.arange(len(rows)), rows] = -1  # self comes first, and is left out
        order = np.argsort(distance, axis=1, kind="stable")[:, 1:]
        total += float((np.take_along_axis(distance * factor, order, axis=1) @ weight).sum())
    return total / len(vectors)


def _mean_distance(vectors: FloatMatrix, reference: FloatMatrix, k: int) -> Any:
    """Mean cosine distance to the k nearest rows of `reference`, the row itself left out where it is one of them."""
    import faiss

    index = faiss.IndexFlatIP(reference.shape[1])
    index.add(np.ascontiguousarray(reference, dtype=np.float32))
    similarity, _ = index.search(np.ascontiguousarray(vectors, dtype=np.float32), min(k + 1, len(reference)))
    distance = np.clip(1 - similarity.astype(float), 0, 2)
    same = distance[:, 0] < 1e-6  # the row itself, where it is part of the reference
    return np.where(same, distance[:, 1:].mean(axis=1), distance[:, :k].mean(axis=1))


def vendi_score(vectors: FloatMatrix) -> float:
    """Vendi score (Friedman and Dieng, arXiv 2210.02410): exp of the entropy of the eigenvalues of K / n.

    K is the cosine kernel of n rows. 1: all rows are alike; n: all are orthogonal. Eigenvalues are taken of the
    smaller of the kernel and the covariance, which share those above 0.
    """
    if not len(vectors):
        raise StageError("diversity", "0 rows; the Vendi score needs at least 1")
    check_embeddings(vectors, "diversity")
    rows = vectors.astype(float)
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    values = np.linalg.eigvalsh(gram / len(rows))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def cluster_coverage(vectors: FloatMatrix, centroids: FloatMatrix) -> float:
    """Share of the pool's clusters (centroids (k, d), unit length) that at least one row is nearest to."""
    if not len(vectors):
        return 0.0
    reached = np.unique((on_grid(vectors) @ on_grid(centroids).T).argmax(axis=1))
    return len(reached) / len(centroids)


def knn_coverage(vectors: FloatMatrix, pool: FloatMatrix, k: int = 5) -> float:
    """Share of the pool's rows with a row of the set among what is as near as their k-th nearest other pool row.

    Coverage of Naeem et al. (arXiv 2002.09797, equation 5; k = 5 there), the pool in the place of the real data.
    """
    if not len(vectors):
        return 0.0
    radius = nearest(pool, k).distance[:, -1]
    rows = fine(vectors).T
    near = np.concatenate(
        [(1 - fine(pool[start : start + BLOCK]) @ rows).min(axis=1) for start in range(0, len(pool), BLOCK)]
    )
    return float((near <= radius + 1e-6).mean())


def diversity(
    vectors: FloatMatrix, pool: FloatMatrix | None = None, centroids: FloatMatrix | None = None
) -> dict[str, float]:
    """All measures that can be computed: novelsum, vendi, and with a pool cluster_coverage and knn_coverage."""
    found = {"novelsum": novelsum(vectors, pool), "vendi": vendi_score(vectors)}
    if centroids is not None:
        found["cluster_coverage"] = cluster_coverage(vectors, centroids)
    if pool is not None:
        found["knn_coverage"] = knn_coverage(vectors, pool)
    return {name: round(value, 4) for name, value in found.items()}


def centroids_of(pool: FloatMatrix, labels: Ints) -> FloatMatrix:
    """Unit-length means of the pool's clusters, in the order of their labels, (k, d)."""
    means = np.stack([pool[labels == label].mean(axis=0) for label in np.unique(labels)])
    centroids: FloatMatrix = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return centroids


def before_and_after(came: FloatMatrix, made: FloatMatrix, seed: int = 0) -> DiversitySection | None:
    """The manifest's `diversity`: rows as they came in against the dataset made of them, equally many of each.

    Two disjoint samples of `came` (n, d) are drawn, one as the reference of both sides and one as "before", and a
    sample of `made` (m, d) is "after": {rows, before {measure: value}, after {measure: value}}. None where a side
    would     have fewer than `LEAST` rows.
    """
    rows = min(len(came) // 2, len(made), SIDE)
    if rows < LEAST:
        return None
    draw = np.random.default_rng(seed)
    first, after = draw.permutation(len(came)), made[draw.permutation(len(made))[:rows]]
    reference, before = came[first[:rows]], came[first[rows : 2 * rows]]
    return {"rows": rows, "before": diversity(before, reference), "after": diversity(after, reference)}
