"""What the gate finds in the lists of a made row: things said twice, more of them than were asked for, and
numbers out of order (ours).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from ..schema import Row, said_by
from ..text.prompt_intent import VERSE, asked_for
from ..text.words import sentences

LEAST = 4  # members from which something said twice tells anything (ours)
_NUMBERED = re.compile(r"(?:^|(?<=\s))(\d{1,2})[.)](?=\s)")
_BULLET = re.compile(r"(?m)^[ \t]{0,3}[-*•][ \t]+(?=\S)")
_CODE = re.compile(r"(?m)[{};:>]$|^\s*(?:return|def|if|for|import)\b.*[:)]?$|^\t")
_MARK = re.compile(r"(?:^|(?<=[\s\"'\[(]))(\d{1,2})([.)])(?=\s+\S)")
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.S)


def list_items(text: str) -> list[str]:
    """Items of the longest list in a text, numbered from 1 (in lines or within a line) or by bullets; [] without."""
    text = _FENCE.sub("", text)
    runs: list[list[re.Match[str]]] = []
    for found in _NUMBERED.finditer(text):
        if int(found[1]) == 1:
            runs.append([found])
        elif runs and int(found[1]) == len(runs[-1]) + 1:
            runs[-1].append(found)
    runs.append(list(_BULLET.finditer(text)))
    best = max(runs, key=len)
    if not best:
        return []
    ends = [mark.start() for mark in best[1:]] + [len(text)]
    return [text[mark.end() : end].split("\n\n")[0].strip() for mark, end in zip(best, ends, strict=True)]


def said_again(text: str) -> float:
    """Share of a text's list items, sentences, or parts between commas that one before says already; the largest."""
    text = _FENCE.sub("", text)
    if len(_CODE.findall(text)) >= 2:
        return 0.0
    every = [list_items(text), sentences(text)]
    every += [
        re.split(r",(?: and| or)?\s+", part) for part in sentences(text) if not re.search(r"[\d=(){}\[\]]", part)
    ]
    shares = [0.0]
    for parts in every:
        told = [" ".join(re.findall(r"\w+", part.casefold())) for part in parts]
        told = [part for part in told if re.search(r"[^\W\d_]{3}|[\u2e80-\U0003ffff]", part)]
        if len(told) >= LEAST:
            shares.append(1 - len(set(told)) / len(told))
    return max(shares)


def repeats(made: Row, parents: Sequence[Row]) -> float:
    """`said_again` of the made answer; 0 for verse, and where a parent's answer (a table) repeats itself as much."""
    if VERSE.search(said_by(made, "user").lower()):
        return 0.0
    share = said_again(said_by(made, "assistant"))
    return share if share > max((said_again(said_by(parent, "assistant")) for parent in parents), default=0.0) else 0.0


def surplus(made: Row) -> float:
    """Items of the made answer's list for each that its question asks for; 0 where either is not told."""
    question, given = said_by(made, "user"), len(list_items(said_by(made, "assistant")))
    wanted = 0 if "at least" in question.lower() else sum(asked_for(question))
    return given / wanted if wanted else 0.0


def disordered(made: Row, parents: Sequence[Row]) -> str:
    """The list number of the made answer that does not follow the one before it, nor begins a list; "" if none does.

    A list has three marks of a kind at least, two of them in order. Parents with such numbers excuse it.
    """
    wrong = _out_of_order(said_by(made, "assistant"))
    return "" if any(_out_of_order(said_by(parent, "assistant")) for parent in parents) else wrong


def _out_of_order(text: str) -> str:
    text = _FENCE.sub("", text)
    marks: dict[str, list[int]] = {".": [], ")": []}
    for mark in _MARK.finditer(text):
        before = text[: mark.start()].rstrip(" \t\"'[(")
        if not before or before[-1] in ".!?;:,\n":  # a number that ends a sentence is no mark
            marks[mark[2]].append(int(mark[1]))
    for kind, numbers in marks.items():
        pairs = list(pairwise([0, *numbers]))
        wrong = [f"{b}{kind} after {a}{kind}" if a else f"{b}{kind} first" for a, b in pairs if b not in (1, a + 1)]
        if len(numbers) >= 3 and wrong and any(b == a + 1 for a, b in pairs[1:]):
            return wrong[0]
    return ""
