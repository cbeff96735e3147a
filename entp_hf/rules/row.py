"""What a rule sees: the row taken apart into fields, and what it may answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar, overload

from ..schema import JOIN, Message, calls_text
from ..text.language import Script, script_of
from .masks import FILLER, Mask, mask

_CODE_LINE = re.compile(
    r"(?m)^[ \t]*(?:(?:def|class|import|from|return|function|var|let|const|public|private|#include|SELECT|for"
    r"|while|if)\b"
    r"[^.\n]*[:;({]?|[\w.\[\]]+\s?=\s?[^.\n]+|[\w.]+\([^\n]*\)[;:]?|[^\n]*[{};]|</?\w[^<>\n]*>.*)[ \t]*$"
)
T = TypeVar("T")
FIELD_OF_ROLE = {"user": "instruction", "assistant": "response", "system": "system", "tool": "tool"}


class lazy(Generic[T]):  # noqa: N801
    """`functools.cached_property` without the lock that it takes before Python 3.12: it was a tenth of the time."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | lazy[T]:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.compute(instance)
        return value


class Part:
    """One field of one turn. `text` is as it stands; `prose` is as long, with code and mathematics blotted out."""

    def __init__(self, field: str, turn: int, text: str) -> None:
        self.field, self.turn, self.text = field, turn, text

    @lazy
    def mask(self) -> Mask:
        """Where code and mathematics are."""
        return mask(self.text)

    @lazy
    def prose(self) -> str:
        """The text with code and mathematics replaced, character by character, by `FILLER`."""
        return self.mask.cover(self.text) if self.mask.spans else self.text

    @lazy
    def lower(self) -> str:
        """The prose in lower case, for look-ups (its length may differ)."""
        return self.prose.lower()

    @lazy
    def words(self) -> list[str]:
        """The prose split at white space, masked characters left out."""
        return (self.prose.replace(FILLER, "") if self.mask.spans else self.text).split()

    @lazy
    def script(self) -> Script:
        """The script that most letters of the prose are in."""
        return script_of(self.prose)

    @lazy
    def is_json(self) -> bool:
        """Whether the whole text is a JSON object or list, such as a tool call."""
        head = self.text.lstrip()[:1]
        if head not in ("{", "["):
            return False
        try:
            json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return True

    @lazy
    def codelike(self) -> bool:
        """Whether prose that no fence masks is, by two of its lines, code."""
        return sum(1 for _ in islice(_CODE_LINE.finditer(self.prose), 2)) == 2

    @property
    def length(self) -> int:
        """Words; in scripts without spaces, characters halved, which is about as many."""
        return len(self.words) if self.script.spaced else sum(map(len, self.words)) // 2

    def replaced(self, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str]) -> Hit | None:
        """A repair that rewrites the pattern's matches in prose, or None where nothing changes."""
        pieces, at, first, seen, count = [], 0, None, "", 0
        for match in pattern.finditer(self.prose):
            if FILLER in match.group():
                continue
            new = by(match) if callable(by) else match.expand(by)
            if new == match.group():
                continue
            pieces += [self.text[at : match.start()], new]
            at, count = match.end(), count + 1
            if first is None:
                first, seen = match.start(), match.group()
        if first is None:
            return None
        detail = shown(seen) + (f" and {count - 1} more" if count > 1 else "")
        return Hit(self, first, at, detail, text="".join(pieces) + self.text[at:])


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer of a rule. With `text` it repairs `part`; with `messages` it repairs the turns; else it marks.

    `action` overrides the rule's own ("flag" or "drop"); `start`, `end` count characters of `part.text`.
    """

    part: Part | None = None
    start: int = -1
    end: int = -1
    detail: str = ""
    score: float = 1.0
    action: str = ""
    text: str | None = None
    messages: tuple[Message, ...] | None = None

    @property
    def repairs(self) -> bool:
        """Whether it changes the row."""
        return self.text is not None or self.messages is not None


class Fields:
    """A row taken apart. `parts` holds every field of every turn; a first user turn is instruction and input."""

    def __init__(self, messages: Sequence[Mapping[str, Any]], given: str = "") -> None:
        self.messages = messages
        self.parts: list[Part] = []
        self.input = Part("input", -1, "")
        first = True
        for turn, message in enumerate(messages):
            role, text = message["role"], message["content"] or calls_text(message)
            if role == "user" and first:
                first = False
                if given and text.endswith(JOIN + given):
                    self.parts.append(Part("instruction", turn, text[: -len(JOIN + given)]))
                    self.input = Part("input", turn, given)
                    self.parts.append(self.input)
                    continue
            self.parts.append(Part(FIELD_OF_ROLE.get(role, "tool"), turn, text))
        none = Part("", -1, "")
        self.instruction = next((p for p in self.parts if p.field == "instruction"), none)
        self.responses = [p for p in self.parts if p.field == "response"]
        self.response = self.responses[-1] if self.responses else none

    @lazy
    def single(self) -> bool:
        """One question, one answer, a system turn aside."""
        return [p.field for p in self.parts if p.field not in ("system", "input")] == ["instruction", "response"]

    @lazy
    def prompt(self) -> str:
        """Everything but the answers, lower case: what tells whether the prompt asks for what a rule looks for."""
        return "\n".join(p.text for p in self.parts if p.field != "response").lower()

    @lazy
    def text(self) -> str:
        """All parts, to find out at once that no cue of a rule is anywhere."""
        return "\n".join(p.text for p in self.parts)

    @lazy
    def ascii(self) -> bool:
        """Whether no part has a character beyond ASCII."""
        return self.text.isascii()

    @lazy
    def plain(self) -> bool:
        """Whether the row is ASCII without control characters, line breaks and tabs aside."""
        return self.ascii and self.text.replace("\n", "").replace("\t", "").isprintable()

    @lazy
    def prose_parts(self) -> list[Part]:
        """The parts that people read: not tool output, not tool calls."""
        return [p for p in self.parts if p.field != "tool" and not p.is_json]

    @lazy
    def answers(self) -> list[Part]:
        """The assistant turns that are not tool calls."""
        return [p for p in self.responses if not p.is_json]

    def asks(self, cue: re.Pattern[str]) -> bool:
        """Whether the prompt, in lower case, has the cue."""
        return cue.search(self.prompt) is not None

    def question_before(self, part: Part) -> str:
        """The user text that a response answers, lower case."""
        before = [p.text for p in self.parts if p.turn < part.turn and p.field in ("instruction", "input")]
        return "\n".join(before[-2:]).lower()


Check = Callable[[Fields, float], Iterable[Hit]]


@dataclass(frozen=True)
class Rule:
    """A named rule. `check(fields, threshold)` yields `Hit`s and neither changes its arguments nor raises."""

    name: str
    code: str  # its number in the rule library: R repairs, X drops, F flags
    action: str  # repair | drop | flag: what it does where a hit does not say
    check: Check
    description: str
    threshold: float | None = None
    default_on: bool = True
    repairs: bool = False  # whether any of its hits may change the row; such rules run first

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value; `check` goes by its import path, so own rules need functions at module level."""
        return Rule, (
            self.name,
            self.code,
            self.action,
            self.check,
            self.description,
            self.threshold,
            self.default_on,
            self.repairs,
        )


def has_any(text: str, cues: Sequence[str]) -> bool:
    """Whether one of the cues is in the text: far cheaper than a pattern of many alternatives."""
    for cue in cues:  # a loop, not any(): half the time
        if cue in text:
            return True
    return False


def shown(text: str, limit: int = 60) -> str:
    """A text for a finding's detail: one line, shortened, invisible characters spelt out."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in short)
