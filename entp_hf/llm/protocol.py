"""Chat models behind one protocol: a batch of requests in, one reply for each out, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

BUDGET = "budget"  # finish_reason of a call that was not made: budget or time are used up, or the asking stopped


@dataclass(frozen=True)
class ChatRequest:
    """One call: the conversation so far, and how to answer it."""

    messages: tuple[tuple[str, str], ...]  # (role, content)
    max_tokens: int = 512
    temperature: float = 0.0
    schema: str = ""  # JSON schema of the reply as JSON text, or "" for free text
    prompt_version: str = ""  # part of the cache key
    attempt: int = 0  # part of the cache key: a retry is a new call

    def as_messages(self) -> list[dict[str, str]]:
        """The conversation in the chat-completion form."""
        return [{"role": role, "content": content} for role, content in self.messages]


@dataclass(frozen=True)
class ChatReply:
    """The answer to a request. A failed call is a reply with `error` set, never an empty answer."""

    text: str = ""
    finish_reason: str = "stop"  # stop | length | error | budget: not asked, `error` says which limit
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    cached: bool = field(default=False, compare=False)
    cut_in_thoughts: bool = False  # the token limit came before the answer began; `error` says so

    @property
    def made(self) -> bool:
        """True if the model was asked: False where budget or time were used up."""
        return self.finish_reason != BUDGET

    @property
    def ok(self) -> bool:
        """True if the model finished its answer: neither an error nor cut off at the token limit."""
        return not self.error and self.finish_reason != "length"


class ChatClient(Protocol):
    """Anything that answers chat requests. Implementations are frozen dataclasses (picklable, hashable)."""

    @property
    def name(self) -> str:
        """Model and place, as cache key and provenance: no secrets."""
        ...

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Answer all requests, in order; shows a progress bar named `desc`. Never raises for one failed call."""
        ...
