"""F5: numbered lists that do not add up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from ..text.prompt_intent import asked_for
from .masks import FILLER
from .row import Fields, Hit, Part, shown

_ITEM = re.compile(
    r"(?m)^(?P<indent>[ \t]{0,3})(?:\*\*)?(?P<number>\d{1,3})[.)、](?:\*\*)?(?=[ \t]|$|[^\d\s])[ \t]*(?P<text>.*)$"
)


def list_numbering(row: Fields, threshold: float) -> Iterator[Hit]:
    """Numbered lists that jump, repeat a number, or hold fewer items than announced; an empty last item is cut."""
    for part in row.answers:
        if not any(mark in part.text for mark in (". ", ") ", ".\n", "、", ")\n")) and part.text[-1:] != ".":
            continue
        items = _outer(list(_ITEM.finditer(part.prose)))
        if len(items) < 2:
            continue
        last = items[-1]
        if (
            not last["text"].strip()
            and last.end() >= len(part.text.rstrip())
            and items[-2]["text"].strip()
            and FILLER not in last.group()
        ):
            yield Hit(part, last.start(), last.end(), shown(last.group()), text=part.text[: last.start()].rstrip())
            continue
        question = row.question_before(part)
        if _CLUES.search(question) or _answers_a_list(question, items):
            continue
        problem = _misnumbered([int(m["number"]) for m in items]) or _miscounted(row, part, items)
        if problem:
            yield Hit(part, items[0].start(), last.end(), problem)


_CLUES = re.compile(r"\bcrossword|\bpuzzle|\bcode\b|\bbingo|\brank")


def _outer(items: list[re.Match[str]]) -> list[re.Match[str]]:
    """The items that are in no other item's list."""
    least = min((len(m["indent"]) for m in items), default=0)
    return [m for m in items if len(m["indent"]) <= least + 1]


def _answers_a_list(question: str, items: list[re.Match[str]]) -> bool:
    """Whether the numbers are those of questions: such an answer may leave one out, and holds lists of its own."""
    asked = {m["number"] for m in _outer(list(_ITEM.finditer(question)))}
    return len(asked) > 1 and {m["number"] for m in items} <= asked


def _misnumbered(numbers: list[int]) -> str:
    """What is wrong with one run of numbers; lists that start anew at 1 and lists all of one number are fine."""
    if len(numbers) < 3 or len(set(numbers)) == 1 or max(numbers) > 60:
        return ""
    for a, b in pairwise(numbers):
        if b == a or (b > a + 1) or (1 < b < a):
            if numbers.count(1) == 1 and numbers[0] == 1:
                return f"{b} follows {a}"
            return ""
    return ""


def _miscounted(row: Fields, part: Part, items: list[re.Match[str]]) -> str:
    numbers = [int(m["number"]) for m in items]
    if numbers != list(range(1, len(numbers) + 1)):
        return ""
    for text in (part.lower[: max(items[0].start(), 0)][-160:], row.question_before(part)):
        asked = asked_for(text)
        if asked:
            want = asked[0]
            return f"{want} announced, {len(items)} given" if 2 <= len(items) < want <= 30 else ""
    return ""
