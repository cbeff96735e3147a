"""Fusion groups: a representative, its nearest rows in the cluster, and one related row of all data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints, Vectors
from ..embedding.exact import fine
from ..schema import Row, instruction_of, is_single_turn, response_of
from ..text.language import language_of, script_of

BLOCK = 1024  # rows compared at once: bounds memory


class Rows(Protocol):
    """Rows by number: a list, or what reads them from disk when asked."""

    def __getitem__(self, number: int, /) -> Row: ...  # noqa: D105


@dataclass(frozen=True)
class Group:
    """Rows to be fused. `context` is a related row that is shown but not used up."""

    representative: Row
    neighbors: tuple[Row, ...]
    context: Row | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that a fused row replaces, representative first."""
        return (self.representative, *self.neighbors)

    @property
    def multi_turn(self) -> bool:
        """True if the rows are conversations of several turns."""
        return not is_single_turn(self.representative)


def kind_of(row: Row) -> str:
    """Rows of one kind may be fused: same language, and all of one turn or all of several. "" for tool use: never."""
    if row.get("tools") or any(m["role"] == "tool" or m.get("tool_calls") for m in row["messages"]):
        return ""
    text = f"{instruction_of(row)}\n{response_of(row)}"
    language, sure = language_of(text, script_of(text))
    shape = "one" if is_single_turn(row) else "several"
    return f"{shape}-{language if sure >= 0.5 else script_of(text).name}"


def together(label: Ints, kinds: Sequence[str]) -> dict[tuple[int, str], Ints]:
    """Rows that may be fused with one another: (cluster, kind) -> row numbers. Rows of no kind are left out."""
    found: dict[tuple[int, str], list[int]] = {}
    for i, kind in enumerate(kinds):
        if kind:
            found.setdefault((int(label[i]), kind), []).append(i)
    return {key: np.array(rows) for key, rows in found.items()}


def has_neighbor(embeddings: Vectors, label: Ints, kinds: Sequence[str], least: float) -> NDArray[np.bool_]:
    """Mask (n,): rows with another row of their cluster and kind at a cosine similarity of `least` or more."""
    found = np.zeros(len(label), bool)
    for rows in together(label, kinds).values():
        points = fine(embeddings[rows])
        for start in range(0, len(rows), BLOCK):
            near = points[start : start + BLOCK] @ points.T
            near[np.arange(len(near)), np.arange(start, start + len(near))] = -1
            found[rows[start : start + BLOCK]] = near.max(axis=1) >= least
    return found


def build_groups(
    corpus: Rows,
    embeddings: Vectors,
    label: Ints,
    kinds: Sequence[str],
    seeds: Sequence[int],
    neighbors: int,
    least: float,
) -> list[Group]:
    """One group for each representative in `seeds` (row numbers of `corpus`), in order.

    Its `neighbors` are the nearest rows of its cluster (`label` (n,)) and kind that are neither representatives nor
    in an earlier group: every row is used up once at most. Rows less similar than `least` to the representative stay
    out; a representative without neighbors is a group of one.
    """
    free = np.ones(len(label), bool)
    free[list(seeds)] = False
    alike = together(label, kinds)
    groups = []
    for seed in seeds:
        candidates = alike.get((int(label[seed]), kinds[seed]), np.zeros(0, np.int64))
        candidates = candidates[free[candidates]]
        near = fine(embeddings[candidates]) @ fine(embeddings[seed])
        order = candidates[np.argsort(-near, kind="stable")][: min(neighbors, int((near >= least).sum()))]
        free[order] = False
        groups.append(Group(corpus[seed], tuple(corpus[int(i)] for i in order)))
    return groups


def add_context(groups: Sequence[Group], near: Iterable[Iterable[Row]]) -> list[Group]:
    """Give each group the first row of its kind that is not in it; `near`: rows for each group, nearest first."""
    out = []
    for group, rows in zip(groups, near, strict=True):
        inside = {row["id"] for row in group.rows} | {parent for row in group.rows for parent in row["parents"]}
        kind = kind_of(group.representative)
        found = next((row for row in rows if row["id"] not in inside and kind_of(row) == kind), None)
        out.append(Group(group.representative, group.neighbors, found))
    return out
