"""Nearest neighbors by cosine similarity: one search shared by all stages that need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from datasets import Dataset

from ..arrays import Float64, FloatMatrix, Ints
from ..errors import StageError
from ..execution.tables import each, gathered, matrix
from ..schema import text_of
from ..text.words import digest_of
from .exact import COARSE, STEPS, fine, on_grid

# Not in the paper:
EXACT_ROWS = 60_000  # rows up to which the search is exact: 50,000 x 384 take 12 s, 300,000 would take 7 min
RECALL = 0.95  # share of the true neighbors that the approximate search must find
PROBED = 400  # rows on which its recall is measured
COMPARED = (8, 32)  # rows compared exactly for each asked for; more where rows lie so close that codes are one
BATCH = 8192  # rows searched at a time
EXTRA = 10  # candidates of the coarse grid beyond those asked for
COMPARED_AT_ONCE = 1024
RANKED = 64  # rows whose candidates' vectors are gathered at once
LONG_TAIL = 10  # neighbors of the long-tail score (DS2)


@dataclass(frozen=True)
class Neighbors:
    """`index` (N, k): row numbers, nearest first, self and exact copies left out. `distance` (N, k): 1 - cosine."""

    index: Ints
    distance: FloatMatrix
    recall: float = 1.0  # measured share of the true neighbors that were found; 1: the search was exact

    def long_tail(self) -> FloatMatrix:
        """Mean cosine distance to the 10 nearest rows, shape (N,) (DS2's long-tail score, with 10 true neighbors)."""
        mean: FloatMatrix = self.distance[:, :LONG_TAIL].mean(axis=1, dtype=np.float64).astype(np.float32)
        return mean

    def of(self, rows: Ints, back: Ints) -> Neighbors:
        """The neighbors of a subset seen from all rows: `rows` (M,) are the subset's, `back` (N,) places in it."""
        return Neighbors(rows[self.index][back], self.distance[back], self.recall)

    def among(self, rows: Ints) -> Neighbors:
        """The inverse of `of`: places in the subset `rows` (M,), sorted. StageError where it lacks a neighbor."""
        if len(rows) == len(self.index):
            return self
        place = np.searchsorted(rows, self.index[rows])
        if (rows[np.minimum(place, len(rows) - 1)] != self.index[rows]).any():
            raise StageError(
                "correct",
                "neighbors name rows that are copies of others or out of range; give those of an earlier result on "
                "the same rows, or leave them out",
            )
        return Neighbors(place, self.distance[rows], self.recall)


def check_embeddings(embeddings: FloatMatrix, stage: str) -> None:
    """Raise StageError naming the rows whose embedding is not finite or is zero."""
    bad = []
    for start in range(0, len(embeddings), BATCH):
        part = embeddings[start : start + BATCH]
        wrong = ~np.isfinite(part).all(axis=1) | (np.abs(part).max(axis=1, initial=0) == 0)
        bad += (start + np.flatnonzero(wrong)).tolist()
    if bad:
        raise StageError(
            stage,
            "embeddings are not finite or are zero, so cosine similarity is undefined; "
            "embed these rows again or leave them out",
            [str(i) for i in bad],
        )


def copies(embeddings: FloatMatrix) -> Ints:
    """For each row the number of the first row with the very same embedding, shape (N,)."""
    rows = np.ascontiguousarray(embeddings)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    found: Ints = first[back].astype(np.int64)
    return found


def nearest(embeddings: FloatMatrix, k: int, exact_rows: int = EXACT_ROWS) -> Neighbors:
    """The k nearest rows of every row; fewer where there are fewer other rows.

    Up to `exact_rows` rows the search is exact, and the same on every processor: products are exact (see `exact`), and
    equally near rows come in order of their numbers. Beyond, cells of an inverted file are probed until at least 95%
    of the true neighbors of a sample are found; its cells and codes are made in single precision, so that another
    processor may find others. Self is removed by index, not by position: exact copies tie with it. Held in memory: the
    vectors where the search is exact, else codes of a sixteenth of their size.

    Args:
        embeddings: (N, d), of any lengths but 0.
        k: neighbors of each row.
        exact_rows: rows up to which every row is compared with every other.
    """
    k = min(k, len(embeddings) - 1)
    index: Any = _Flat.of(embeddings) if len(embeddings) <= exact_rows else None
    recall = 1.0
    if index is None:
        index, recall = _inverted(embeddings, k)
    matches = np.empty((len(embeddings), k), dtype=np.int64)
    distance = np.empty((len(embeddings), k), dtype=np.float32)
    short = []
    for start in range(0, len(embeddings), BATCH):
        rows = np.arange(start, min(start + BATCH, len(embeddings)))
        matches[rows], distance[rows] = _search(index, embeddings, rows, k)
        short += (start + np.flatnonzero((matches[rows] < 0).any(axis=1))).tolist()
    if short:  # the cells probed held fewer than k rows
        rows = np.array(short)
        matches[rows], distance[rows] = _exact(embeddings, rows, k)
    return Neighbors(matches, distance, recall)


def unit(vectors: FloatMatrix | Float64) -> FloatMatrix:
    """Rows of unit length, float32, as a new array."""
    part = np.asarray(vectors, dtype=np.float64)
    scaled: FloatMatrix = (part / np.sqrt(np.add.reduce(part * part, axis=1))[:, None]).astype(np.float32)
    return np.ascontiguousarray(scaled)


@dataclass(frozen=True)
class _Flat:
    """Every row on the coarse grid of exact products, to propose candidates, and on the fine one, to rank them."""

    index: Any
    rows: FloatMatrix  # (N, d), in a temporary file

    @classmethod
    def of(cls, embeddings: FloatMatrix) -> _Flat:
        import faiss

        index, rows = faiss.IndexFlatIP(embeddings.shape[1]), matrix(*embeddings.shape)
        for start in range(0, len(embeddings), BATCH):
            part = embeddings[start : start + BATCH]
            index.add(on_grid(part))
            rows[start : start + BATCH] = fine(part)
        return cls(index, rows)

    def search(self, asked: FloatMatrix, k: int) -> tuple[Float64, Ints]:
        """As faiss's: cosine similarities (M, k) and row numbers (M, k), best first, equal ones by number."""
        target = fine(asked)
        product, matches = self.index.search(on_grid(asked), min(k + EXTRA, len(self.rows)))
        cosine, best = self._ranked(target, matches, k)
        if matches.shape[1] < len(self.rows):
            unsure = np.flatnonzero(product[:, -1] / STEPS**2 + COARSE >= cosine[:, -1])
            if len(unsure):
                cosine[unsure], best[unsure] = _by_comparison(self.rows, target[unsure], k, True)
        return cosine, best

    def _ranked(self, asked: Float64, matches: Ints, k: int) -> tuple[Float64, Ints]:
        """The k best of `matches` (M, at least k)."""
        cosine = np.empty(matches.shape)
        for start in range(0, len(matches), RANKED):
            part = slice(start, start + RANKED)
            cosine[part] = np.einsum("mkd,md->mk", self.rows[matches[part]], asked[part], dtype=np.float64)
        order = np.lexsort((matches, -cosine), axis=1)[:, :k]
        return np.take_along_axis(cosine, order, 1), np.take_along_axis(matches, order, 1)


def _by_comparison(vectors: FloatMatrix, asked: Float64, k: int, on_fine_grid: bool = False) -> tuple[Float64, Ints]:
    """The k nearest of `vectors` (N, d) to each of `asked` (M, d, on the fine grid), compared with all of them."""
    cosine, best = np.full((len(asked), k), -np.inf), np.full((len(asked), k), len(vectors))
    for start in range(0, len(vectors), BATCH):
        block = vectors[start : start + BATCH]
        part = block.astype(np.float64).T if on_fine_grid else fine(block).T
        for at in (slice(begin, begin + COMPARED_AT_ONCE) for begin in range(0, len(asked), COMPARED_AT_ONCE)):
            product = np.concatenate([cosine[at], asked[at] @ part], axis=1)
            least = -np.partition(-product, k - 1, axis=1)[:, k - 1]
            row, column = np.nonzero(product >= least[:, None])  # k of each row, and all that tie with the last
            number = np.where(column < k, best[at][row, np.minimum(column, k - 1)], start + column - k)
            order = np.lexsort((number, -product[row, column], row))
            order = order[(np.arange(len(row)) - np.searchsorted(row, row)) < k]
            cosine[at] = product[row[order], column[order]].reshape(-1, k)
            best[at] = number[order].reshape(-1, k)
    return cosine, best


@dataclass
class _Codes:
    """An inverted file of 4-bit product codes finds candidates, which are compared exactly by `vectors` (N, d).

    Codes take a sixteenth of the vectors' memory and are read many times faster: rows without clear clusters, of which
    hundreds of cells must be probed, are searched in good time, too.
    """

    index: Any
    vectors: FloatMatrix  # where they lie, in memory or on disk
    length: FloatMatrix  # (N,)
    compared: int = 0  # rows for each that is asked for

    def search(self, asked: FloatMatrix, k: int) -> tuple[FloatMatrix, Ints]:
        """As faiss's: cosine similarities (M, k) and row numbers (M, k), best first, -1 where there are no more."""
        import faiss

        asked = unit(asked)
        _, found = self.index.search(asked, k * self.compared)
        similarity: FloatMatrix = np.full(found.shape, -np.inf, np.float32)
        products = faiss.fvec_inner_products_by_idx  # type: ignore[attr-defined]
        products(*map(faiss.swig_ptr, (similarity, asked, self.vectors, found)), asked.shape[1], *found.shape)
        similarity /= self.length[found]
        best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(similarity, best, 1), 1, kind="stable"), 1)
        return np.take_along_axis(similarity, best, 1), np.take_along_axis(found, best, 1)


def _inverted(embeddings: FloatMatrix, k: int) -> tuple[_Codes, float]:
    """As many cells are probed, and rows compared, as the recall needs, which is measured."""
    import faiss

    n, d = embeddings.shape
    cells, even = int(4 * np.sqrt(n)), d + d % 2  # a code is of two dimensions
    pad = f"Pad{even}," if even > d else ""
    index = faiss.index_factory(d, f"{pad}IVF{cells},PQ{even // 2}x4fsr", faiss.METRIC_INNER_PRODUCT)
    index.train(unit(embeddings[:: max(1, n // (40 * cells))]))
    for start in range(0, n, BATCH):
        index.add(unit(embeddings[start : start + BATCH]))
    blocks = (embeddings[start : start + BATCH] for start in range(0, n, BATCH))
    length = np.concatenate([np.linalg.norm(block, axis=1) for block in blocks]).astype(np.float32)
    codes = _Codes(index, np.ascontiguousarray(embeddings, dtype=np.float32), length)
    rows = np.linspace(0, n - 1, min(PROBED, n)).astype(np.int64)
    truth, _ = _exact(embeddings, rows, k)
    recall = 0.0
    for codes.compared, probe in product(COMPARED, (8, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024)):
        faiss.extract_index_ivf(index).nprobe = min(probe, cells)
        found, _ = _search(codes, embeddings, rows, k)
        recall = float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(found, truth, strict=True)]))
        if recall >= RECALL:
            break
    return codes, round(recall, 4)


def _search(index: Any, embeddings: FloatMatrix, rows: Ints, k: int) -> tuple[Ints, FloatMatrix]:
    similarity, matches = index.search(embeddings[rows], k + 1)
    return _without_self(similarity, matches, rows, k)


def _exact(embeddings: FloatMatrix, rows: Ints, k: int) -> tuple[Ints, FloatMatrix]:
    """Neighbors of a few rows among all, without an index."""
    return _without_self(*_by_comparison(embeddings, fine(embeddings[rows]), k + 1), rows, k)


def _without_self(similarity: Float64, matches: Ints, rows: Ints, k: int) -> tuple[Ints, FloatMatrix]:
    keep = matches != rows[:, None]
    keep[keep.all(axis=1), -1] = False  # more than k exact copies: self did not make the list
    shape = (len(rows), k)
    distance = np.clip(1 - similarity[keep], 0, 2).reshape(shape).astype(np.float32)
    return matches[keep].reshape(shape), distance


def nearest_distinct(embeddings: FloatMatrix, copy_of: Ints, k: int) -> Neighbors:
    """Like `nearest`, over one row of each set of exact copies; a copy gets the neighbors of its original.

    `copy_of` (N,): for each row the number of the first row with the same text. Copies are no independent evidence.
    """
    originals, back = np.unique(copy_of, return_inverse=True)
    if len(originals) == len(embeddings):
        return nearest(embeddings, k)
    return nearest(gathered(embeddings, originals), k).of(originals, back)


@dataclass(eq=False)
class Space:
    """Embeddings (N, d) of a run's rows and the k nearest of each, searched for once, by whoever asks first.

    Correction, long-tail score, semantic duplicates and the fusion groups' context share them. `copy_of` as in
    `nearest_distinct`.
    """

    vectors: FloatMatrix
    copy_of: Ints
    k: int

    @cached_property
    def near(self) -> Neighbors:
        """Neighbors of all rows."""
        return nearest_distinct(self.vectors, self.copy_of, self.k)

    def among(self, rows: Ints) -> Among:
        """Neighbors within the subset `rows` (M,), in its numbers; -1 for others."""
        first = np.full(len(self.vectors), -1, np.int64)
        first[self.copy_of[rows][::-1]] = np.arange(len(rows))[::-1]
        index = first[self.near.index[rows]]
        return Among(index, self.near.distance[rows], self.near.recall, first[self.copy_of[rows]])


@dataclass(frozen=True)
class Among(Neighbors):
    """Neighbors of a subset of M rows in its own numbers, -1 for rows outside. Of copies only the first is named.

    `first` (M,): the first copy of each row in the subset.
    """

    first: Ints = field(default_factory=lambda: np.zeros(0, np.int64))


def copies_of(rows: Dataset) -> Ints:
    """For each row the number of the first row with the same text, (n,)."""
    first: dict[bytes, int] = {}
    digests = (digest_of(text_of(row)) for row in each(rows, "messages"))
    return np.fromiter((first.setdefault(digest, i) for i, digest in enumerate(digests)), np.int64, len(rows))
