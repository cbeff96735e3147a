"""D3: near-duplicates, by MinHash of 5-grams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .ngrams import Hashes, sets_of
from .scripts import script_of

NUM_PERM = 128
SIZE = 5  # words or characters of a shingle
BLOCK = 1024  # rows whose signatures are made at once
_LOW = np.uint64(0xFFFFFFFF)  # datasketch hashes to 32 bits


def units_of(text: str) -> Sequence[str]:
    """What 5-grams are made of: words, or characters in scripts without spaces."""
    words = text.split()
    return words if text.isascii() or script_of(text[:400]).spaced else "".join(words)


def shingles(text: str) -> Hashes:
    """Sorted hashes (uint64) of a text's distinct 5-grams."""
    return next(sets_of([units_of(text)], SIZE))


def bands_for(near: float, miss: float = 0.002) -> tuple[int, int]:
    """(bands, rows a band) of the LSH: the most rows that let at most `miss` of pairs at `near` slip by."""
    fits = [r for r in range(1, NUM_PERM // 2 + 1) if (1 - near**r) ** (NUM_PERM // r) <= miss]
    width = max(fits, default=1)
    return NUM_PERM // width, width


def near_pairs(texts: Mapping[int, str], order: Sequence[int], near: float) -> dict[int, tuple[int, float]]:
    """Row -> (the row before it in `order` that stays for it, their Jaccard similarity), where it is at least `near`.

    MinHash and LSH (datasketch) propose pairs, the exact similarity of their shingles decides.
    """
    from datasketch import MinHash, MinHashLSH

    sets = _candidates(texts, order, near)
    order = list(sets)
    place = {index: at for at, index in enumerate(order)}
    lsh = MinHashLSH(num_perm=NUM_PERM, params=bands_for(near))
    found: dict[int, tuple[int, float]] = {}
    for begin in range(0, len(order), BLOCK):
        block = order[begin : begin + BLOCK]
        hashes = [(sets[index] & _LOW).tolist() for index in block]
        signatures = MinHash.bulk(hashes, num_perm=NUM_PERM, seed=1, hashfunc=int)
        for index, signature in zip(block, signatures, strict=True):
            rivals = sorted(lsh.query(signature), key=place.__getitem__)
            likeness = ((rival, _jaccard(sets[rival], sets[index])) for rival in rivals)
            keeper = next((pair for pair in likeness if pair[1] >= near), None)
            if keeper is not None:
                found[index] = keeper
            else:
                lsh.insert(index, signature)
    return found


def _candidates(texts: Mapping[int, str], order: Sequence[int], near: float) -> dict[int, Hashes]:
    """The shingles of the rows that can have a near-duplicate, in their order.

    Two sets have at most the similarity that their overlap is of one of them: a row of which a smaller share than
    `near` is in any other row is like none. That spares most rows the MinHash, and loses no pair.
    """
    sets: list[Hashes] = []
    for begin in range(0, len(order), BLOCK):
        sets += sets_of([units_of(texts[index]) for index in order[begin : begin + BLOCK]], SIZE)
    sizes = np.fromiter(map(len, sets), np.int64, len(sets))
    if not sizes.sum():
        return {}
    _, which, times = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    seen = np.concatenate([[0], np.cumsum(times[which] > 1)])
    ends = np.cumsum(sizes)
    shared = seen[ends] - seen[ends - sizes]
    chosen = np.flatnonzero((sizes > 0) & (shared >= near * sizes - 1e-6))
    return {order[at]: sets[at] for at in chosen.tolist()}


def _jaccard(one: Hashes, other: Hashes) -> float:
    """Exact Jaccard similarity of two sorted sets."""
    if not len(one) or not len(other):
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
