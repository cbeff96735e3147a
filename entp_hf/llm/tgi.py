"""TGI's native API: text generation with a grammar that the reply is held to, and its own count of tokens.

Through the `text-generation` client where it is installed, else through the hub client's `text_generation`; both post
to the same route. TGI's chat route needs neither: `hub.HubChat` speaks it.
"""

from __future__ import annotations

import importlib.util
import json
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from .http import Failure, refused, unreached
from .hub import hub_client, hub_failure
from .protocol import ChatReply, ChatRequest
from .server import ServerChat
from .tokens import count_text, local_tokenizer, templated

# The client tells kinds of errors, not statuses: these are TGI's own. Its KeyError is an error body without a text.
_STATUS = {"RateLimitExceededError": 429, "OverloadedError": 429, "ValidationError": 422, "BadRequestError": 400,
           "NotFoundError": 404, "GenerationError": 500, "IncompleteGenerationError": 500, "ShardNotReadyError": 503,
           "ShardTimeoutError": 504, "UnknownError": 500}  # fmt: skip


@dataclass(frozen=True)
class TGIChat(ServerChat):
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

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """Either client."""
        if not self._native:
            return hub_client({"model": self.endpoint}, key, self.timeout)
        from text_generation import AsyncClient

        headers = {"Authorization": f"Bearer {key}"} if key else None
        return nullcontext(AsyncClient(self.endpoint, headers=headers, timeout=self.timeout))

    async def send(self, http: Any, request: ChatRequest, with_schema: bool) -> ChatReply | Failure:
        """One generation."""
        text, known = self._prompt(request)
        form: dict[str, Any] = {"max_new_tokens": request.max_tokens, "decoder_input_details": known == 0}
        if request.temperature > 0:
            form |= {"do_sample": True, "temperature": request.temperature}
        grammar = {"type": "json", "value": json.loads(request.schema)} if with_schema else None
        if self._native:
            out = await http.generate(text, grammar=grammar, **form)
        else:
            out = await http.text_generation(text, details=True, stream=False, grammar=grammar, **form)
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
            from huggingface_hub.errors import HfHubHTTPError

            wrapped = error.__cause__  # kinds of errors of TGI's own wrap the response, which says more
            return hub_failure(wrapped if isinstance(wrapped, HfHubHTTPError) else error, self.timeout)
        import aiohttp
        import pydantic

        status = _STATUS.get(type(error).__name__, 0) if type(error).__module__ == "text_generation.errors" else 0
        if status:
            return refused(status, str(error), {})
        if isinstance(error, aiohttp.ContentTypeError):
            return refused(error.status, error.message, error.headers or {})
        if isinstance(error, aiohttp.ClientConnectorError):
            return unreached(f"{type(error).__name__}: {error}")
        if isinstance(error, aiohttp.ClientError):
            return Failure(f"{type(error).__name__}: {error}", again=True)
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | pydantic.ValidationError | LookupError):
            return Failure(f"the server's answer is not TGI's: {type(error).__name__}", again=True)
        return None


def _read(out: Any, known: int) -> ChatReply | Failure:
    details = getattr(out, "details", None)
    text = getattr(out, "generated_text", None)
    if details is None or text is None:
        return Failure("the server's answer is no text generation with details", again=True)
    asked, drawn = known or len(details.prefill or []), int(details.generated_tokens)
    if details.finish_reason == "length":
        return ChatReply(text, "length", asked, drawn)
    if not text.strip():
        return ChatReply("", "error", asked, drawn, f"the model gave an empty answer ({details.finish_reason})")
    return ChatReply(text, "stop", asked, drawn)
