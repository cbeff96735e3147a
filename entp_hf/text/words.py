"""Split a text into words and sentences; normalize and hash it."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Vowel signs of Indic and South-East Asian scripts are no letters for `re`, and would break every word.
_WORD = re.compile(
    "(?:[^\\W_]|[\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711-\u074a\u07a6-\u07b0"
    "\u07eb-\u07f3\u0900-\u0963\u0966-\u0dff\u0e31-\u0ecd\u0f18-\u0f39\u0f71-\u0fbc\u1000-\u109f\u135d-\u135f\u1780-\u17ff"
    "\u180b-\u180f\u1a55-\u1a7f\u1b00-\u1b44\u1b80-\u1bad\u1c24-\u1c37\ua980-\ua9c0\uaa29-\uaa36\uaa7b-\uaa7d\uabe3-\uabed])+"
)
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\ua4cf\ua980-\ua9ff\uaa60-\uaa7f"
    "\uac00-\U0003ffff]"
)
STOP = frozenset(
    "a an and are as at be but by can do does for from had has have how i if in into is it its me my no not of on or "
    "our should so some such than that the their them then there these they this to was we were what when where which "
    "who why will with would you your please write give explain describe list".split()
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
BULLET = re.compile(r"\s*(?:[-*+•·–—]|\d{1,3}[.)、:]|[A-Za-z][.)]|#|\||Step \d)\s*")
CODE_LINE = re.compile(r"[{}=<>]|\breturn\b|://\S*$|#\w+$")


def content_words(text: str) -> set[str]:
    """Words that carry content: lower case, no stop words; pairs of characters for scripts without spaces."""
    words: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if not word.isascii() and len(word) > 1 and _UNSPACED.search(word):
            words.update(word[i : i + 2] for i in range(len(word) - 1))
        elif word not in STOP and (len(word) > 2 or word.isdigit()):
            words.add(word[:-1] if len(word) > 4 and word.endswith("s") else word)
    return words


def sentences(text: str) -> list[str]:
    """Sentences and lines, without list marks; never empty."""
    found = [part[mark.end() if (mark := BULLET.match(part)) else 0 :].strip() for part in _SENTENCE.split(text)]
    return [part for part in found if len(part) > 1] or [text.strip() or "-"]


def normalised(text: str) -> str:
    """What exact duplicates are equal in: NFC, case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def digest_of(text: str) -> bytes:
    """What texts are told apart by, 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
