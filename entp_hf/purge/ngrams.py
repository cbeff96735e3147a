"""Word n-grams as 64-bit hashes: what near-duplicates and benchmark items are found by."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


@functools.lru_cache(maxsize=1 << 16)
def _code(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def codes_of(units: Sequence[str]) -> Hashes:
    """A hash of each word or character, in order."""
    return np.fromiter((_code(unit) for unit in units), np.uint64, len(units))


def ngrams(codes: Hashes, size: int) -> Hashes:
    """Hashes of all n-grams in order (len(codes) - size + 1); none if there are too few words."""
    count = len(codes) - size + 1
    if count < 1:
        return np.empty(0, np.uint64)
    out = np.full(count, size, np.uint64)
    for k in range(size):
        out = out * np.uint64(0x9E3779B97F4A7C15) + codes[k : count + k]
    return (out ^ (out >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
