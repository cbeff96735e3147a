"""Chat completions by Hugging Face Inference Providers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from .completion import read_completion
from .http import Failure, connection_failed, failure_of_status
from .openai import OpenAIChat
from .protocol import ChatReply, ChatRequest
from .server_state import SchemaLevel, ServerState

_NAMED = ("max_tokens", "temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "logprobs",
          "top_logprobs")  # fmt: skip


@dataclass(frozen=True)
class HubChat(OpenAIChat):
    """Chat completions of `model` by an Inference Provider, through `huggingface_hub.AsyncInferenceClient`, which
    knows each provider's address and name for the model.
    """

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """The hub's client. A provider must have a key, and says so."""
        from huggingface_hub import AsyncInferenceClient

        return AsyncInferenceClient(provider=self.route, api_key=key or None, timeout=self.timeout)  # type: ignore[arg-type]

    async def send(
        self, http: Any, request: ChatRequest, level: SchemaLevel, state: ServerState, heard: Callable[[int], None]
    ) -> ChatReply | Failure:
        """One chat completion, not streamed."""
        body = self.body(request, level, state, stream=False)
        messages = body.pop("messages")
        named: dict[str, Any] = {name: body.pop(name) for name in _NAMED if name in body}
        if "response_format" in body:
            named["response_format"] = Verbatim(body.pop("response_format"))
        body.pop("model")
        out = await http.chat_completion(messages, model=self.model, **named, extra_body=body or None)
        heard(0)
        return read_completion(out, request)

    async def slots(self, http: Any) -> int:
        """Not told by providers."""
        return 0

    async def alive(self, http: Any) -> bool:
        """Not asked of providers: a hosted service is alive when a call is lost in it."""
        return False

    def failure(self, error: Exception) -> Failure | None:
        """What an exception of the hub's client means for a call; None for one that it does not raise."""
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled
        from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

        if isinstance(error, HfHubHTTPError):
            response = error.response
            return failure_of_status(response.status_code, error.server_message or response.text, response.headers)
        if isinstance(error, InferenceTimeoutError):
            return Failure(f"no answer within {self.timeout:g} s", retryable=True, timed_out=True)
        if isinstance(error, OfflineModeIsEnabled):
            hint = "unset HF_HUB_OFFLINE, or name a server by `endpoint`"
            return Failure("the Hub is offline, and its providers with it", fatal=True, hint=hint)
        if isinstance(error, TransportError):  # connection refused, reset, closed early
            said = f"{type(error).__name__}: {error}"
            return connection_failed(said) if "Connect" in type(error).__name__ else Failure(said, retryable=True)
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            return Failure(f"the server's answer is not JSON: {error}", retryable=True)
        if isinstance(error, ValueError):  # before any call: no key, or a provider without this model
            return Failure(str(error), fatal=True, hint="check provider and model, or set HF_TOKEN")
        return None


class Verbatim(dict[str, Any]):
    """A `response_format` that huggingface_hub passes on as it is.

    It would turn a json_schema into TGI's own older form, which other servers refuse or ignore; it finds one by
    `get("type")`.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """As a dict's, but tells no `type`."""
        return default if key == "type" else super().get(key, default)
