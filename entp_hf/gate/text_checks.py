"""What the gate finds in the words of a made row, each a function of the row and its parents; no model is needed.

All of it is ours: the paper (arXiv 2510.23160) asks for faithful fusions and leaves open how to tell. The bounds were
chosen on merged Alpaca rows with planted faults (`benchmarks/gate.py`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..schema import Row, response_of, said_by, text_of
from ..text.language import NO_SCRIPT, language_of, script_of

_LEAKS = re.compile(
    r"\b(?:row|sample|instruction) [12345]\b|\bmerged (?:instruction|row|response)\b"
    r"|\bthe (?:given|rewritten) prompt\b"
    r"|<the new (?:instruction|response)>|\bdefects seen\b", re.I,
)  # fmt: skip
# Vowel signs of Indic and South-East Asian scripts are no letters for `re`, and would break every word.
_WORD = re.compile(
    "(?:[^\\W_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31-\u0ecd\u1000-\u109f\u1780-\u17ff])+"
)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\U0003ffff]")
STOP = frozenset(
    "a an and are as at be but by can do does for from had has have how i if in into is it its me my no not of on or "
    "our should so some such than that the their them then there these they this to was we were what when where which "
    "who why will with would you your please write give explain describe list".split()
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
_BULLET = re.compile(r"\s*(?:[-*+•·–—]|\d{1,3}[.)、:]|[A-Za-z][.)]|#|\||Step \d)\s*")
_CODE_LINE = re.compile(r"[{}=<>]|\breturn\b|://\S*$|#\w+$")
_ENDED = re.compile(r"[.!?。！？][\"'”’)]?\s")
_SURE, _LEAST_CHARS = 0.8, 40  # confidence and length from which a language is told (ours)


def content_words(text: str) -> set[str]:
    """Words that carry content: lower case, no stop words; pairs of characters for scripts without spaces."""
    words: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if not word.isascii() and len(word) > 1 and _UNSPACED.search(word):
            words.update(word[i : i + 2] for i in range(len(word) - 1))
        elif word not in STOP and (len(word) > 2 or word.isdigit()):
            words.add(word[:-1] if len(word) > 4 and word.endswith("s") else word)
    return words


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


_BASE = 0xD1342543DE82EF95
_INVERSE = pow(_BASE, -1, 2**64)


@functools.lru_cache(maxsize=8)
def _table(base: int, size: int) -> NDArray[np.uint64]:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """The first powers of `base`, modulo 2^64."""
    return _table(base, max(1 << 13, 1 << count.bit_length()))[:count]


def leaks_prompt(made: Row, parents: Sequence[Row] = ()) -> str:
    """What of the fusion prompt stands in the made row, or ""; what a parent says too (row 1 of a table) is none."""
    known = "\n".join(text_of(parent) for parent in parents).casefold()
    for found in _LEAKS.finditer(text_of(made)):
        if found.group(0).casefold() not in known:
            return found.group(0)
    return ""


def sentences(text: str) -> list[str]:
    """Sentences and lines, without list marks; never empty."""
    found = [part[mark.end() if (mark := _BULLET.match(part)) else 0 :].strip() for part in _SENTENCE.split(text)]
    return [part for part in found if len(part) > 1] or [text.strip() or "-"]


def language_changed(made: Row, parents: Sequence[Row]) -> str:
    """The language of the made answer where it is surely none that its parents are written in; else ""."""
    text = said_by(made, "assistant")
    script = script_of(text)
    told = [part for parent in parents for part in (said_by(parent, "assistant"), text_of(parent)) if part]
    scripts = [script_of(part) for part in told]
    language, sure = language_of(text, script)
    if script is NO_SCRIPT or not told:
        return ""
    if not any(other.name == script.name for other in scripts):
        return language or script.name
    if len(text) < _LEAST_CHARS:
        return ""
    known = [language_of(part, other) for part, other in zip(told, scripts, strict=True)]
    differs = sure >= _SURE and all(other != language and least >= _SURE for other, least in known)
    return language if differs else ""


def unfinished(made: Row, parents: Sequence[Row]) -> str:
    """Where the made answer breaks off, in its last words; "" if it does not seem to.

    That is in an open bracket, in half of a word that is known whole, after a comma, or without an end mark where the
    sentences or list items before it have one. Stricter than the purge's rule `truncated`, which must let old data be.
    """
    text = response_of(made).rstrip()
    if not text:
        return "an empty answer"
    *before, last = text.split("\n")
    opened = _opened(text) and not any(_opened(response_of(parent)) for parent in parents)
    if opened or text[-1] in ",，、" or _half_word(text, made, parents):
        return last[-30:]
    if not text[-1].isalnum() and text[-1] not in "-–—" or _CODE_LINE.search(last):
        return ""
    if _BULLET.match(last):
        items = [line.rstrip() for line in before if _BULLET.match(line)]
        return last[-30:] if len(items) >= 2 and all(item[-1] in ".!?。！？" for item in items) else ""
    return last[-30:] if _ENDED.search(text) else ""


def _opened(text: str) -> bool:
    return any(text.count(left) > text.count(right) for left, right in ("()", "[]", "{}"))


def _half_word(text: str, made: Row, parents: Sequence[Row]) -> bool:
    end = re.search(r"[^\W\d_]+\Z", text)
    if end is None or not text.isascii():
        return False
    known = {w.casefold() for row in (*parents, made) for w in re.findall(r"[^\W\d_]+", text_of(row)[: -len(end[0])])}
    known |= {w.casefold() for parent in parents for w in re.findall(r"[^\W\d_]+", text_of(parent))}
    half = end[0].casefold()
    return half not in known and any(len(word) > len(half) and word.startswith(half) for word in known)
