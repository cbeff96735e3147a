"""Concurrent requests with retries; replies keep the order of requests, within budget and pace.

Building the request and reading the answer is the part of the clients: `openai.OpenAIChat`, `hub.HubChat`,
`tgi.TGIChat`.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigError, EntpError
from ..execution.progress import Bar
from .budget import Claim, Ledger, current
from .completion import prompt_was_cut
from .http import Failure, Slots, find_key, scrub
from .protocol import BUDGET, ChatReply, ChatRequest
from .server_state import SchemaLevel, ServerState
from .tokens import count_prompts, local_tokenizer

# Not in the paper, as all constants here.
BACKOFF = 0.5  # seconds before the first repeat, doubled for each further one
LONGEST_WAIT = 60.0  # seconds; the most that doubling leads to
MOST_CALLS = 100  # the HTTP clients have no more connections, and waiting for one would eat up the call's time
FIRST_CALLS = 4  # at once, to a server whose slots are not known
MOST_MEASURED = 64  # calls at once that measuring leads to
OVERTAKEN = 0.25  # of `timeout`: a call that began so much later and has been answered was not behind in the queue
QUEUED = 10  # times `timeout` that a call may wait for its first token while the server answers others
START_PAUSE = 3.0  # seconds between two looks at a server that is starting
NARRATE = 0.5  # seconds between two looks at the calls for the progress bar
_TOO_LONG = ("context length", "context size", "context window", "maximum context", "too long", "too many tokens")
_SCHEMA_WORDS = ("schema", "response_format", "json", "grammar", "guided", "structured", "format")


@dataclass(frozen=True)
class ServerChat:
    """A model behind HTTP. The key is looked up at each `chat` and kept nowhere (`http.find_key`).

    429, 408, 5xx, broken connections and time-outs are repeated, as long after as the server says, without holding a
    slot meanwhile. The slots halve at a 429 or a time-out and grow back.

    Args:
        model: the server's name for the model.
        endpoint: base URL; `provider` where empty.
        provider: of Hugging Face's Inference Providers.
        concurrency: calls at once; 0: as many as the server computes at once, or found out by measuring.
        timeout: seconds of silence that end a call; each repeat of a call that timed out gets twice as many.
        retries: repeats of one call.
        start_timeout: seconds that a server may answer 502, 503 or 504 before its first reply, while it loads.
        max_failure_rate: share of failed calls, of 50 or more, that ends the asking.
        thinking: auto | off.
        extras_json: further parameters of a request, as a JSON object.
        shared_key: False: only a key of this host's own is sent (see `http.find_key`).
    """

    model: str
    endpoint: str = ""
    provider: str = ""
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 5
    start_timeout: float = 600.0
    max_failure_rate: float = 0.5
    thinking: str = "auto"
    extras_json: str = ""
    shared_key: bool = True
    own_state: ServerState = field(default_factory=ServerState, compare=False, repr=False)

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
        """Model and host, or model and provider; then what else changes its replies."""
        parts = urlsplit(self.endpoint)
        place = f"{parts.netloc}{parts.path.rstrip('/')}" if self.endpoint else self.route
        thinking = "#thinking=off" if self.thinking == "off" else ""
        extras = f"#{hashlib.blake2b(self.extras_json.encode(), digest_size=4).hexdigest()}" if self.extras else ""
        return f"{self.model}@{place}{thinking}{extras}"

    @property
    def route(self) -> str:
        """The provider asked, where there is no endpoint."""
        return self.provider or "auto"

    @property
    def extras(self) -> dict[str, Any]:
        """Further parameters of each request."""
        return _parsed(self.extras_json)

    @property
    def levels(self) -> tuple[SchemaLevel, ...]:
        """How a reply can be held to a schema, in the order of trying."""
        return tuple(SchemaLevel)

    def below(self, request: ChatRequest, level: SchemaLevel) -> SchemaLevel:
        """The next level that asks less of the server, for this request's schema."""
        return next((lower for lower in self.levels if lower > level), SchemaLevel.NONE)

    def state(self) -> ServerState:
        """What the run has learned of this server; outside of runs, what this client has."""
        ledger = current()
        return ledger.server(self.name) if ledger.of_run else self.own_state

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """The HTTP client, as an asynchronous context manager."""
        raise NotImplementedError

    async def send(
        self, http: Any, request: ChatRequest, level: SchemaLevel, state: ServerState, heard: Callable[[int], None]
    ) -> ChatReply | Failure:
        """One call. May raise what the HTTP client raises for a failed one, see `failure`.

        Args:
            http: the client that `connect` gave.
            request: what to ask.
            level: how to hold the reply to the request's schema.
            state: what is known of the server.
            heard: to be called with the number of new tokens whenever the server sends something.
        """
        raise NotImplementedError

    def failure(self, error: Exception) -> Failure | None:
        """What an exception of `send` means; None for one that is not of the client's."""
        raise NotImplementedError

    def adapt(self, failure: Failure, request: ChatRequest, state: ServerState) -> str:
        """Learn from a refusal which parameter to leave out; its name, or "" where none is meant."""
        return ""

    async def slots(self, http: Any) -> int:
        """Calls that the server says it computes at once; 0: it does not say."""
        return 0

    async def alive(self, http: Any) -> bool:
        """Whether the server answers a question about itself, while it answers no call."""
        return False

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
        batch = _Batch(self, requests, inbox, current(), self.state())
        thread = threading.Thread(target=batch.run, name="entp-chat", daemon=True)
        thread.start()
        try:
            with Bar(len(requests), desc or "Asking", "call") as bar:
                while True:
                    try:
                        item = inbox.get(timeout=NARRATE)
                    except queue.Empty:
                        bar.doing(batch.narration())
                        continue
                    if item is None:
                        return
                    if isinstance(item, BaseException):
                        raise item
                    bar.update()
                    yield item
        finally:
            batch.cancel()
            thread.join()


@functools.cache
def _parsed(text: str) -> dict[str, Any]:
    return dict(json.loads(text)) if text else {}


@dataclass
class _Batch:
    """The calls of one `stream`, in one event loop in one thread."""

    client: ServerChat
    requests: Sequence[ChatRequest]
    inbox: queue.SimpleQueue[tuple[int, ChatReply] | BaseException | None]
    ledger: Ledger
    state: ServerState
    key: str = field(default="", repr=False)
    task: asyncio.Task[None] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    cancelled: bool = False
    heard_at: float = 0.0  # when the server last sent something, in the loop's time
    spoken_begun: float = 0.0  # when the latest of the calls that have had a token began
    tokens: int = 0  # that were streamed
    begun: float = field(default_factory=time.monotonic)
    open: int = 0
    starting_since: float | None = None

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

    def narration(self) -> str:
        """What goes on while nothing is finished, for the progress bar."""
        if self.starting_since is not None:
            waited = time.monotonic() - self.starting_since
            return f"the server is starting, {waited:.0f} of {self.client.start_timeout:.0f} s"
        parts = [f"{self.open} open"]
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens, {self.tokens / (time.monotonic() - self.begun):.1f}/s")
        parts += [f"{self.state.retried} repeated"] * bool(self.state.retried)
        parts += [f"{self.state.timed_out} timed out"] * bool(self.state.timed_out)
        return ", ".join(parts)

    async def _main(self) -> None:
        client, state = self.client, self.state
        self.key = find_key(client.endpoint, client.provider, client.shared_key)
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        self.heard_at = self.loop.time()
        async with client.connect(self.key) as http:
            if self.cancelled:
                return
            if client.concurrency:
                slots = Slots(min(client.concurrency, MOST_CALLS))
            else:
                if state.slots is None:
                    state.slots = await client.slots(http)
                known = min(state.slots, MOST_CALLS)
                slots = Slots(known or MOST_MEASURED, known or FIRST_CALLS)
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
            reply = await _Call(self, http, slots, request).answer()
            if reply.made:
                self.state.book(request, reply, self.client.max_failure_rate)
            self.inbox.put((i, reply))

    def check_prompt(self, request: ChatRequest, reply: ChatReply) -> ChatReply:
        """The reply, or an error in its place where the server has cut the prompt."""
        state, counted = self.state, reply.prompt_tokens
        why = prompt_was_cut(request, counted, state.prompts)
        if why and (tokenizer := local_tokenizer(self.client.model, "")) is not None:
            why = prompt_was_cut(request, counted, state.prompts, count_prompts(tokenizer, [request])[0])
        if counted:
            state.prompts = min(state.prompts[0], counted), max(state.prompts[1], counted)
        if not why:
            return reply
        state.warn("cut", f"{self.client.name}: {why}. Its replies to such prompts are refused")
        return ChatReply("", "error", counted, reply.completion_tokens, why)


class _Call:
    """One request, until it is answered or given up."""

    def __init__(self, batch: _Batch, http: Any, slots: Slots, request: ChatRequest) -> None:
        self.batch, self.http, self.slots, self.request = batch, http, slots, request
        self.client, self.state, self.ledger = batch.client, batch.state, batch.ledger
        self.claim = Claim.of(request)
        self.tries = self.timeouts = 0
        self.level: SchemaLevel | None = None  # lower than the server's, where this request was refused
        self.refusals: list[tuple[SchemaLevel, bool]] = []  # levels that were refused, and if the schema was named
        self.adapted: list[str] = []
        self.first_token = 0.0

    async def answer(self) -> ChatReply:
        """The reply; raises EntpError where key, model or address are wrong and nothing was answered yet."""
        while True:
            async with self.slots:
                wait = 0.0
                while not wait:  # a refused parameter is left out at once, before other calls meet the same refusal
                    if self.state.stopped:
                        return ChatReply(finish_reason=BUDGET, error=self.state.stopped)
                    wait, why = self.ledger.enter(self.claim)
                    if why:
                        return ChatReply(finish_reason=BUDGET, error=why)
                    if wait:
                        break
                    cuts, level = self.slots.cuts, self._level()
                    result = await self._send(level)
                    if isinstance(result, ChatReply):
                        return self._answered(result, level)
                    after = self._after(result, level, cuts)
                    if isinstance(after, ChatReply):
                        return after
                    wait = after
            await asyncio.sleep(min(wait, max(self.ledger.seconds_left(), 0.0)))

    def _level(self) -> SchemaLevel:
        """The strictest level that neither the server nor, for this request, a refusal has ruled out."""
        if not self.request.schema:
            return SchemaLevel.NONE
        least = self.state.schema_level if self.level is None else max(self.level, self.state.schema_level)
        return next((level for level in self.client.levels if level >= least), SchemaLevel.NONE)

    def _answered(self, reply: ChatReply, level: SchemaLevel) -> ChatReply:
        state = self.state
        if not state.answered or self.batch.starting_since is not None:
            self.batch.starting_since = None
            self.slots.release()
        state.answered = True
        if self.request.schema:
            for refused, named in self.refusals:
                state.refuse_schema(refused, named)
            state.schema_accepted.add(level)
        self.slots.grow(self.first_token)
        return self.batch.check_prompt(self.request, reply)

    def _after(self, failure: Failure, level: SchemaLevel, cuts: int) -> ChatReply | float:
        """Seconds until the next try, or the reply of a call that is given up."""
        client, state = self.client, self.state
        text = scrub(failure.text, self.batch.key)
        if (parameter := client.adapt(failure, self.request, state)) and self.adapted.count(parameter) < 2:
            self.adapted.append(parameter)
            return 0.0
        if self._schema_refused(failure, level):
            return 0.0
        if failure.exhausted and state.answered:
            state.stopped = state.stopped or f"{client.name}: {text}; {failure.hint}"
            return ChatReply(finish_reason=BUDGET, error=state.stopped)
        if failure.starting and not state.answered and (wait := self._starting(failure)):
            return wait
        last = not failure.retryable or self.tries >= client.retries
        if (failure.fatal or failure.exhausted or (failure.connection_failed and last)) and not state.answered:
            raise EntpError(f"{client.name}: {text}; {failure.hint}")
        if failure.fatal and failure.status == 401:
            state.stopped = state.stopped or f"{client.name}: {text}; {failure.hint}"
            return ChatReply(finish_reason=BUDGET, error=state.stopped)
        if last:
            suffix = f" (given up after {self.tries + 1} tries)" if self.tries else ""
            return ChatReply(finish_reason="error", error=text + suffix)
        if failure.timed_out:
            self.timeouts += 1
            state.timed_out += 1
            self.slots.halve(cuts)
        state.retried += 1
        wait = _wait(failure, self.tries, self.slots, cuts)
        self.tries += 1
        return wait

    def _schema_refused(self, failure: Failure, level: SchemaLevel) -> bool:
        """True if the call is to be tried with a schema that asks less; see `ServerState.refuse_schema`."""
        said = failure.text.lower()
        if not self.request.schema or level == SchemaLevel.NONE or any(words in said for words in _TOO_LONG):
            return False
        named = any(words in said for words in _SCHEMA_WORDS)
        by_status = failure.status in (400, 422, 501) or (failure.status == 404 and named)
        if "json_validate_failed" in said:  # this reply did not fit, the schema is understood
            self.level = SchemaLevel.NONE
            return True
        # A server that fails at schemas answers 500 each time; one that fails now and then does not.
        by_fault = failure.status >= 500 and not failure.starting and self.tries >= 2
        if not (by_status or by_fault):
            return False
        self.refusals.append((level, named and by_status))
        self.level = self.client.below(self.request, level)
        return True

    def _starting(self, failure: Failure) -> float:
        """Seconds until the next look at a server that is loading its model; 0.0 where it has had its time."""
        batch, now = self.batch, time.monotonic()
        if batch.starting_since is None:
            batch.starting_since = now
        if now - batch.starting_since >= self.client.start_timeout:
            return 0.0
        wait = max(failure.wait, min(START_PAUSE, 4 * BACKOFF))
        self.slots.hold(wait)
        return wait

    async def _send(self, level: SchemaLevel) -> ChatReply | Failure:
        """One call, booked in the ledger however it ends."""
        client, result = self.client, None
        self.batch.open += 1
        try:
            result = await self._watched(level)
        except TimeoutError as error:
            limit = client.timeout * 2**self.timeouts
            result = client.failure(error) or Failure(f"no answer within {limit:g} s", retryable=True, timed_out=True)
        except Exception as error:  # the clients' kinds are known; any other is a fault of ours, and goes on its way
            result = client.failure(error)
            if result is None:
                raise
        finally:
            self.batch.open -= 1
            refused = isinstance(result, Failure) and result.status > 0
            self.ledger.settle(self.claim, result if isinstance(result, ChatReply) else None, free=refused)
        return result

    async def _watched(self, level: SchemaLevel) -> ChatReply | Failure:
        """`send`, ended by TimeoutError after `timeout` seconds of silence.

        Before its first token a call may be waiting in the server's queue: then the silence counts from the last time
        that the server sent anything to any call, up to `QUEUED` times the limit. A call that others have overtaken is
        in no queue. A server of one's own that answers `alive` may be reading prompts, which takes minutes on CPUs.
        """
        batch, loop = self.batch, asyncio.get_running_loop()
        begun = last = loop.time()
        limit, end = self.client.timeout * 2**self.timeouts, begun + self.ledger.seconds_left()
        spoke = False

        def heard(tokens: int) -> None:
            nonlocal last, spoke
            last = batch.heard_at = loop.time()
            if not spoke:
                spoke, self.first_token = True, last - begun
                batch.spoken_begun = max(batch.spoken_begun, begun)
            batch.tokens += tokens

        def silent_since() -> float:
            overtaken = batch.spoken_begun > begun + OVERTAKEN * limit
            return last if spoke or overtaken else max(begun, batch.heard_at)

        task = asyncio.ensure_future(self.client.send(self.http, self.request, level, self.state, heard))
        try:
            while True:
                silent = silent_since()
                until = min(silent + limit, end, end if spoke else begun + QUEUED * limit)
                done, _ = await asyncio.wait({task}, timeout=max(0.0, until - loop.time()))
                if done:
                    heard(0)
                    return task.result()
                if loop.time() < until or silent != silent_since():
                    continue
                if not spoke and loop.time() < min(end, begun + QUEUED * limit) and batch.spoken_begun <= begun:
                    if await self.client.alive(self.http):
                        batch.heard_at = loop.time()
                        continue
                raise TimeoutError
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def _wait(failure: Failure, tries: int, slots: Slots, cuts: int) -> float:
    """Seconds before the next try; a 429 slows the others down too."""
    if failure.status == 429:
        slots.halve(cuts)
    wait: float = max(failure.wait, min(BACKOFF * 2**tries, LONGEST_WAIT) * (0.5 + random.random() / 2))
    if failure.status == 429 and failure.wait:
        slots.pause(wait)
    return wait
