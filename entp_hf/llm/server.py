"""Many calls to a server at once: repeated where that helps, within budget and pace, none lost or mixed up.

What is sent, and how an answer is read, is the part of the clients: `hub.HubChat`, `tgi.TGIChat`.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigError, EntpError
from ..execution.progress import Bar
from .budget import Claim, Ledger, current
from .http import Failure, Slots, find_key, scrub
from .protocol import BUDGET, ChatReply, ChatRequest

BACKOFF = 0.5  # seconds before the first repeat, doubled for each further one (ours)
LONGEST_WAIT = 60.0  # seconds; the most that doubling leads to (ours)
MOST_CALLS = 100  # the HTTP clients have no more connections, and waiting for one would eat up the call's time
refuse_schema: set[str] = set()  # names of clients whose server answered 400 or 422 to a schema


@dataclass(frozen=True)
class ServerChat:
    """A model behind HTTP. The key is looked up at each `chat`, and kept nowhere (see `wire.find_key`).

    429, 408, 5xx, broken connections and timeouts are repeated up to `retries` times, as long after as the server
    says, without holding one of the `concurrency` slots meanwhile. The slots halve at a 429 and grow back.
    """

    model: str
    endpoint: str = ""
    provider: str = ""
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 5

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        secrets = [
            name for name, _ in parse_qsl(parts.query) if any(s in name.lower() for s in ("key", "token", "sig"))
        ]
        if self.endpoint and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ConfigError(
                [f"endpoint: {scrub(self.endpoint, '')!r} is no web address; give http://... or https://..."]
            )
        if parts.password or parts.username or secrets:
            raise ConfigError(["endpoint: holds a user, a password or a key; put the key into $ENTP_API_KEY instead"])

    @property
    def name(self) -> str:
        """Model and host, or model and provider."""
        parts = urlsplit(self.endpoint)
        return (
            f"{self.model}@{parts.netloc}{parts.path.rstrip('/')}" if self.endpoint else f"{self.model}@{self.route}"
        )

    @property
    def route(self) -> str:
        """The provider asked, where there is no endpoint."""
        return self.provider or "auto"

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """The HTTP client, as an asynchronous context manager."""
        raise NotImplementedError

    async def send(self, http: Any, request: ChatRequest, with_schema: bool) -> ChatReply | Failure:
        """One call. May raise what the HTTP client raises for a failed one; `failure` tells what that means."""
        raise NotImplementedError

    def failure(self, error: Exception) -> Failure | None:
        """What an exception of `send` means; None for one that is not of the client's."""
        raise NotImplementedError

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Answer all requests, in order. Raises EntpError if the server refuses key or model from the start."""
        replies = dict(self.stream(requests, desc))
        return [replies[i] for i in range(len(requests))]

    def stream(self, requests: Sequence[ChatRequest], desc: str = "") -> Iterator[tuple[int, ChatReply]]:
        """Yield (index, reply) as they arrive. The calls run in a thread of their own, so an event loop may be running
        in the caller's; leaving the iteration early cancels them.
        """
        if not requests:
            return
        inbox: queue.SimpleQueue[tuple[int, ChatReply] | BaseException | None] = queue.SimpleQueue()
        batch = _Batch(self, requests, inbox, current())
        thread = threading.Thread(target=batch.run, name="entp-chat", daemon=True)
        thread.start()
        try:
            with Bar(len(requests), desc or "Asking", "call") as bar:
                while (item := inbox.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    bar.update()
                    yield item
        finally:
            batch.cancel()
            thread.join()


@dataclass
class _Batch:
    """The calls of one `stream`, in one event loop in one thread."""

    client: ServerChat
    requests: Sequence[ChatRequest]
    inbox: queue.SimpleQueue[tuple[int, ChatReply] | BaseException | None]
    ledger: Ledger
    key: str = field(default="", repr=False)
    answered: bool = False  # once a call has gone through, key and model are known to be right
    task: asyncio.Task[None] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    cancelled: bool = False

    def run(self) -> None:
        """Make all calls, then end the inbox, with the error if there is one for all of them."""
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            self.inbox.put(None)
        except BaseException as error:  # it is raised again in the caller's thread
            self.inbox.put(error)
        else:
            self.inbox.put(None)

    def cancel(self) -> None:
        """Stop all calls; from another thread."""
        self.cancelled = True
        if self.loop and self.task and not self.loop.is_closed():
            try:
                self.loop.call_soon_threadsafe(self.task.cancel)
            except RuntimeError:  # closed between the question and the call: it has ended by itself
                return

    async def _main(self) -> None:
        me = self.client
        self.key = find_key(me.endpoint, me.provider)
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        slots = Slots(min(me.concurrency, MOST_CALLS))
        async with me.connect(self.key) as http:
            if self.cancelled:
                return
            # A few workers, not a task for each request: a pool may have 100,000.
            pending = iter(enumerate(self.requests))
            workers = [self._work(http, slots, pending) for _ in range(4 * slots.most)]
            calls = [asyncio.create_task(worker) for worker in workers[: len(self.requests)]]
            for unused in workers[len(self.requests) :]:
                unused.close()
            try:
                await asyncio.gather(*calls)
            finally:
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)

    async def _work(self, http: Any, slots: Slots, pending: Iterator[tuple[int, ChatRequest]]) -> None:
        for i, request in pending:
            self.inbox.put((i, await self._answer(http, slots, request)))

    async def _answer(self, http: Any, slots: Slots, request: ChatRequest) -> ChatReply:
        tries, plain, claim = 0, False, Claim.of(request)
        while True:
            async with slots:
                wait, why = self.ledger.enter(claim)
                if why:
                    return ChatReply(finish_reason=BUDGET, error=why)
                since, begun = slots.cuts, asyncio.get_running_loop().time()
                with_schema = bool(request.schema) and not plain and self.client.name not in refuse_schema
                result = Failure("") if wait else await self._call(http, request, with_schema, claim)
            if not isinstance(result, Failure):
                self.answered = True
                if plain:
                    refuse_schema.add(self.client.name)
                slots.grow(asyncio.get_running_loop().time() - begun)
                return result
            if not wait:
                if with_schema and result.status in (400, 422):
                    plain = True
                    continue
                last = not result.again or tries >= self.client.retries
                if (result.fatal or (result.unreached and last)) and not self.answered:
                    raise EntpError(f"{self.client.name}: {scrub(result.text, self.key)}; {result.way_out}")
                if last:
                    suffix = f" (given up after {tries + 1} tries)" if tries else ""
                    return ChatReply(finish_reason="error", error=scrub(result.text, self.key) + suffix)
                wait = _wait(result, tries, slots, since)
                tries += 1
            await asyncio.sleep(min(wait, max(self.ledger.seconds_left(), 0.0)))

    async def _call(self, http: Any, request: ChatRequest, with_schema: bool, claim: Claim) -> ChatReply | Failure:
        """One call, booked in the ledger however it ends."""
        client, result = self.client, None
        try:
            async with asyncio.timeout(min(client.timeout, max(self.ledger.seconds_left(), 0.001))):
                result = await client.send(http, request, with_schema)
        except TimeoutError:
            result = Failure(f"no answer within {client.timeout:g} s", again=True)
        except Exception as error:  # the clients' kinds are known; any other is a fault of ours, and goes on its way
            result = client.failure(error)
            if result is None:
                raise
        finally:
            refused = isinstance(result, Failure) and result.status > 0
            self.ledger.settle(claim, result if isinstance(result, ChatReply) else None, free=refused)
        return result


def _wait(result: Failure, tries: int, slots: Slots, since: int) -> float:
    """Seconds before the next try; a 429 slows the others down too."""
    if result.status == 429:
        slots.halve(since)
    wait: float = max(result.wait, min(BACKOFF * 2**tries, LONGEST_WAIT) * (0.5 + random.random() / 2))
    if result.status == 429 and result.wait:
        slots.pause(wait)
    return wait
