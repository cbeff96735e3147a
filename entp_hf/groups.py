"""Fusion groups: a representative, its nearest rows in the cluster, and one related row of all data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .neighbours import Floats, Ints
from .purge.scripts import language_of, script_of
from .schema import Row, instruction_of, is_single_turn, response_of

# A row with one of these, not repaired, lends its facts to an LLM, but is fit neither to be quoted nor to be kept.
BROKEN = {"truncated", "cut_code", "refusal", "ends_with_colon", "missing_reference", "too_short", "language_mismatch",
          "replacement_chars", "role_confusion", "placeholder", "symbol_ratio", "echo", "repetition",
          "identity_leak", "mixed_script", "think_tags"}  # fmt: skip
BLOCK = 2048  # rows compared at once: bounds memory


@dataclass(frozen=True)
class Group:
    """Rows to be fused. `context` is a related row that is shown but not used up."""

    representative: Row
    neighbours: tuple[Row, ...]
    context: Row | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that a fused row replaces, representative first."""
        return (self.representative, *self.neighbours)

    @property
    def multi_turn(self) -> bool:
        """True if the rows are conversations of several turns."""
        return not is_single_turn(self.representative)


def defects(row: Row) -> set[str]:
    """Rules of `BROKEN` that found something in the row which repair could not mend."""
    return BROKEN & {finding["rule"] for finding in row["findings"] if finding["action"] != "repair"}


def kind_of(row: Row) -> str:
    """Rows of one kind may be fused: same language, and all of one turn or all of several. "" for tool use: never."""
    if row.get("tools") or any(m["role"] == "tool" for m in row["messages"]):
        return ""
    text = f"{instruction_of(row)}\n{response_of(row)}"
    language, sure = language_of(text, script_of(text))
    shape = "one" if is_single_turn(row) else "several"
    return f"{shape}-{language if sure >= 0.5 else script_of(text).name}"


def has_neighbour(embeddings: Floats, label: Ints, kinds: Sequence[str], least: float) -> NDArray[np.bool_]:
    """Mask (n,): rows with another row of their cluster and kind at a cosine similarity of `least` or more."""
    found = np.zeros(len(label), bool)
    together: dict[tuple[int, str], list[int]] = {}
    for i, kind in enumerate(kinds):
        if kind:
            together.setdefault((int(label[i]), kind), []).append(i)
    for rows in together.values():
        points = embeddings[rows]
        for start in range(0, len(rows), BLOCK):
            near = points[start : start + BLOCK] @ points.T
            near[np.arange(len(near)), np.arange(start, start + len(near))] = -1
            found[rows[start : start + BLOCK]] = near.max(axis=1) >= least
    return found


def build_groups(
    corpus: Sequence[Row],
    embeddings: Floats,
    label: Ints,
    kinds: Sequence[str],
    seeds: Sequence[int],
    neighbours: int,
    least: float,
) -> list[Group]:
    """One group for each representative in `seeds` (row numbers of `corpus`), in order.

    Its `neighbours` are the nearest rows of its cluster (`label` (n,)) and kind that are neither representatives nor
    in an earlier group: every row is used up once at most. Rows less similar than `least` to the representative stay
    out; a representative without neighbours is a group of one.
    """
    kind = np.array(kinds)
    free = kind != ""
    free[list(seeds)] = False
    groups = []
    for seed in seeds:
        candidates = np.flatnonzero(free & (label == label[seed]) & (kind == kind[seed]))
        near = embeddings[candidates] @ embeddings[seed]
        order = candidates[np.argsort(-near, kind="stable")][: min(neighbours, int((near >= least).sum()))]
        free[order] = False
        groups.append(Group(corpus[seed], tuple(corpus[int(i)] for i in order)))
    return groups


def add_context(groups: Sequence[Group], seeds: Floats, rows: Sequence[Row], embeddings: Floats) -> list[Group]:
    """Give each group the row of `rows` (all data, good rows included) that is nearest and not in it.

    `seeds` (g, d) are the representatives' embeddings, `embeddings` (n, d) those of `rows`.
    """
    if not len(rows):
        return list(groups)
    out = []
    for group, vector in zip(groups, seeds, strict=True):
        inside = {row["id"] for row in group.rows} | {parent for row in group.rows for parent in row["parents"]}
        kind = kind_of(group.representative)
        nearest = np.argsort(-(embeddings @ vector), kind="stable")[: len(inside) + 20]
        found = next(
            (rows[int(i)] for i in nearest if rows[int(i)]["id"] not in inside and kind_of(rows[int(i)]) == kind), None
        )
        out.append(Group(group.representative, group.neighbours, found))
    return out
