"""D3: near-duplicates, by MinHash of 5-grams (Broder, 1997) and banding (Indyk and Motwani, 1998).

Our own, for the memory: signatures lie on disk, and only rows that share a band with another one are compared, so
that no index and no text of all rows is held.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...execution.tables import matrix
from ...text.language import script_of
from ..ngrams import Hashes, sets_of

NUM_PERM = 128
SIZE = 5  # words or characters of a shingle
_ODD = np.random.default_rng(1).integers(1, 2**63, NUM_PERM, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
Shared = dict[int, list[tuple[int, int]]]  # row: (band, its hash)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def units_of(text: str) -> Sequence[str]:
    """What 5-grams are made of: words, or characters in scripts without spaces."""
    words = text.split()
    return words if text.isascii() or script_of(text[:400]).spaced else "".join(words)


def shingles(texts: Iterable[str]) -> Iterator[Hashes]:
    """For each text the sorted hashes (uint64) of its distinct 5-grams."""
    return sets_of([units_of(text) for text in texts], SIZE)


@functools.cache
def bands_for(near: float, miss: float = 0.002) -> tuple[int, int]:
    """(bands, rows a band) of the LSH: the most rows that let at most `miss` of pairs at `near` slip by."""
    fits = [r for r in range(1, NUM_PERM // 2 + 1) if (1 - near**r) ** (NUM_PERM // r) <= miss]
    width = max(fits, default=1)
    return NUM_PERM // width, width


def signature(grams: Hashes) -> npt.NDArray[np.uint32]:
    """MinHash signature (128,): the least of each of 128 hashes, by multiply-shift (Dietzfelbinger et al., 1997)."""
    least: npt.NDArray[np.uint32] = ((grams[:, None] * _ODD) >> np.uint64(32)).min(axis=0).astype(np.uint32)
    return least


class Bands:
    """Hashes of the bands of `rows` rows at the similarity `near`: 0.2 kB a row, on disk."""

    def __init__(self, rows: int, near: float) -> None:
        self.bands, _ = bands_for(near)
        self.keys = matrix(self.bands, rows, np.uint64)
        self.filled = np.zeros(rows, bool)

    def add(self, index: int, keys: Hashes) -> None:
        """Take a row in, by its `band_keys`."""
        self.filled[index] = True
        self.keys[:, index] = keys

    def shared(self, without: Collection[int] = ()) -> Shared:
        """The bands that rows share with other rows; those in `without` take no part."""
        some = self.filled.copy()
        some[list(without)] = False
        at = np.flatnonzero(some)
        found: Shared = defaultdict(list)
        for band in range(self.bands):
            key = self.keys[band, at]
            order = np.argsort(key, kind="stable")
            ranked = key[order]
            same = np.r_[False, ranked[1:] == ranked[:-1]]
            for place in np.flatnonzero(same | np.r_[same[1:], False]):
                found[int(at[order[place]])].append((band, int(ranked[place])))
        return found


def band_keys(grams: Hashes, near: float) -> Hashes | None:
    """The hashes (bands,) of the bands of a text's shingles; None for one without, which is never a near-duplicate."""
    if not len(grams):
        return None
    bands, width = bands_for(near)
    return _folded(signature(grams)[: bands * width].reshape(bands, width))


def _folded(parts: npt.NDArray[np.uint32]) -> Hashes:
    """One hash (bands,) of each row of `parts` (bands, width)."""
    out = np.zeros(len(parts), np.uint64)
    for column in parts.T:
        out = (out ^ column) * _MIX
        out ^= out >> np.uint64(29)
    return out


def near_pairs(
    sets: Mapping[int, Hashes], shared: Shared, order: Iterable[int], near: float
) -> dict[int, tuple[int, float]]:
    """Row -> (the row before it in `order` that stays for it, their Jaccard similarity), where it is at least `near`.

    Bands that are `shared` propose pairs, the exact similarity of their shingles (`sets`) decides.
    """
    place = {index: at for at, index in enumerate(order) if index in shared}
    holders: dict[tuple[int, int], list[int]] = defaultdict(list)
    found: dict[int, tuple[int, float]] = {}
    for index in place:
        rivals = {rival for key in shared[index] for rival in holders[key]}
        likeness = ((rival, _jaccard(sets[rival], sets[index])) for rival in sorted(rivals, key=place.__getitem__))
        keeper = next((pair for pair in likeness if pair[1] >= near), None)
        if keeper is not None:
            found[index] = keeper
            continue
        for key in shared[index]:
            holders[key].append(index)
    return found


def _jaccard(one: Hashes, other: Hashes) -> float:
    """Exact Jaccard similarity of two sorted sets."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
