"""The rows that fusion works on: those of the pool on disk, and those that the rounds made, under one numbering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..arrays import FloatMatrix, Ints
from ..embedding.embed import Embed
from ..embedding.neighbors import Space
from ..execution.tables import column, each
from ..schema import Row
from .groups import kind_of
from .requests import request_vectors, task_of


class FusionPool:
    """The pool's n rows under 0..n-1, made rows after them. A row that a made one replaced keeps its number.

    `vectors` (n, d), `label` (n,) and the columns `id`, `messages`, `input`, `tools` of `pool` must be there.
    """

    def __init__(self, pool: Dataset, vectors: FloatMatrix, label: Ints, kinds: Sequence[str]) -> None:
        self.pool, self.vectors, self.label, self.kinds = pool, vectors, label, list(kinds)
        self.ids: list[str] = column(pool, "id")
        self.made: list[Row] = []
        self.made_vectors = vectors[:0]
        self.alive = np.ones(len(pool), bool)
        self._tasks: list[str] | None = None
        self._asks = vectors[:0]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Row:
        return self.made[number - len(self.pool)] if number >= len(self.pool) else self.pool[int(number)]

    @property
    def fresh(self) -> NDArray[np.bool_]:
        """Mask (N,): rows of the pool."""
        return np.arange(len(self)) < len(self.pool)

    @property
    def tasks(self) -> list[str]:
        """`task_of` each row; worked out when first asked for, and then for rows made since."""
        if self._tasks is None:
            self._tasks = [task_of(row) for row in each(self.pool, "messages", "input", "tools")]
        self._tasks += [task_of(self[i]) for i in range(len(self._tasks), len(self))]
        return self._tasks

    def asks(self, embed: Embed) -> FloatMatrix:
        """(N, d) vectors of the rows' requests (`requests.request_vectors`)."""
        if len(self._asks) < len(self):
            rows = [self[i] for i in range(len(self))]
            self._asks = request_vectors(rows, self.tasks, embed)
        return self._asks

    def embeddings(self) -> Stacked:
        """Embeddings by number."""
        return Stacked(self.vectors, self.made_vectors)

    def add(self, rows: Sequence[Row], vectors: FloatMatrix) -> None:
        """Take in made rows with their embeddings (m, d)."""
        self.made += rows
        self.made_vectors = np.concatenate([self.made_vectors, vectors])
        self.ids += [row["id"] for row in rows]
        self.kinds += [kind_of(row) for row in rows]
        self.label = np.concatenate([self.label, np.array([row["cluster"] for row in rows], np.int64)])
        self.alive = np.concatenate([self.alive, np.ones(len(rows), bool)])


@dataclass(frozen=True)
class Stacked:
    """Two matrices (n, d) and (m, d) as one, never put together."""

    first: FloatMatrix
    then: FloatMatrix

    def __getitem__(self, rows: Any) -> FloatMatrix:
        if np.ndim(rows) == 0:
            one: FloatMatrix = self.first[rows] if rows < len(self.first) else self.then[rows - len(self.first)]
            return one
        at = np.asarray(rows, np.int64)
        later = at >= len(self.first)
        out = np.empty((len(at), self.first.shape[1]), np.float32)
        out[~later], out[later] = self.first[at[~later]], self.then[at[later] - len(self.first)]
        return out


@dataclass(frozen=True)
class ContextSearch:
    """What may be shown beside a group: the rows of the pool and the good rows, by their places in `space`.

    `pool_at` (n,), `good_at` (g,): the rows' numbers there.
    """

    space: Space
    pool: Dataset
    good: Dataset
    pool_at: Ints
    good_at: Ints

    def near(self, numbers: Sequence[int]) -> Iterator[Iterator[Row]]:
        """For each of these rows of the pool the rows around it, nearest first."""
        pool, good = (np.full(len(self.space.vectors), -1) for _ in range(2))
        pool[self.pool_at], good[self.good_at] = np.arange(len(self.pool_at)), np.arange(len(self.good_at))
        for number in numbers:
            there = self.space.near.index[self.pool_at[number]]
            yield (
                self.pool[int(pool[i])] if pool[i] >= 0 else self.good[int(good[i])]
                for i in there
                if pool[i] >= 0 or good[i] >= 0
            )


def kinds_of(rows: Dataset) -> list[str]:
    """`kind_of` each row."""
    return [kind_of(row) for row in each(rows, "messages", "input", "tools")]
