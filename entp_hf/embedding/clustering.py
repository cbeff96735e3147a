"""Cluster the purged pool and pick representatives (method section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from datasets.utils import tqdm
from scipy.sparse import csr_array
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import silhouette_samples
from sklearn.utils.extmath import svd_flip

from ..arrays import Float64, FloatMatrix, Ints, Vectors
from ..io.manifest import MapPoint
from .exact import STEPS, fine, on_grid

# Not in the paper:
SEEDING_ROWS = 20_000  # most rows that k-means++ picks the first centroids from
TRIED_POINTS, TRIED_ITERATIONS = 64, 10  # rows a centroid and iterations, while k is sought
POINTS, ITERATIONS = 256, 15  # and for the k that was found (faiss's defaults are 256 and 25)
BLOCK = 4096  # rows assigned and added up at once: a sum of so many coordinates of at most 4,000 is exact
MAP_POINTS = 1500  # most points of the cluster map in the manifest
COLLAPSED_SHARE = 0.5  # a cluster with more of the pool than this is warned of
LOW_SILHOUETTE = 0.02  # so is a mean silhouette below this


@dataclass(frozen=True)
class Clusters:
    """k clusters of n rows; labels 0..k-1 by falling size. `curve`: mean silhouette of each k tried."""

    label: Ints  # (n,)
    centroid: FloatMatrix  # (k, d), unit length
    silhouette: float
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centroid)

    def sizes(self) -> list[int]:
        """Rows in each cluster, largest first."""
        return [int(n) for n in np.bincount(self.label, minlength=self.k)]

    def warnings(self) -> list[str]:
        """What looks like a collapse, in words."""
        found = []
        if self.k > 1 and (share := max(self.sizes()) / len(self.label)) > COLLAPSED_SHARE:
            found.append(
                f"the largest of {self.k} clusters holds {share:.0%} of the rows (bound {COLLAPSED_SHARE}); "
                "try more cluster_counts, or look for boilerplate that all rows share"
            )
        if self.k > 1 and self.silhouette < LOW_SILHOUETTE:
            found.append(
                f"the mean silhouette is {self.silhouette:.3f} (bound {LOW_SILHOUETTE}): the clusters "
                "hardly differ; another embedder or other cluster_counts may part them better"
            )
        return found


def default_grid(rows: int) -> list[int]:
    """Eight numbers of clusters from sqrt(n)/4 to 2 sqrt(n), evenly in ratio (not in the paper)."""
    low, high = max(2.0, rows**0.5 / 4), max(2.0, min(rows / 3, 2 * rows**0.5))
    return sorted({int(round(k)) for k in np.geomspace(low, max(low, high), 8) if 2 <= round(k) < rows})


def cluster(embeddings: FloatMatrix, counts: Sequence[int] = (), sample: int = 5000, seed: int = 0) -> Clusters:
    """Spherical k-means with the k of the highest average silhouette (cosine) over a grid.

    Each k is tried on `TRIED_POINTS` rows a centroid; the best is fitted again on more. Rows and centroids lie on a
    grid on which products are exact (see `exact`), so that every processor finds the same clusters; faiss's and
    scikit-learn's k-means round as they add, and a row between two centroids goes to either.

    Args:
        embeddings: (n, d), unit length. Fewer than four rows are one cluster.
        counts: the numbers of clusters to try; by default `default_grid`.
        sample: most rows that silhouettes are computed on, drawn by `seed`.
        seed: of the samples and the first centroids.
    """
    n = len(embeddings)
    grid = [k for k in (counts or default_grid(n)) if 2 <= k < n]
    if n < 4 or not grid:
        centre = embeddings.mean(axis=0, keepdims=True) if n else np.zeros((1, 1), np.float32)
        return Clusters(np.zeros(n, np.int64), centre.astype(np.float32), 0.0)
    picked = np.random.default_rng(seed).permutation(n)[:sample]
    points = on_grid(embeddings[picked])
    apart = np.maximum(np.float32(STEPS**2) - points @ points.T, 0)
    np.fill_diagonal(apart, 0)
    begin = _seeds(embeddings, max(grid), seed)
    best: tuple[float, FloatMatrix] | None = None
    curve = []
    for k in tqdm(grid, desc="cluster", unit="k"):
        centroid = _kmeans(embeddings, begin[:k], TRIED_POINTS, TRIED_ITERATIONS, seed)
        mean = _silhouette(apart, _label(points, centroid))
        curve.append((k, round(mean, 4)))
        if best is None or mean > best[0]:
            best = mean, centroid
    assert best is not None
    centroid = _kmeans(embeddings, best[1], POINTS, ITERATIONS, seed)
    label = np.concatenate(
        [_label(on_grid(embeddings[start : start + BLOCK]), centroid) for start in range(0, n, BLOCK)]
    )
    return Clusters(*_by_size(label, fine(centroid).astype(np.float32)), _silhouette(apart, label[picked]), curve)


def _silhouette(apart: FloatMatrix, label: Ints) -> float:
    """Mean silhouette of points at the distances `apart`; -1 where they are all in one cluster, or each in its own."""
    if not 2 <= len(np.unique(label)) < len(label):
        return -1.0
    each = silhouette_samples(apart, label, metric="precomputed")
    return round(float(np.mean(each, dtype=np.float64)), 6)  # so that two k of equal worth stay equal


def _seeds(embeddings: FloatMatrix, most: int, seed: int) -> FloatMatrix:
    """First centroids by k-means++, on the grid: the first k of them are those for k clusters.

    Random starts end in poor optima that hide the right k even where clusters are far apart. Whole numbers, so that
    scikit-learn's squared distances and their sums are exact in double precision.
    """
    n = len(embeddings)
    sample = embeddings[np.sort(np.random.default_rng(seed).permutation(n)[: max(SEEDING_ROWS, 2 * most)])]
    wide = on_grid(sample).astype(np.float64)  # of single precision, sklearn widens a copy at every step
    picked: FloatMatrix = kmeans_plusplus(wide, most, random_state=seed)[0].astype(np.float32)
    return picked


def _kmeans(embeddings: FloatMatrix, begin: FloatMatrix, points: int, iterations: int, seed: int) -> FloatMatrix:
    """Centroids (k, d) on the grid after at most so many iterations over at most `points` rows for each.

    A centroid that no row is nearest to stays where it is.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(embeddings))[: points * len(begin)])
    sample = np.concatenate([on_grid(embeddings[part]) for part in _blocks(rows)])
    centroid, before = begin, None
    for _ in range(iterations):
        label = _label(sample, centroid)
        if before is not None and np.array_equal(label, before):
            break
        total = _sums(sample, label, len(begin))
        filled = np.bincount(label, minlength=len(begin)) > 0
        centroid, before = centroid.copy(), label
        centroid[filled] = on_grid(total[filled])
    return centroid


def _sums(grid: FloatMatrix, label: Ints, k: int) -> Float64:
    """Sum (k, d) of the rows of each cluster: exact in each block, and of blocks."""
    total = np.zeros((k, grid.shape[1]))
    for start in range(0, len(grid), BLOCK):
        part = label[start : start + BLOCK]
        member = csr_array((np.ones(len(part), np.float32), (part, np.arange(len(part)))), shape=(k, len(part)))
        total += member @ grid[start : start + BLOCK]
    return total


def _label(grid: FloatMatrix, centroid: FloatMatrix) -> Ints:
    """The nearest centroid of each row, (n,), the first of equally near ones; both on the grid."""
    parts = [(grid[start : start + BLOCK] @ centroid.T).argmax(axis=1) for start in range(0, len(grid), BLOCK)]
    return np.concatenate(parts)


def _by_size(label: Ints, centroid: FloatMatrix) -> tuple[Ints, FloatMatrix]:
    size = np.bincount(label, minlength=len(centroid))
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > 0]
    rank = np.zeros(len(centroid), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[label], centroid[order]


def _blocks(rows: Ints) -> list[Ints]:
    """The row numbers in blocks."""
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def representatives(
    embeddings: Vectors, clusters: Clusters, total: int, eligible: Sequence[bool] | None = None
) -> list[int]:
    """Row numbers of up to `total` representatives, cluster by cluster: the medoid, then farthest-point picks.

    A cluster's number is proportional to the square root of its size, at least one while `total` lasts (largest
    clusters first), so that rare kinds of instruction are represented too. At most every second row of a cluster.
    """
    open_to = np.ones(len(clusters.label), bool) if eligible is None else np.asarray(eligible, bool)
    members = [np.flatnonzero((clusters.label == c) & open_to) for c in range(clusters.k)]
    wanted = _shares([len(m) for m in members], total)
    chosen: list[int] = []
    for rows, number in zip(members, wanted, strict=True):
        if not number:
            continue
        points = on_grid(embeddings[rows])
        mean = fine(np.sum([fine(embeddings[part]).sum(axis=0) for part in _blocks(rows)], axis=0))
        central = np.concatenate([fine(embeddings[part]) @ mean for part in _blocks(rows)])
        first = int(np.round(central, 7).argmax())
        picks, nearest = [first], points @ points[first]
        while len(picks) < number:
            nearest[picks] = np.inf
            picks.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, points @ points[picks[-1]])
        chosen.extend(int(rows[p]) for p in picks)
    return chosen


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """How many of `total` each cluster gets."""
    root = np.sqrt(np.array(sizes, dtype=float))
    most = np.array([-(-size // 2) for size in sizes])
    if total <= 0 or root.sum() == 0:
        return [0] * len(sizes)
    ideal = total * root / root.sum()
    got = np.minimum(np.maximum(np.floor(ideal), most > 0), most).astype(int)
    for c in np.argsort(-(ideal - got), kind="stable"):
        if got.sum() >= total:
            break
        got[c] = min(got[c] + 1, most[c])
    while got.sum() < total and (got < most).any():
        got[np.argmax(np.where(got < most, ideal - got, -np.inf))] += 1
    while got.sum() > total:
        many = got > 1
        excess = np.where(many, got - ideal, -np.inf) if many.any() else np.where(got, -root, -np.inf)
        c = len(got) - 1 - np.argmax(excess[::-1])  # the last of equals: clusters come largest first
        got[c] -= 1
    return [int(g) for g in got]


def map_of(
    embeddings: FloatMatrix,
    clusters: Clusters,
    marked: set[int],
    about: Callable[[int], tuple[str, str]],
    seed: int = 0,
) -> list[MapPoint]:
    """Two-dimensional picture: first principal components of a seeded sample; representatives are always in it.

    `about`: a row's id and text.
    """
    n = len(embeddings)
    if n < 3:
        return []
    rest = [int(i) for i in np.random.default_rng(seed).permutation(n) if i not in marked]
    keep = sorted([*sorted(marked)[:MAP_POINTS], *rest[: max(0, MAP_POINTS - len(marked))]])
    centred = embeddings[keep] - embeddings[keep].mean(axis=0)
    axes = svd_flip(*np.linalg.svd(centred, full_matrices=False)[::2], u_based_decision=False)[1]
    flat = centred @ axes[:2].T
    return [
        {
            "x": round(float(x), 4),
            "y": round(float(y), 4),
            "cluster": int(clusters.label[i]),
            "representative": i in marked,
            "id": key,
            "text": text[:120],
        }
        for i, (x, y) in zip(keep, flat, strict=True)
        for key, text in [about(i)]
    ]
