"""Spending limits and rate limits of a run: a budget that is never passed, a pace that a provider allows.

One ledger holds for everything asked inside `spending`: rater, fusion and re-rating alike. It belongs to the context
(`contextvars`), so that runs in two threads have a ledger each. In memory, of one process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .protocol import ChatReply, ChatRequest
from .server_state import ServerState

WINDOW = 60.0  # seconds that requests and tokens per minute are counted over
OVERHEAD = 64  # most tokens that a chat template adds to a message (ours)
POLL = 0.05  # seconds between two looks at what the calls in flight have used


@dataclass(frozen=True)
class Limits:
    """Most calls, tokens, money, seconds of a run; most requests and tokens in any minute. 0: no limit.

    Prices are of a million tokens, as everywhere.
    """

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    price_in: float = 0.0
    price_out: float = 0.0

    @classmethod
    def from_config(cls, config: Any) -> Limits:
        """The limits of an `EntpConfig`."""
        return cls(
            config.budget_calls,
            config.budget_tokens,
            config.budget_cost,
            config.total_timeout,
            config.requests_per_minute,
            config.tokens_per_minute,
            config.price_in,
            config.price_out,
        )


@dataclass(frozen=True)
class Claim:
    """The most that one call can use up: prompt and reply tokens."""

    prompt: int
    reply: int

    @classmethod
    def of(cls, request: ChatRequest) -> Claim:
        """No tokenizer makes more tokens than a text has bytes, so that no count of them is needed to be safe."""
        texts = [content for _, content in request.messages]
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + len(request.schema)
        return cls(size + OVERHEAD * len(texts), request.max_tokens)


class Ledger:
    """Calls, tokens and money spent, and what calls in flight may still spend. Safe among threads.

    `servers` holds what the run has learned of each server, by client name (`server_state.ServerState`).
    """

    def __init__(self, limits: Limits, of_run: bool = True) -> None:
        self.limits, self.of_run = limits, of_run
        self.servers: dict[str, ServerState] = {}
        self.calls = self.prompt = self.reply = 0
        self.refused = ""  # why the first call was that the limits forbade
        self._open: list[Claim] = []
        self._begun = time.monotonic()
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute)
        self._lock = threading.Lock()

    def _refusal(self, claim: Claim) -> str:
        """Why a call must not be made now, given that all calls in flight use all that they can; "" if it may be."""
        most = self.limits
        calls, prompt, reply = self.calls, self.prompt, self.reply
        for other in (*self._open, claim):
            calls, prompt, reply = calls + 1, prompt + other.prompt, reply + other.reply
        cost = (prompt * most.price_in + reply * most.price_out) / 1e6
        if most.seconds and self.seconds_left() <= 0:
            return f"total_timeout: {most.seconds:g} s are over"
        if most.calls and calls > most.calls:
            return f"budget_calls: {most.calls:,} calls are used up"
        if most.tokens and prompt + reply > most.tokens:
            used = self.prompt + self.reply
            return f"budget_tokens: {used:,} of {most.tokens:,} tokens are used, and this call might pass the rest"
        if most.cost and cost > most.cost:
            return f"budget_cost: {self.cost():.6g} of {most.cost:g} are spent, and this call might pass the rest"
        return ""

    def enter(self, claim: Claim, paced: bool = True) -> tuple[float, str]:
        """(0.0, "") where the call may be made now: it is claimed and must be settled. (seconds, "") where it may be
        later; (0.0, reason) where it must not be made at all. `paced`: within the limits per minute too.
        """
        with self._lock:
            why = self._refusal(claim)
            if why and self._open:  # those in flight may give back what they do not use
                return POLL, ""
            if why:
                self.refused = self.refused or why
                return 0.0, why
            wait = self._pace.wait(claim) if paced else 0.0
            if not wait:
                self._open.append(claim)
            return wait, ""

    def settle(self, claim: Claim, used: ChatReply | None, free: bool = False) -> None:
        """Book a call that was made. Without a reply, or without its counts, it may have cost all that was claimed,
        but for one that the server refused (`free`).
        """
        counted = used is not None and used.prompt_tokens + used.completion_tokens > 0
        with self._lock:
            self._open.remove(claim)
            self.calls += 1
            if not free:
                self.prompt += used.prompt_tokens if used is not None and counted else claim.prompt
                self.reply += used.completion_tokens if used is not None and counted else claim.reply

    def server(self, name: str) -> ServerState:
        """What the run has learned of the server of the client `name`."""
        with self._lock:
            return self.servers.setdefault(name, ServerState())

    def cost(self) -> float:
        """Money spent so far."""
        return (self.prompt * self.limits.price_in + self.reply * self.limits.price_out) / 1e6

    def seconds_left(self) -> float:
        """Until `seconds` are over; infinite without that limit."""
        return self._begun + self.limits.seconds - time.monotonic() if self.limits.seconds else float("inf")


class Pace:
    """Requests and tokens per minute over a sliding window; a token bucket would allow twice the rate in the first
    minute. Not safe among threads by itself.
    """

    def __init__(self, requests: int, tokens: int) -> None:
        self.requests, self.tokens = requests or float("inf"), tokens or float("inf")
        self._sent: deque[tuple[float, float]] = deque()  # (when, tokens) of the last minute's calls
        self._used = 0.0  # tokens of all of them

    def wait(self, claim: Claim) -> float:
        """Seconds until a call may be sent; 0.0 books it as sent now. One that is over the limit by itself is sent
        when nothing else was in the minute before.
        """
        if self.requests == self.tokens == float("inf"):
            return 0.0
        now, size = time.monotonic(), claim.prompt / 4 + claim.reply  # about four bytes a token
        while self._sent and self._sent[0][0] <= now - WINDOW:
            self._used -= self._sent.popleft()[1]
        number, tokens, free = len(self._sent), self._used, now
        for when, old in self._sent:
            if number + 1 <= self.requests and tokens + size <= self.tokens:
                break
            number, tokens, free = number - 1, tokens - old, when + WINDOW
        if free > now:
            return free - now
        self._sent.append((now, size))
        self._used += size
        return 0.0


_ledger: ContextVar[Ledger | None] = ContextVar("_ledger", default=None)


@contextmanager
def spending(limits: Limits) -> Iterator[Ledger]:
    """Hold everything that is asked inside the block, in this thread, to `limits`."""
    ledger = Ledger(limits)
    token = _ledger.set(ledger)
    try:
        yield ledger
    finally:
        _ledger.reset(token)


def current() -> Ledger:
    """The innermost ledger of this thread; outside `spending` one without limits."""
    ledger = _ledger.get()
    if ledger is None:
        _ledger.set(ledger := Ledger(Limits(), of_run=False))
    return ledger
