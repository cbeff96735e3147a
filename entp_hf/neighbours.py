"""Nearest neighbours by cosine similarity: one search shared by correction, long-tail scores and fusion groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StageError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

EXACT_ROWS = 60_000  # rows up to which the search is exact: 50,000 x 384 take 12 s, 300,000 would take 7 min (ours)
RECALL = 0.95  # share of the true neighbours that the approximate search must find (ours)
PROBED = 400  # rows on which its recall is measured
BATCH = 8192  # rows searched at a time
LONG_TAIL = 10  # neighbours of the long-tail score (DS2)


@dataclass(frozen=True)
class Neighbours:
    """`index` (N, k): row numbers, nearest first, self and exact copies left out. `distance` (N, k): 1 - cosine."""

    index: Ints
    distance: Floats
    recall: float = 1.0  # measured share of the true neighbours that were found; 1: the search was exact

    def long_tail(self) -> Floats:
        """Mean cosine distance to the 10 nearest rows, shape (N,) (DS2's long-tail score, with 10 true neighbours)."""
        mean: Floats = self.distance[:, :LONG_TAIL].mean(axis=1)
        return mean

    def of(self, rows: Ints, back: Ints) -> Neighbours:
        """The neighbours of a subset seen from all rows: `rows` (M,) are the subset's, `back` (N,) places in it."""
        return Neighbours(rows[self.index][back], self.distance[back], self.recall)

    def among(self, rows: Ints) -> Neighbours:
        """The inverse of `of`: places in the subset `rows` (M,), sorted. StageError where it lacks a neighbour."""
        place = np.searchsorted(rows, self.index[rows])
        if (rows[np.minimum(place, len(rows) - 1)] != self.index[rows]).any():
            raise StageError(
                "correct",
                "neighbours name rows that are copies of others or out of range; give those of an earlier result on "
                "the same rows, or leave them out",
            )
        return Neighbours(place, self.distance[rows], self.recall)


def check_embeddings(embeddings: Floats, stage: str) -> None:
    """Raise StageError naming the rows whose embedding is not finite or is zero."""
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1) | (np.abs(embeddings).max(axis=1, initial=0) == 0))
    if len(bad):
        raise StageError(stage, "embeddings are not finite or are zero, so cosine similarity is undefined; "
                         "embed these rows again or leave them out", [str(i) for i in bad])  # fmt: skip


def copies(embeddings: Floats) -> Ints:
    """For each row the number of the first row with the very same embedding, shape (N,)."""
    rows = np.ascontiguousarray(embeddings)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    found: Ints = first[back].astype(np.int64)
    return found


def nearest(embeddings: Floats, k: int, exact_rows: int = EXACT_ROWS) -> Neighbours:
    """The k nearest rows of every row of `embeddings` (N, d); fewer where there are fewer other rows.

    Exact up to `exact_rows` rows; beyond, cells of an inverted file are probed until at least 95% of the true
    neighbours of a sample are found, and `recall` says how many were. Self is removed by index, not by position: exact
    copies tie with it.
    """
    vectors = np.array(embeddings, dtype=np.float32, order="C")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    k = min(k, len(vectors) - 1)
    flat = len(vectors) <= exact_rows
    index, recall = (_flat(vectors), 1.0) if flat else _inverted(vectors, k)
    found = np.empty((len(vectors), k), dtype=np.int64)
    distance = np.empty((len(vectors), k), dtype=np.float32)
    for start in range(0, len(vectors), BATCH):
        rows = np.arange(start, min(start + BATCH, len(vectors)))
        found[rows], distance[rows] = _search(index, vectors, rows, k)
    short = np.flatnonzero((found < 0).any(axis=1))  # the cells probed held fewer than k rows
    if len(short):
        found[short], distance[short] = _search(_flat(vectors), vectors, short, k)
    return Neighbours(found, distance, recall)


def _flat(vectors: Floats) -> Any:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def _inverted(vectors: Floats, k: int) -> tuple[Any, float]:
    """An inverted file with enough cells probed, and its measured recall."""
    import faiss

    n, d = vectors.shape
    cells = int(4 * np.sqrt(n))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:: max(1, n // (40 * cells))])
    index.add(vectors)
    rows = np.linspace(0, n - 1, min(PROBED, n)).astype(np.int64)
    truth, _ = _search(_flat(vectors), vectors, rows, k)
    recall = 0.0
    for probe in (8, 16, 32, 64, 128, 256):
        index.nprobe = min(probe, cells)
        found, _ = _search(index, vectors, rows, k)
        recall = float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(found, truth, strict=True)]))
        if recall >= RECALL:
            break
    return index, round(recall, 4)


def _search(index: Any, vectors: Floats, rows: Ints, k: int) -> tuple[Ints, Floats]:
    similarity, found = index.search(vectors[rows], k + 1)
    keep = found != rows[:, None]
    keep[keep.all(axis=1), -1] = False  # more than k exact copies: self did not make the list
    shape = (len(rows), k)
    distance = np.clip(1 - similarity[keep], 0, 2).reshape(shape).astype(np.float32)
    return found[keep].reshape(shape), distance


def nearest_distinct(embeddings: Floats, copy_of: Ints, k: int) -> Neighbours:
    """Like `nearest`, over one row of each set of exact copies; a copy gets the neighbours of its original.

    `copy_of` (N,): for each row the number of the first row with the same text. Copies are no independent evidence.
    """
    originals, back = np.unique(copy_of, return_inverse=True)
    return nearest(embeddings[originals], k).of(originals, back)
