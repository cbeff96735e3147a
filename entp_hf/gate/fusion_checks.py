"""Checks of a made row for the faults that real fusions have, by words alone: no model is needed.

Not in the paper (arXiv 2510.23160). The kinds of fault and the bounds come from fusions that were read and labelled
(`benchmarks/fusion.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..schema import Row, response_of, said_by
from ..text.prompt_intent import VERSE, asked_for
from ..text.words import content_words, normalised, sentences
from .list_checks import list_items

_TEXT = (
    r"(?:text|passage|article|paragraph|sentences?|story|poem|e-?mail|letter|document|excerpt|essay|code|snippet|list"
    r"|table|data(?:set)?|numbers?|words?|phrases?|items|input|conversation|dialogue|review|image|picture|photo|chart"
    r"|graph|diagram|link|file|statement|quote|context)"
)
_POINTS = re.compile(
    rf"\b(?:the|this|these|that) (?:following|given|provided|above|below|attached|supplied|mentioned) {_TEXT}\b"
    rf"|\b(?:following|given|provided|above) {_TEXT}\b|\b(?:this|these) {_TEXT}\b|\b{_TEXT} (?:above|below|provided)\b"
    r"|(?:以下|下面|下列|给定|上述|这段|这篇|这个|该)的?(?:文本|文章|段落|句子|故事|列表|单词|词语|数字|数据|代码|诗|邮件)"
)
_HELD = re.compile(r"[:：]\s*\S|[\"“「『'‘(\[].{2,}|\n\s*\S", re.S)
_DESCRIBES = re.compile(
    r"\A\W*(?:to (?:write|create|draft|compose|make|complete|answer|rewrite|generate|solve|summari[sz]e|translate)\b"
    r"[^.]{0,120}\b(?:you|one) (?:should|can|could|need|must|may|will)\b"
    r"|(?:the|this|your) (?:response|answer|story|poem|e-?mail|letter|essay|paragraph|request|instruction)s? "
    r"(?:should|must|could|would|will|needs?)\b"
    r"|(?:sure|certainly|of course|okay)\b|here (?:is|are) (?:how|the steps to|some tips)"
    r"|(?:i|we) (?:will|would|can) )",
    re.I,
)
_NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*\d|\d|\b(?:two|three|four|five|six|seven|eight|nine|ten)\b", re.I)
_DIGITS = {w: str(n) for n, w in enumerate("zero one two three four five six seven eight nine ten".split())}
_ASK = (
    r"(?:what|which|who|when|where|why|how|explain|describe|define|discuss|list|name|give|provide|suggest|state|tell"
    r"|identify|compare|contrast|outline|summari[sz]e|create|write|generate|make|come up|recommend|mention|show|find"
    r"|calculate|classify|translate|is|are|does|do|can|should)"
)
_CLAUSE = re.compile(
    rf"(?<=[.?!;])\s+|,?\s+(?:and|then|as well as)(?:\s+(?:then|also))?\s+(?={_ASK}\b)|(?<=[。？！；，])|\n+", re.I
)
_LEAST_SENTENCE, _LEAST_CLAUSE = 12, 8  # characters: shorter ones ("Yes.") may stand twice


def dangling(made: Row) -> str:
    """The words by which the made request points to a text that it does not hold; "" if it points to none."""
    asked = said_by(made, "user")
    for found in _POINTS.finditer(asked.lower()):
        rest = asked[found.end() :]
        if not _HELD.search(rest) and len(rest) < 80:
            return found[0]
    return ""


def clauses(text: str) -> list[str]:
    """The parts of a request: its sentences, cut at "and" and, in Chinese, at commas; never empty."""
    parts = [part.strip(" ,，。.;；") for part in _CLAUSE.split(text)]
    return [part for part in parts if len(part) > 2] or [text.strip() or "-"]


def request_coverage(parent: Row, made: Row) -> float:
    """Share of the content words of the parent's request, its input text included, that the made request has."""
    wanted = content_words(said_by(parent, "user"))
    return len(wanted & content_words(said_by(made, "user"))) / len(wanted) if wanted else 1.0


def numbers_kept(parent: Row, made: Row) -> float:
    """Share of the numbers of the parent's request that the made request has; 1 without any."""
    wanted = _numbers(said_by(parent, "user"))
    return len(wanted & _numbers(said_by(made, "user"))) / len(wanted) if wanted else 1.0


def _numbers(text: str) -> set[str]:
    return {_DIGITS.get(found.lower(), found) for found in _NUMBER.findall(text)}


def said_twice(made: Row, parents: Sequence[Row]) -> str:
    """A sentence, question or list item that stands twice anywhere in the request or in the answer; "" if none does.

    Verse may repeat its lines, and so may an answer whose parents do.
    """
    asked = said_by(made, "user")
    if again := _again(clauses(asked), _LEAST_CLAUSE):
        return again
    if VERSE.search(asked.lower()):
        return ""
    answer = response_of(made)
    again = _again(sentences(answer), _LEAST_SENTENCE) or _again(list_items(answer), 3)
    known = normalised(" ".join(response_of(parent) for parent in parents))
    return "" if again and known.count(normalised(again)) > 1 else again


def _again(parts: Sequence[str], least: int) -> str:
    seen: set[str] = set()
    for part in parts:
        key = " ".join(re.findall(r"\w+", part.casefold()))
        if len(key) < least and key.isascii() or len(key) < 4:
            continue
        if key in seen:
            return part
        seen.add(key)
    return ""


def handed_back(made: Row, parents: Sequence[Row]) -> str:
    """Which parent's request or answer the made row is, nearly to the letter, where it has several: "row 2"; or ""."""
    if len(parents) < 2:
        return ""
    for number, parent in enumerate(parents, 1):
        for role in ("user", "assistant"):
            if normalised(said_by(parent, role)).strip(" .?!。？！") == normalised(said_by(made, role)).strip(
                " .?!。？！"
            ):
                return f"row {number}"
    return ""


def described(made: Row) -> str:
    """The opening by which the made answer describes a task in place of doing it, or greets; "" if it does not."""
    asked = said_by(made, "user").lower()
    found = _DESCRIBES.search(response_of(made)[:200])
    if found is None or re.search(r"\bhow\b|\b(?:explain|describe) the (?:process|steps)", asked):
        return ""
    return found[0].strip()[:60]


def short_of(made: Row) -> float:
    """Share of the list items that the request asks for and the answer lacks; 0 where either is not a list."""
    wanted = sum(asked_for(said_by(made, "user")))
    text = response_of(made)
    given = len(re.findall(r"(?m)^\s*(?:[-*•]|\d{1,2}[.)、:])\s*\S", text)) or len(
        re.findall(r"\b\d{1,2}[.)]\s", text)
    )
    return max(0.0, 1 - given / wanted) if wanted and given else 0.0


def defects_kept(made: Row, parents: Sequence[Row]) -> set[str]:
    """Rules that flagged a parent and flag the made row too."""
    had = {f["rule"] for parent in parents for f in parent["findings"] if f["action"] == "flag"}
    return had & {f["rule"] for f in made["findings"] if f["action"] == "flag"}
