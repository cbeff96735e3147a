"""What the gate finds in the words of a made row, each a function of the row and its parents; no model is needed.

All of it is ours: the paper (arXiv 2510.23160) asks for faithful fusions and leaves open how to tell. The bounds were
chosen on merged Alpaca rows with planted faults (`benchmarks/gate.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..schema import Row, response_of, said_by, text_of
from ..text.language import NO_SCRIPT, language_of, script_of
from ..text.words import BULLET, CODE_LINE

_LEAKS = re.compile(
    r"\b(?:row|sample|instruction) [12345]\b|\bmerged (?:instruction|row|response)\b"
    r"|\bthe (?:given|rewritten) prompt\b"
    r"|<the new (?:instruction|response)>|\bdefects seen\b",
    re.I,
)
_ENDED = re.compile(r"[.!?。！？][\"'”’)]?\s")
_SURE, _LEAST_CHARS = 0.8, 40  # confidence and length from which a language is told (ours)


def leaks_prompt(made: Row, parents: Sequence[Row] = ()) -> str:
    """What of the fusion prompt stands in the made row, or ""; what a parent says too (row 1 of a table) is none."""
    known = "\n".join(text_of(parent) for parent in parents).casefold()
    for found in _LEAKS.finditer(text_of(made)):
        if found.group(0).casefold() not in known:
            return found.group(0)
    return ""


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
    if not text[-1].isalnum() and text[-1] not in "-–—" or CODE_LINE.search(last):
        return ""
    if BULLET.match(last):
        items = [line.rstrip() for line in before if BULLET.match(line)]
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
