"""Calls and tokens of a run: whoever has the replies records them, whoever opened a meter reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


class Reply(Protocol):
    """The counts of a model's reply; `llm.protocol.ChatReply` is one."""

    @property
    def made(self) -> bool: ...  # noqa: D102
    @property
    def cached(self) -> bool: ...  # noqa: D102
    @property
    def prompt_tokens(self) -> int: ...  # noqa: D102
    @property
    def completion_tokens(self) -> int: ...  # noqa: D102


@dataclass(eq=False)  # meters are told apart by identity
class Usage:
    """Sums over replies; tokens of replies from the cache are counted too, since they tell what the run is worth."""

    calls: int = 0
    cached_calls: int = 0
    prompt: int = 0
    completion: int = 0

    def add(self, replies: Iterable[Reply]) -> None:
        """Count these replies; calls that were not made are none."""
        for reply in replies:
            if not reply.made:
                continue
            self.calls += 1
            self.cached_calls += reply.cached
            self.prompt += reply.prompt_tokens
            self.completion += reply.completion_tokens


# A tuple of the context, never a list of the process: runs in two threads have meters of their own.
_open: ContextVar[tuple[Usage, ...]] = ContextVar("_open", default=())


@contextmanager
def metered() -> Iterator[Usage]:
    """Everything recorded inside the block is added to the usage that it yields. Meters nest."""
    usage = Usage()
    token = _open.set((*_open.get(), usage))
    try:
        yield usage
    finally:
        _open.reset(token)


def record(replies: Iterable[Reply]) -> None:
    """Add `replies` to every open meter."""
    replies = list(replies)
    for usage in _open.get():
        usage.add(replies)


def record_usage(other: Usage) -> None:
    """Add what another process counted to every open meter."""
    for usage in _open.get():
        usage.calls += other.calls
        usage.cached_calls += other.cached_calls
        usage.prompt += other.prompt
        usage.completion += other.completion
