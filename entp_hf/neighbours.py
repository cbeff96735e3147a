"""Nearest neighbours by cosine similarity: one search shared by correction, long-tail scores and fusion groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import StageError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Neighbours:
    """`index` (N, k): row numbers, nearest first, self and exact copies left out. `distance` (N, k): 1 - cosine."""

    index: Ints
    distance: Floats

    def long_tail(self) -> Floats:
        """Mean cosine distance to the k nearest rows, shape (N,) (DS2's long-tail score, with k true neighbours)."""
        mean: Floats = self.distance.mean(axis=1)
        return mean


def check_embeddings(embeddings: Floats, stage: str) -> None:
    """Raise StageError naming the rows whose embedding is not finite or is zero."""
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1) | (np.abs(embeddings).max(axis=1, initial=0) == 0))
    if len(bad):
        raise StageError(stage, "embeddings are not finite or are zero, so cosine similarity is undefined; "
                         "embed these rows again or leave them out", [str(i) for i in bad])  # fmt: skip


def nearest(embeddings: Floats, k: int) -> Neighbours:
    """Exact k nearest rows of every row of `embeddings` (N, d); fewer where there are fewer other rows.

    Self is removed by index, not by position: exact copies tie with it.
    """
    import faiss

    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(vectors)
    k = min(k, n - 1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    similarity, found = index.search(vectors, k + 1)
    keep = found != np.arange(n)[:, None]
    keep[keep.all(axis=1), -1] = False  # more than k exact copies: self did not make the list
    shape = (n, k)
    return Neighbours(
        found[keep].reshape(shape), np.clip(1 - similarity[keep], 0, 2).reshape(shape).astype(np.float32)
    )


def nearest_distinct(embeddings: Floats, copy_of: Ints, k: int) -> Neighbours:
    """Like `nearest`, over one row of each set of exact copies; a copy gets the neighbours of its original.

    `copy_of` (N,): for each row the number of the first row with the same text. Copies are no independent evidence.
    """
    originals, position = np.unique(copy_of, return_inverse=True)
    found = nearest(embeddings[originals], k)
    return Neighbours(originals[found.index][position], found.distance[position])
