"""What is learned of a server while it is asked: parameters it refuses, what it answers, and when to stop asking."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from .protocol import ChatReply, ChatRequest

FIRST = 20  # calls after which a failure that all of them share ends the asking (not in the paper, as all here)
ENOUGH = 50  # calls after which `max_failure_rate` is looked at
_NUMBERS = re.compile(r"\d[\d.,]*")
_SPACE = re.compile(r"\s+")


class SchemaLevel(IntEnum):
    """How a reply is held to a JSON schema, from the strictest to none at all."""

    FULL = 0  # json_schema, as pydantic writes it
    BARE = 1  # json_schema of types and required names alone
    OBJECT = 2  # json_object
    NONE = 3  # the prompt alone asks for JSON


@dataclass(eq=False)
class ServerState:
    """What one run knows of one model at one server.

    Belongs to a run's ledger, or to a client outside of runs. Used by the event loop of one batch of calls at a time.
    Pickles as a fresh state: neither what was learned nor counts leave the process.
    """

    answered: bool = False  # a call has gone through: key, address and model are right
    left_out: set[str] = field(default_factory=set)  # parameters that the server refuses
    renamed: dict[str, str] = field(default_factory=dict)
    schema_level: SchemaLevel = SchemaLevel.FULL
    schema_accepted: set[SchemaLevel] = field(default_factory=set)  # levels at which a reply has come
    schema_doubts: Counter[SchemaLevel] = field(default_factory=Counter)
    slots: int | None = None  # calls that the server says it computes at once; 0: it does not say
    stopped: str = ""  # why nothing more is asked
    asked: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # reason, numbers left out: calls
    examples: dict[str, str] = field(default_factory=dict)  # reason: a full message
    retried: int = 0
    timed_out: int = 0
    prompts: tuple[int, int] = (sys.maxsize, 0)  # least and most prompt tokens that the server has counted
    warnings: dict[str, str] = field(default_factory=dict)  # kind: text
    _cut: Counter[str] = field(default_factory=Counter)  # prompt: replies cut in the model's thoughts
    _seen: Counter[str] = field(default_factory=Counter)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def warn(self, kind: str, text: str) -> None:
        """Keep a warning for the manifest, the first of each kind."""
        self.warnings.setdefault(kind, text)

    def book(self, request: ChatRequest, reply: ChatReply, max_failure_rate: float) -> None:
        """Count a reply that is final, and stop where going on is hopeless."""
        self.asked += 1
        kind = request.prompt_version.split("@")[0]
        if reply.error:
            reason = reason_of(reply.error)
            self.failed[reason] += 1
            self.examples.setdefault(reason, reply.error)
        self._seen[kind] += 1
        self._cut[kind] += reply.cut_in_thoughts
        if self.stopped:
            return
        seen, cut = self._seen[kind], self._cut[kind]
        if seen >= FIRST and cut > seen / 2:
            self.stopped = f"{cut} of the first {seen} replies to the prompt {kind!r} were {reply_limit(request)}"
        elif self.asked >= FIRST and len(self.failed) == 1 and self.failed.total() == self.asked:
            self.stopped = f"all of the first {self.asked} calls failed: {self._worst()}"
        elif self.asked >= ENOUGH and self.failed.total() > max_failure_rate * self.asked:
            self.stopped = (
                f"{self.failed.total()} of {self.asked} calls failed, over the max_failure_rate of "
                f"{max_failure_rate:g}; most often: {self._worst()}"
            )

    def _worst(self) -> str:
        reason, _ = self.failed.most_common(1)[0]
        return self.examples[reason]

    def refuse_schema(self, level: SchemaLevel, named: bool) -> None:
        """A reply came below `level` after the server had refused the request at it.

        `named`: the refusal spoke of the schema. One that did not may be about anything, so two are needed; and where
        the level has worked before, the refusal was that one request's.
        """
        if level in self.schema_accepted:
            return
        self.schema_doubts[level] += 2 if named else 1
        if self.schema_doubts[level] >= 2 and level >= self.schema_level:
            self.schema_level = SchemaLevel(level + 1)


def reply_limit(request: ChatRequest) -> str:
    """In words: which limit cut the model's thoughts, and which settings raise it."""
    kind = request.prompt_version.split("@")[0]
    setting = {"rate": "rate_tokens", "direct": "direct_tokens"}.get(kind, "max_new_tokens")
    return (
        f"cut off in the model's thoughts at the limit of {request.max_tokens} tokens; "
        f"set thinking to off, or raise {setting}"
    )


def reason_of(error: str) -> str:
    """An error message as one of few kinds: numbers left out, at most 160 characters."""
    return _SPACE.sub(" ", _NUMBERS.sub("N", error)).strip()[:160]
