"""D3: near-duplicates, by MinHash of 5-grams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .ngrams import Hashes, codes_of, ngrams
from .scripts import script_of

NUM_PERM = 128
BLOCK = 1024  # rows whose signatures are made at once
_LOW = np.uint64(0xFFFFFFFF)  # datasketch hashes to 32 bits


def shingles(text: str) -> Hashes:
    """Sorted hashes (uint64) of a text's distinct 5-grams: words, or characters in scripts without spaces."""
    units: Sequence[str] = text.split()
    if not text.isascii() and not script_of(text[:400]).spaced:
        units = "".join(units)
    if not units:
        return np.empty(0, np.uint64)
    return np.unique(ngrams(codes_of(units), min(5, len(units))))


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

    lsh = MinHashLSH(num_perm=NUM_PERM, params=bands_for(near))
    sets: dict[int, Hashes] = {}
    place = {index: at for at, index in enumerate(order)}
    found: dict[int, tuple[int, float]] = {}
    for begin in range(0, len(order), BLOCK):
        block = [(index, grams) for index in order[begin : begin + BLOCK] if len(grams := shingles(texts[index]))]
        hashes = [(grams & _LOW).tolist() for _, grams in block]
        signatures = MinHash.bulk(hashes, num_perm=NUM_PERM, seed=1, hashfunc=int)
        for (index, grams), signature in zip(block, signatures, strict=True):
            likeness = (
                (rival, _jaccard(sets[rival], grams)) for rival in sorted(lsh.query(signature), key=place.__getitem__)
            )
            keeper = next((pair for pair in likeness if pair[1] >= near), None)
            if keeper is not None:
                found[index] = keeper
                continue
            lsh.insert(index, signature)
            sets[index] = grams
    return found


def _jaccard(one: Hashes, other: Hashes) -> float:
    """Exact Jaccard similarity of two sorted sets."""
    if not len(one) or not len(other):
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
