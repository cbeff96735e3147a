"""Word n-grams as 64-bit hashes, for near-duplicates and contamination."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


@functools.lru_cache(maxsize=1 << 17)
def _code(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def codes_of(units: Sequence[str]) -> Hashes:
    """A hash of each word or character, in order."""
    return np.fromiter(map(_code, units), np.uint64, len(units))


def joined_codes(texts: Sequence[Sequence[str]]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The hashes of all words of all texts in one array, and each text's number of words."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return np.fromiter(map(_code, chain.from_iterable(texts)), np.uint64, int(lengths.sum())), lengths


def ngrams(codes: Hashes, size: int) -> Hashes:
    """Hashes of all n-grams in order (len(codes) - size + 1); none if there are too few words."""
    count = len(codes) - size + 1
    if count < 1:
        return np.empty(0, np.uint64)
    out = np.full(count, size, np.uint64)
    for k in range(size):
        out *= np.uint64(0x9E3779B97F4A7C15)
        out += codes[k : count + k]
    out ^= out >> np.uint64(31)
    out *= np.uint64(0xBF58476D1CE4E5B9)
    return out


def sets_of(texts: Sequence[Sequence[str]], size: int) -> Iterator[Hashes]:
    """For each text the sorted hashes of its distinct n-grams; a text with fewer words is one n-gram as a whole.

    The n-grams of all texts are hashed at once, which is several times faster than text by text.
    """
    codes, lengths = joined_codes(texts)
    grams = ngrams(codes, size)
    for end, length in zip(np.cumsum(lengths).tolist(), lengths.tolist(), strict=True):
        if length >= size:
            yield np.unique(grams[end - length : end - size + 1])
        else:
            yield np.unique(ngrams(codes[end - length : end], length)) if length else np.empty(0, np.uint64)
