"""Which characters of a text are code or mathematics, so that rules for prose leave them alone."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

FILLER = "\ufdd0"  # a noncharacter: no letter, digit, space or mark, so patterns for prose step over it
_NEWLINE = re.compile(r"\r\n|\n|\r")
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(?s:.+?)(?<!`)\1(?!`)")
_LATEX = re.compile(
    r"(?<!\$)\$\$(?!\$)(?s:.+?)(?<!\$)\$\$(?!\$)|\\\[(?s:.+?)\\\]|\\\((?s:.+?)\\\)|\\begin\{(\w+\*?)\}(?s:.+?)\\end\{\1\}"
    r"|(?<![\\$\w])\$(?![\s$])[^$\n]{1,200}?(?<![\s\\])\$(?![\d$])"
)
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
    return MarkdownIt("commonmark", {"html": False}).disable("inline")  # inline text only where it has a backtick


def _has_code(text: str, environment: dict[str, Any]) -> bool:
    tokens: list[Token] = []
    _parser().inline.parse(text, _parser(), environment, tokens)
    return any(token.type == "code_inline" for token in tokens)


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


def _code(text: str) -> tuple[list[tuple[int, int]], list[Fence]]:
    spans, fences = [], []
    starts = _line_starts(text)
    environment: dict[str, Any] = {}
    for token in _parser().parse(text, environment):
        if token.type == "fence":
            fences.append(fence := _fence(token, text, starts))
            spans.append((fence.start, fence.end))
        elif token.type == "code_block" and token.map:
            start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
            spans.append((start, start + len(text[start:end].rstrip())))
        elif token.type == "inline" and token.map and "`" in token.content and _has_code(token.content, environment):
            start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
            spans += [m.span() for m in _INLINE.finditer(text, start, end)]
    return spans, fences


def mask(text: str) -> Mask:
    """Find fenced, indented and inline code (CommonMark) and LaTeX. Plain prose costs a few look-ups."""
    spans: list[tuple[int, int]] = []
    fences: list[Fence] = []
    if "`" in text or "~~~" in text or "\n    " in text or "\n\t" in text or text.startswith(("    ", "\t")):
        spans, fences = _code(text)
    if "$" in text or "\\" in text:
        for match in _LATEX.finditer(text):
            inside = match.group()
            if (inside[0] != "$" or inside.startswith("$$") or _MATHS.search(inside)) and not any(
                start < match.end() and match.start() < end for start, end in spans
            ):
                spans.append(match.span())
    return Mask(tuple(sorted(s for s in spans if s[0] < s[1])), tuple(fences)) if spans or fences else _NONE


_NONE = Mask()
