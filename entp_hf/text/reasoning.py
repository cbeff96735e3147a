"""Separate a model's reasoning ("thoughts") from its answer, in the markup of the known model families.

Families and their marks: `<think>` (DeepSeek R1, Qwen3, GLM, Phi-4, Nemotron), the same without the opening mark
(DeepSeek V3.1, Qwen3 templates that put it into the prompt), `<thinking>`, `<thought>`, `<reasoning>` and the like,
`[THINK]` (Magistral), `◁think▷` (Kimi), `<seed:think>` (Seed-OSS), `<|begin_of_thought|>` (Sky-T1),
`<|START_THINKING|>` (Command A), `<|inner_prefix|>` (Apertus), `<unused94>` (MedGemma), and harmony's channels
(gpt-oss), also where a server has removed harmony's tokens and left its words ("analysis...assistantfinal...").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TAGS = r"think|thinking|thoughts?|reasoning|reflection|scratchpad|seed:think|inner_monologue"
_MARK = re.compile(
    rf"(?P<open><(?:{_TAGS})(?:\s[^<>\n]{{0,80}})?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|<\|inner_prefix\|>|<unused94>(?:thought\n)?)"
    rf"|(?P<close></(?:{_TAGS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<\|inner_suffix\|>"
    r"|<unused95>)",
    re.I,
)
_CUES = ("<", "[", "◁")
# What some families wrap their answer in.
_WRAPPED = re.compile(
    r"\A\s*(?:<\|begin_of_solution\|>|<\|START_RESPONSE\|>|<(answer|response|output)>)(?P<inside>.*?)"
    r"(?:<\|end_of_solution\|>|<\|END_RESPONSE\|>|</(?:answer|response|output)>|\Z)\s*\Z",
    re.S | re.I,
)
_HARMONY = re.compile(r"\A\s*(?:<\|start\|>\s*assistant[^<>\n]{0,80})?<\|channel\|>")
_SEGMENT = re.compile(r"<\|channel\|>\s*(\w+)(?:[^<]|<\|constrain\|>){0,200}?<\|message\|>")
_SEGMENT_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_HARMONY = re.compile(r"\A\s*analysis(?=[A-Z\s])(.*)assistant\s?final(.*)\Z", re.S)
_FENCE = re.compile(r"(?m)^[ \t]{0,3}```")
_REACH = 400  # characters on either side of a mark that tell whether reasoning ends there
_QUOTES = "`\"'“”‘’«»"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A text taken apart: the reasoning, the answer after it, and whether the reasoning came to its end."""

    reasoning: str
    answer: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """An opening or closing mark of reasoning: its span in the text."""

    start: int
    end: int
    closes: bool


def reasoning_marks(text: str) -> Iterator[Mark]:
    """All opening and closing marks of the families that have a pair of them, in the order of the text."""
    if any(cue in text for cue in _CUES):
        for match in _MARK.finditer(text):
            yield Mark(*match.span(), closes=match["close"] is not None)


def split_reasoning(text: str) -> Reasoning | None:
    """The reasoning that `text` begins with, and the answer after it; None where it begins with no reasoning.

    A closing mark without an opening one ends reasoning only where it stands as such a mark does: at the end of a
    sentence or on a line of its own, outside code and quotes, and before an answer. So a text that speaks of the
    marks is left alone.

    Args:
        text: an answer as a model or a data set has it.

    """
    if (harmony := harmony_channels(text)) is not None:
        return harmony
    at = 0
    thoughts: list[str] = []
    while (opening := _opening_at(text, at)) is not None:
        closing = next((mark for mark in _marks_from(text, opening.end) if mark.closes), None)
        if closing is None:
            return Reasoning("\n\n".join([*thoughts, text[opening.end :].strip()]), "", closed=False)
        thoughts.append(text[opening.end : closing.start].strip())
        at = closing.end
    bare = _bare_closing(text, at)
    if bare is not None:
        thoughts.append(text[at : bare.start].strip())
        at = bare.end
    if not at:
        return None
    return Reasoning("\n\n".join(filter(None, thoughts)), unwrapped(text[at:]).strip(), closed=True)


def without_reasoning(text: str) -> str:
    """The answer alone: reasoning at the beginning, and blocks of it on lines of their own, are taken out.

    "" where the reasoning never ends.
    """
    split = split_reasoning(text)
    if split is not None:
        return without_reasoning(split.answer) if split.closed and split.answer != text else split.answer
    pieces: list[str] = []
    at, opening = 0, None
    for mark in reasoning_marks(text):
        if opening is None and not mark.closes and _starts_line(text, mark.start):
            opening = mark
            pieces.append(text[at : mark.start])
        elif opening is not None and mark.closes:
            at, opening = mark.end, None
    return "" if opening is not None else ("".join(pieces).rstrip() + text[at:] if at else text)


def _starts_line(text: str, at: int) -> bool:
    """Whether a line begins at `at`, outside fenced code."""
    return text[max(0, at - 40) : at].rstrip(" \t")[-1:] == "\n" and len(_FENCE.findall(text[:at])) % 2 == 0


def harmony_channels(text: str) -> Reasoning | None:
    """A text in harmony's format: channel `final` is the answer, all others are reasoning. None for other texts."""
    if "<|channel|>" not in text or not _HARMONY.match(text):
        bare = _BARE_HARMONY.match(text) if "assistant" in text and "final" in text else None
        return Reasoning(bare[1].strip(), bare[2].strip(), closed=True) if bare else None
    answers: list[str] = []
    thoughts: list[str] = []
    for match in _SEGMENT.finditer(text):
        end = _SEGMENT_END.search(text, match.end())
        content = text[match.end() : end.start() if end else len(text)].strip()
        (answers if match[1].lower() == "final" else thoughts).append(content)
    if not answers and not thoughts:
        return None
    return Reasoning("\n\n".join(filter(None, thoughts)), "\n\n".join(answers), closed=bool(answers))


def unwrapped(text: str) -> str:
    """The answer without the tags that some families put around it after their reasoning."""
    match = _WRAPPED.match(text)
    return match["inside"] if match else text


def _opening_at(text: str, at: int) -> Mark | None:
    """An opening mark that stands at `at`, white space aside."""
    while at < len(text) and text[at].isspace():
        at += 1
    match = _MARK.match(text, at)
    return Mark(*match.span(), closes=False) if match and match["open"] else None


def _marks_from(text: str, at: int) -> Iterator[Mark]:
    for match in _MARK.finditer(text, at):
        yield Mark(*match.span(), closes=match["close"] is not None)


def _bare_closing(text: str, at: int) -> Mark | None:
    """The last closing mark after `at` that no opening mark precedes and that stands as the end of reasoning does."""
    closing = []
    for mark in _marks_from(text, at):
        if not mark.closes:
            break
        closing.append(mark)
    fences = _FENCE.finditer(text, at)
    fence, inside = next(fences, None), False
    found = None
    for mark in closing:
        while fence is not None and fence.start() < mark.start:
            fence, inside = next(fences, None), not inside
        if not inside and _ends_thought(text, at, mark):
            found = mark
    return found


def _ends_thought(text: str, at: int, mark: Mark) -> bool:
    before, after = text[max(at, mark.start - _REACH) : mark.start], text[mark.end : mark.end + _REACH]
    if before[-1:] in tuple(_QUOTES) or after[:1] in tuple(_QUOTES):
        return False
    if not before.strip():
        return at > 0
    line = before.rpartition("\n")[2].strip()
    if line and line[-1] not in ".!?…:;)]}。！？":
        return False
    if line and after[:1] not in ("\n", "\r", "") and not after[:1].isupper():
        return False
    # "The block ends with\n</think>\nand the answer follows" goes on in the same sentence.
    return not after.strip()[:1].islower()
