"""D4: semantic duplicates, by cosine similarity of embeddings (SemDeDup, arXiv 2303.09540, without its clusters)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...embedding.exact import COARSE, STEPS, fine, on_grid
from ...embedding.neighbors import Among

Array = npt.NDArray[Any]
BLOCK = 1024  # rows of embeddings compared at once
ROUNDING = 1e-5  # of a distance in single precision: such pairs are looked at again


def semantic_pairs(
    order: Sequence[int], embeddings: Array, least: float, near: Among | None = None
) -> dict[int, tuple[int, float]]:
    """Row -> (the row before it in `order` that stays for it, their cosine), where it is at least `least`.

    `near`: neighbors of the rows of `embeddings`; rows with more neighbors that near than it holds are compared with
    one another. Without it, every row is compared with all that stay.
    """
    if not len(order):
        return {}
    if near is None:
        return _all_pairs(order, embeddings, least)
    heads: dict[int, int] = {}  # first copy in the data: first one in `order`, which stands for all
    for index in order:
        heads.setdefault(int(near.first[index]), index)
    chosen = list(heads.values())
    place = {index: at for at, index in enumerate(chosen)}
    rivals = _rivals(place, heads, near, least)
    last = near.distance[:, -1:]  # (N, 0) where all rows are copies of one
    crowded = {index for index in chosen if (last[index] <= 1 - least + ROUNDING).any()}
    found: dict[int, tuple[int, float]] = {}
    standing: list[int] = []  # crowded rows that stay
    for index in chosen:
        mine = [rival for rival in rivals.get(index, ()) if rival not in found]
        mine += [other for other in standing if index in crowded]
        if mine:
            cosine = fine(embeddings[mine]) @ fine(embeddings[index])
            best = max(range(len(mine)), key=lambda i: (cosine[i], -place[mine[i]]))
            if cosine[best] >= least:
                found[index] = mine[best], float(cosine[best])
                continue
        if index in crowded:
            standing.append(index)
    for index in order:
        head = heads[int(near.first[index])]
        if index != head:
            found[index] = found.get(head, (head, 1.0))
    return found


def _rivals(place: Mapping[int, int], heads: Mapping[int, int], near: Among, least: float) -> dict[int, set[int]]:
    """For each row that others stand before: those that may be as near as `least`, by either one's neighbors."""
    rows = np.fromiter(place, np.int64, len(place))
    at, slot = np.nonzero(near.distance[rows] <= 1 - least + ROUNDING)
    rivals: dict[int, set[int]] = defaultdict(set)
    for one, first in zip(rows[at].tolist(), near.index[rows[at], slot].tolist(), strict=True):
        other = heads.get(first, -1)
        if other >= 0:
            early, late = (one, other) if place[one] < place[other] else (other, one)
            rivals[late].add(early)
    return rivals


def _all_pairs(order: Sequence[int], embeddings: Array, least: float) -> dict[int, tuple[int, float]]:
    """Greedy, best rows first: a row goes if a row that stays is at least as near.

    Blocks of exact searches on the coarse grid (`embedding.exact`) propose pairs, the fine grid decides.
    """
    import faiss

    places = np.asarray(order)
    index = faiss.IndexFlatIP(embeddings.shape[1])
    stay = np.zeros(0, np.int64)
    found: dict[int, tuple[int, float]] = {}
    bound = (least - COARSE) * STEPS**2
    for begin in range(0, len(places), BLOCK):
        block = embeddings[places[begin : begin + BLOCK]]
        grid, near = on_grid(block), fine(block)
        limits, _, matches = index.range_search(grid, bound)
        inside = grid @ grid.T >= bound
        kept = np.ones(len(block), bool)
        for row in range(len(block)):
            for rivals, vectors in (
                (stay[np.sort(matches[limits[row] : limits[row + 1]])], None),
                (begin + np.flatnonzero(inside[row, :row] & kept[:row]), near),
            ):
                if kept[row] and len(rivals):
                    other = fine(embeddings[places[rivals]]) if vectors is None else vectors[rivals - begin]
                    cosine = other @ near[row]
                    best = int(cosine.argmax())
                    if cosine[best] >= least:
                        kept[row] = False
                        found[order[begin + row]] = order[int(rivals[best])], float(cosine[best])
        stay = np.r_[stay, begin + np.flatnonzero(kept)]
        index.add(grid[kept])
    return found
