"""Find code and mathematics in a text, so that rules for prose leave them alone. Time grows linearly with length."""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

FILLER = "\ufdd0"  # a noncharacter: no letter, digit, space or mark, so patterns for prose step over it
_NEWLINE = re.compile(r"\r\n|\n|\r")
_TICKS = re.compile(r"`+")
# Delimiters of LaTeX. Display mathematics, environments and \( \) may span lines; $ $ stays on one.
_DELIMITER = re.compile(r"\$+|\\[\[\]()]|\\(?:begin|end)\{(\w{1,40}\*?)\}")
_INLINE_MATHS = re.compile(r"(?<![\\$\w])\$(?![\s$])[^$\n]{1,200}?(?<![\s\\])\$(?![\d$])")
_CLOSERS = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
_MATHS = re.compile(r"[\\^_=+*/<>{}]|^\$[A-Za-z]\$$")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block: its span with the fences, info word, code, fence mark, and whether it is closed."""

    start: int
    end: int
    language: str
    code: str
    mark: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Mask:
    """Spans of code and mathematics in a text, sorted, and its fenced blocks."""

    spans: tuple[tuple[int, int], ...] = ()
    fences: tuple[Fence, ...] = ()

    def cover(self, text: str) -> str:
        """The text at its old length, masked characters replaced by `FILLER`."""
        pieces, at = [], 0
        for start, end in self.spans:
            pieces += [text[at:start], FILLER * (end - start)]
            at = end
        return "".join(pieces) + text[at:]


@functools.cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).disable("inline")


def _inline_code(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of inline code in [start, end): a run of backticks up to the next run of the same length."""
    runs = [m.span() for m in _TICKS.finditer(text, start, end)]
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, (first, last) in enumerate(runs):
        by_length[last - first].append(number)
    number = 0
    while number < len(runs):
        first, last = runs[number]
        alike = by_length[last - first]
        closing = bisect_right(alike, number)
        if closing < len(alike) and text[first - 1 : first] != "\\":
            number = alike[closing]
            yield first, runs[number][1]
        number += 1


def _line_starts(text: str) -> list[int]:
    return [0, *(m.end() for m in _NEWLINE.finditer(text)), len(text)]


def _fence(token: Token, text: str, starts: list[int]) -> Fence:
    first, last = token.map or [0, 0]
    start, end = starts[first], starts[min(last, len(starts) - 1)]
    lines = text[start:end].rstrip("\r\n").splitlines() or [""]
    closing = re.fullmatch(rf"[ >]*{re.escape(token.markup[0])}{{{len(token.markup)},}}\s*", lines[-1])
    info = token.info.strip().split()
    block = text[start:end].rstrip("\r\n")
    closed = len(lines) > 1 and closing is not None
    return Fence(start, start + len(block), info[0].lower() if info else "", token.content, token.markup, closed)


_FENCE_LINE = re.compile(r"(?m)^[ \t>]{0,12}(`{3,}|~{3,})([^\n]*)$")
_BLANK_LINE = re.compile(r"\n[ \t]*(?=\n)")
_LONG = 30_000  # characters; the parser needs a second for 200,000 of the worst lines


def _code_by_line(text: str) -> tuple[list[tuple[int, int]], list[Fence]]:
    """Fenced and inline code of a long text, found line by line: without lists, quotes and indented code."""
    spans: list[tuple[int, int]] = []
    fences: list[Fence] = []
    opening, at = None, 0
    for line in [*_FENCE_LINE.finditer(text), None]:
        if opening is None and line is not None and not ("`" in line[1] and "`" in line[2]):
            opening = line
        elif opening is not None:
            closes = line is not None and line[1].startswith(opening[1]) and not line[2].strip()
            if line is not None and not closes:
                continue
            spans += _code_in_paragraphs(text, at, opening.start())
            at = line.end() if line is not None else len(text.rstrip("\r\n"))
            info = opening[2].split()
            code = text[opening.end() + 1 : line.start() if line is not None else len(text)]
            fences.append(
                Fence(opening.start(), at, info[0].lower() if info else "", code, opening[1], line is not None)
            )
            spans.append((opening.start(), at))
            opening = None
    return spans + list(_code_in_paragraphs(text, at, len(text))), fences


def _code_in_paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    if "`" not in text[start:end]:
        return
    for blank in [*_BLANK_LINE.finditer(text, start, end), None]:
        stop = blank.start() if blank else end
        yield from _inline_code(text, start, stop)
        start = stop


def _code(text: str) -> tuple[list[tuple[int, int]], list[Fence]]:
    if len(text) > _LONG:
        return _code_by_line(text)
    spans, fences = [], []
    starts = _line_starts(text)
    for token in _parser().parse(text, {}):
        if token.type == "fence":
            fences.append(fence := _fence(token, text, starts))
            spans.append((fence.start, fence.end))
        elif token.type == "code_block" and token.map:
            start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
            spans.append((start, start + len(text[start:end].rstrip())))
        elif token.type == "inline" and token.map and "`" in token.content:
            spans += _inline_code(text, starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)])
    return spans, fences


def _latex(text: str, code: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of mathematics that touch no span of `code` (sorted). Every delimiter is looked at once."""
    places: dict[str, list[int]] = defaultdict(list)  # delimiter -> where it stands; a single dollar's is not needed
    for match in _DELIMITER.finditer(text):
        if (mark := match.group()) != "$":
            places[mark].append(match.start())
    code_starts = [start for start, _ in code]
    at = 0
    for match in _DELIMITER.finditer(text):  # looked for again, not kept: there may be half a million
        if match.start() < at:
            continue
        mark = match.group()
        closer = rf"\end{{{match[1]}}}" if mark.startswith("\\begin") else _CLOSERS.get(mark, "")
        if mark == "$":
            inline = _INLINE_MATHS.match(text, match.start())
            if inline is None or not _MATHS.search(inline.group()):
                at = inline.end() if inline else at
                continue
            end = inline.end()
        elif closer:
            later = places.get(closer, [])
            next_one = bisect_right(later, match.end())  # something must stand between the two
            if next_one == len(later):
                continue
            end = later[next_one] + len(closer)
        else:
            continue
        at = end
        before = bisect_right(code_starts, end - 1) - 1
        if before < 0 or code[before][1] <= match.start():
            yield match.start(), end


@functools.lru_cache(maxsize=64)  # a row's parts are masked again after every repair
def mask(text: str) -> Mask:
    """Find fenced, indented and inline code (CommonMark) and LaTeX. Plain prose costs a few look-ups."""
    spans: list[tuple[int, int]] = []
    fences: list[Fence] = []
    if "`" in text or "~~~" in text or "\n    " in text or "\n\t" in text or text.startswith(("    ", "\t")):
        spans, fences = _code(text)
    if "$" in text or "\\" in text:
        spans += list(_latex(text, sorted(spans)))
    return Mask(tuple(sorted(s for s in spans if s[0] < s[1])), tuple(fences)) if spans or fences else _NONE


_NONE = Mask()
