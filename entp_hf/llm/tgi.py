"""TGI's native API: text generation with a grammar that the reply is held to, and its own count of tokens.

Through the `text-generation` client where it is installed, else by plain HTTP to the same route. TGI's chat route
needs neither: `openai.OpenAIChat` speaks it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .http import Failure, connection_failed, failure_of_status
from .openai import OpenAIChat
from .protocol import ChatReply, ChatRequest
from .server_state import SchemaLevel, ServerState
from .tokens import count_text, local_tokenizer, templated

# The client tells kinds of errors, not statuses: these are TGI's own. Its KeyError is an error body without a text.
_STATUS = {"RateLimitExceededError": 429, "OverloadedError": 429, "ValidationError": 422, "BadRequestError": 400,
           "NotFoundError": 404, "GenerationError": 500, "IncompleteGenerationError": 500, "ShardNotReadyError": 503,
           "ShardTimeoutError": 504, "UnknownError": 500}  # fmt: skip


@dataclass(frozen=True)
class TGIChat(OpenAIChat):
    """Text generation by the TGI server `endpoint` (its root, without /v1).

    The conversation is put into the model's own chat template where its tokenizer is on this machine, and else shown
    turn by turn in plain text. `native`: use the `text-generation` client; None: where it is installed.
    """

    native: bool | None = None
    cache_dir: str = ""

    @property
    def name(self) -> str:
        """As a chat client's, marked: the same model answers differently here."""
        return f"{super().name}#generate"

    @property
    def _native(self) -> bool:
        return importlib.util.find_spec("text_generation") is not None if self.native is None else self.native

    @property
    def levels(self) -> tuple[SchemaLevel, ...]:
        """A grammar, or none."""
        return SchemaLevel.FULL, SchemaLevel.NONE

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """Either client."""
        if not self._native:
            return super().connect(key)
        from text_generation import AsyncClient

        headers = {"Authorization": f"Bearer {key}"} if key else None
        return nullcontext(AsyncClient(self.endpoint, headers=headers, timeout=self.timeout))

    def adapt(self, failure: Failure, request: ChatRequest, state: ServerState) -> str:
        """No parameter of this route is left out."""
        return ""

    async def slots(self, http: Any) -> int:
        """Not told."""
        return 0

    async def alive(self, http: Any) -> bool:
        """Asked by plain HTTP alone."""
        return not self._native and await super().alive(http)

    async def send(
        self, http: Any, request: ChatRequest, level: SchemaLevel, state: ServerState, heard: Callable[[int], None]
    ) -> ChatReply | Failure:
        """One generation, not streamed."""
        text, known = self._prompt(request)
        form: dict[str, Any] = {"max_new_tokens": request.max_tokens, "decoder_input_details": known == 0}
        if request.temperature > 0:
            form |= {"do_sample": True, "temperature": request.temperature}
        with_grammar = request.schema and level == SchemaLevel.FULL
        grammar = {"type": "json", "value": json.loads(request.schema)} if with_grammar else None
        if self._native:
            out = await http.generate(text, grammar=grammar, **form)
        else:
            parameters = {**form, "details": True, **({"grammar": grammar} if grammar else {}), **self.extras}
            url = self.endpoint.rstrip("/") + "/generate"
            async with http.post(url, json={"inputs": text, "parameters": parameters}) as response:
                data = await response.read()
                if response.status >= 400:
                    return failure_of_status(response.status, data.decode("utf-8", "replace"), response.headers)
            out = json.loads(data, object_hook=lambda found: SimpleNamespace(**found))
        heard(0)
        return _read(out, known)

    def _prompt(self, request: ChatRequest) -> tuple[str, int]:
        """The conversation as one text, and its number of tokens; 0 where the model's tokenizer is not at hand."""
        tokenizer = local_tokenizer(self.model, self.cache_dir)
        if tokenizer is not None:
            text = templated(tokenizer, request)
            return text, count_text(tokenizer, text)
        if len(request.messages) == 1:
            return request.messages[0][1], 0
        return "\n\n".join(f"{role}: {said}" for role, said in (*request.messages, ("assistant", ""))).rstrip(), 0

    def failure(self, error: Exception) -> Failure | None:
        """What an exception of either client means."""
        if not self._native:
            return super().failure(error)
        import aiohttp
        import pydantic

        status = _STATUS.get(type(error).__name__, 0) if type(error).__module__ == "text_generation.errors" else 0
        if status:
            return failure_of_status(status, str(error), {})
        if isinstance(error, aiohttp.ContentTypeError):
            return failure_of_status(error.status, error.message, error.headers or {})
        if isinstance(error, aiohttp.ClientConnectorError):
            return connection_failed(f"{type(error).__name__}: {error}")
        if isinstance(error, aiohttp.ClientError):
            return Failure(f"{type(error).__name__}: {error}", retryable=True)
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | pydantic.ValidationError | LookupError):
            return Failure(f"the server's answer is not TGI's: {type(error).__name__}", retryable=True)
        return None


def _read(out: Any, known: int) -> ChatReply | Failure:
    details = getattr(out, "details", None)
    text = getattr(out, "generated_text", None)
    if details is None or text is None:
        return Failure("the server's answer is no text generation with details", retryable=True)
    asked, drawn = known or len(getattr(details, "prefill", None) or []), int(details.generated_tokens)
    if details.finish_reason == "length":
        return ChatReply(text, "length", asked, drawn)
    if not text.strip():
        return ChatReply("", "error", asked, drawn, f"the model gave an empty answer ({details.finish_reason})")
    return ChatReply(text, "stop", asked, drawn)
