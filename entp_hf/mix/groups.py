"""Fusion groups: a representative, its nearest rows in the cluster, and one related row of all data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints, Vectors
from ..embedding.exact import fine
from ..schema import Row, instruction_of, is_single_turn, response_of
from ..text.language import language_of, script_of
from .requests import subject_words

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


def related_groups(
    corpus: Rows,
    vectors: Vectors,
    tasks: Sequence[str],
    order: Sequence[int],
    neighbors: int,
    bounds: Mapping[str, tuple[float, float]],
    most: int,
) -> list[Group]:
    """Groups of 2 to `neighbors` + 1 rows that one person could merge: same task, related by what they ask.

    Args:
        corpus: the rows.
        vectors: (n, d) of the rows' requests (`requests.request_vectors`).
        tasks: the kind of task of each row, "" for rows that are not to be fused (`requests.task_of`).
        order: row numbers; each in turn looks for rows to be merged with, if no earlier group has it.
        neighbors: most rows beside the first one.
        bounds: for each task the least cosine of any two rows of a group, and the cosine from which they ask the same.
        most: groups to make.

    """
    free = np.array([bool(task) for task in tasks], bool)
    alike = together(np.zeros(len(tasks), np.int64), tasks)
    groups: list[Group] = []
    for seed in order:
        if len(groups) == most:
            break
        if not free[seed]:
            continue
        least, same = bounds[tasks[seed]]
        rows = alike[0, tasks[seed]]
        rows = rows[free[rows] & (rows != seed)]
        near = vectors[rows] @ vectors[seed]
        close = rows[(near >= least) & (near < same)]
        chosen = [int(seed)]
        for row in close[np.argsort(-near[(near >= least) & (near < same)], kind="stable")].tolist():
            between = vectors[chosen] @ vectors[row]
            if between.min() >= least and between.max() < same and _same_subject(corpus, chosen, row):
                chosen.append(row)
            if len(chosen) > neighbors:
                break
        if len(chosen) > 1:
            free[chosen] = False
            groups.append(Group(corpus[chosen[0]], tuple(corpus[i] for i in chosen[1:])))
    return groups


def _same_subject(corpus: Rows, chosen: Sequence[int], row: int) -> bool:
    """Whether the row's request has a word of the subject in common with each chosen one; scripts without: True."""
    words = subject_words(instruction_of(corpus[row]))
    return not words or all(words & subject_words(instruction_of(corpus[i])) for i in chosen)


def add_context(groups: Sequence[Group], near: Iterable[Iterable[Row]]) -> list[Group]:
    """Give each group the first row of its kind that is not in it; `near`: rows for each group, nearest first."""
    out = []
    for group, rows in zip(groups, near, strict=True):
        inside = {row["id"] for row in group.rows} | {parent for row in group.rows for parent in row["parents"]}
        kind = kind_of(group.representative)
        found = next((row for row in rows if row["id"] not in inside and kind_of(row) == kind), None)
        out.append(Group(group.representative, group.neighbors, found))
    return out
