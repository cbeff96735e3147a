"""Overlap of two texts: share of words covered, copied share, longest common block."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ..schema import Row, said_by, text_of
from .words import content_words

_BASE = 0xD1342543DE82EF95
_INVERSE = pow(_BASE, -1, 2**64)


def coverage(parent: Row, made: Row) -> float:
    """Share of the parent's content words, names and numbers that the made row has; 1 for a parent without any."""
    wanted = content_words(text_of(parent))
    return len(wanted & content_words(text_of(made))) / len(wanted) if wanted else 1.0


def copied(parent: Row, made: Row) -> float:
    """Share of the made row's answers that is one block of the parent's answers."""
    ours, theirs = said_by(made, "assistant"), said_by(parent, "assistant")
    if not ours or not theirs:
        return 0.0
    return longest_block(ours, theirs) / len(ours)


def longest_block(one: str, other: str) -> int:
    """Characters of the longest text that both hold, by rolling hashes and bisection: some ten times faster than
    difflib on answers of usual length.
    """
    first, second = _Rolling(one), _Rolling(other)
    least, most = 0, min(len(one), len(other))
    while least < most:
        size = (least + most + 1) // 2
        least, most = (size, most) if np.isin(first.windows(size), second.windows(size)).any() else (least, size - 1)
    return least


class _Rolling:
    """Polynomial hashes, modulo 2^64, of all windows of a text."""

    def __init__(self, text: str) -> None:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)
        mixed = codes * np.uint64(0x9E3779B97F4A7C15)  # far apart, so that sums of near codes don't meet
        terms = (mixed ^ (mixed >> np.uint64(29))) * _powers(_BASE, len(codes))
        self.sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])

    def windows(self, size: int) -> NDArray[np.uint64]:
        """Hashes of the windows of `size` characters, in order."""
        count = len(self.sums) - size
        # A window's powers begin at its own place; brought down to 0, equal windows have equal sums.
        lowered: NDArray[np.uint64] = (self.sums[size:] - self.sums[:count]) * _powers(_INVERSE, count)
        return lowered


@functools.lru_cache(maxsize=8)
def _table(base: int, size: int) -> NDArray[np.uint64]:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """The first powers of `base`, modulo 2^64."""
    return _table(base, max(1 << 13, 1 << count.bit_length()))[:count]
