"""A model behind a server or an Inference Provider: many calls at once, none lost to a busy or failing server."""

from __future__ import annotations

import asyncio
import json
import queue
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigError, EntpError
from ..progress import Bar
from . import ChatReply, ChatRequest
from .wire import MOST_PATIENCE, Failure, Slots, Verbatim, find_key, read_completion, retry_after, scrub

BACKOFF = 0.5  # seconds before the first repeat, doubled for each further one (ours)
LONGEST_WAIT = 60.0  # seconds; the most that doubling leads to (ours)
MOST_CALLS = 100  # the HTTP client has no more connections, and waiting for one would eat up the call's time
_refuse_schema: set[str] = set()  # names of clients whose server answered 400 or 422 to a response_format


@dataclass(frozen=True)
class HubChat:
    """Chat completions of `model` by the server `endpoint` (OpenAI's protocol), or by an Inference Provider.

    The key is looked up at each `chat`, and kept nowhere. ENTP_API_KEY goes to whatever is configured; OPENAI_API_KEY
    to an endpoint, or to the provider openai; HF_TOKEN, or else the login of `hf auth login`, to Hugging Face's hosts
    and providers only.

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
            f"{self.model}@{parts.netloc}{parts.path.rstrip('/')}" if self.endpoint else f"{self.model}@{self._route}"
        )

    @property
    def _route(self) -> str:
        return self.provider or "auto"

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
        batch = _Batch(self, requests, inbox)
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

    client: HubChat
    requests: Sequence[ChatRequest]
    inbox: queue.SimpleQueue[tuple[int, ChatReply] | BaseException | None]
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
        from huggingface_hub import AsyncInferenceClient

        me = self.client
        self.key = find_key(me.endpoint, me.provider)
        # Without the None, the hub's client would send the token of its own login to any server.
        headers: Any = None if self.key else {"authorization": None}
        where: dict[str, Any] = {"base_url": me.endpoint} if me.endpoint else {"provider": me._route}
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        slots = Slots(min(me.concurrency, MOST_CALLS))
        http = AsyncInferenceClient(**where, api_key=self.key or None, timeout=me.timeout, headers=headers)
        async with http:
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
        tries = 0
        while True:
            async with slots:
                since = slots.cuts
                with_schema = bool(request.schema) and self.client.name not in _refuse_schema
                result = await self._call(http, request, with_schema)
                if isinstance(result, Failure) and with_schema and result.status in (400, 422):
                    result = await self._call(http, request, False)
                    if not isinstance(result, Failure):
                        _refuse_schema.add(self.client.name)
            if not isinstance(result, Failure):
                self.answered = True
                slots.grow()
                return result
            if result.fatal and not self.answered:
                raise EntpError(f"{self.client.name}: {result.text}; {result.way_out}")
            if result.status == 429:
                slots.halve(since)
            if not result.again or tries >= self.client.retries:
                suffix = f" (given up after {tries + 1} tries)" if tries else ""
                return ChatReply(finish_reason="error", error=result.text + suffix)
            backoff = min(BACKOFF * 2**tries, LONGEST_WAIT) * (0.5 + random.random() / 2)
            wait = max(result.wait, backoff)
            if result.status == 429 and result.wait:
                slots.pause(wait)
            tries += 1
            await asyncio.sleep(wait)

    async def _call(self, http: Any, request: ChatRequest, with_schema: bool) -> ChatReply | Failure:
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled
        from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

        form: dict[str, Any] = {}
        if with_schema:
            schema = {"name": "reply", "schema": json.loads(request.schema)}
            form["response_format"] = Verbatim(type="json_schema", json_schema=schema)
        try:
            async with asyncio.timeout(self.client.timeout):
                out = await http.chat_completion(
                    request.as_messages(), model=self.client.model, max_tokens=request.max_tokens,
                    temperature=request.temperature, **form,
                )  # fmt: skip
            return read_completion(out)
        except HfHubHTTPError as error:
            return self._refused(error)
        except (TimeoutError, InferenceTimeoutError):
            return Failure(f"no answer within {self.client.timeout:g} s", again=True)
        except OfflineModeIsEnabled:
            return Failure("HF_HUB_OFFLINE is set", fatal=True, way_out="unset it to call a server")
        except TransportError as error:  # connection refused, reset, closed early
            return Failure(self._clean(f"{type(error).__name__}: {error}"), again=True)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            return Failure(self._clean(f"the server's answer is not JSON: {error}"), again=True)
        except ValueError as error:  # the hub's client, before any call: no key, or a provider without this model
            return Failure(self._clean(str(error)), fatal=True, way_out="check provider and model, or set HF_TOKEN")

    def _refused(self, error: Any) -> Failure:
        status = error.response.status_code
        text = self._clean(f"HTTP {status}: {error.server_message or error.response.text}")
        again = status in (408, 429) or status >= 500
        way_out = {
            401: "check the key: ENTP_API_KEY, OPENAI_API_KEY or HF_TOKEN, as the server wants",
            403: "the key may not use this model: check its rights",
            404: "check the model's name and the endpoint's path",
        }.get(status, "")
        wait = retry_after(error.response.headers)
        if again and wait > MOST_PATIENCE:
            return Failure(f"{text}; it asks to wait {wait:.0f} s, over the {MOST_PATIENCE:.0f} s that we do", status)
        return Failure(text, status, again, wait, bool(way_out), way_out)

    def _clean(self, text: str) -> str:
        return scrub(text, self.key)
