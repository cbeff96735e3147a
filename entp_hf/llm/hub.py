"""Chat completions by any server that speaks OpenAI's protocol, or by Hugging Face Inference Providers."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from .http import Failure, Verbatim, read_completion, refused, unreached
from .protocol import ChatReply, ChatRequest
from .server import ServerChat


@dataclass(frozen=True)
class HubChat(ServerChat):
    """Chat completions of `model` by the server `endpoint` (vLLM, SGLang, llama.cpp, Ollama, TGI, OpenAI), or by an
    Inference Provider, through `huggingface_hub.AsyncInferenceClient`.
    """

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """The hub's client."""
        return hub_client(
            {"base_url": self.endpoint} if self.endpoint else {"provider": self.route}, key, self.timeout
        )

    async def send(self, http: Any, request: ChatRequest, with_schema: bool) -> ChatReply | Failure:
        """One chat completion."""
        form: dict[str, Any] = {}
        if with_schema:
            schema = {"name": "reply", "schema": json.loads(request.schema)}
            form["response_format"] = Verbatim(type="json_schema", json_schema=schema)
        out = await http.chat_completion(
            request.as_messages(),
            model=self.model,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            **form,
        )
        return read_completion(out)

    def failure(self, error: Exception) -> Failure | None:
        """See `hub_failure`."""
        return hub_failure(error, self.timeout)


def hub_client(where: dict[str, Any], key: str, timeout: float) -> AbstractAsyncContextManager[Any]:
    """`huggingface_hub.AsyncInferenceClient`, which does not send the token of its own login unasked.

    For a server without a key it would still read that token from its file, twice a call, so it is given another word
    that the header leaves out. A provider must have a key, and says so.
    """
    from huggingface_hub import AsyncInferenceClient

    headers: Any = None if key else {"authorization": None}
    api_key = key or (None if "provider" in where else "none")
    return AsyncInferenceClient(**where, api_key=api_key, timeout=timeout, headers=headers)


def hub_failure(error: Exception, timeout: float) -> Failure | None:
    """What an exception of the hub's client means for a call; None for one that it does not raise."""
    from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

    if isinstance(error, HfHubHTTPError):
        return refused(error.response.status_code, error.server_message or error.response.text, error.response.headers)
    if isinstance(error, InferenceTimeoutError):
        return Failure(f"no answer within {timeout:g} s", again=True)
    if isinstance(error, OfflineModeIsEnabled):
        return Failure("the Hub is offline", fatal=True, way_out="unset HF_HUB_OFFLINE to call a server")
    if isinstance(error, TransportError):  # connection refused, reset, closed early
        said = f"{type(error).__name__}: {error}"
        return unreached(said) if type(error).__name__ == "ConnectError" else Failure(said, again=True)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return Failure(f"the server's answer is not JSON: {error}", again=True)
    if isinstance(error, ValueError):  # before any call: no key, or a provider without this model
        return Failure(str(error), fatal=True, way_out="check provider and model, or set HF_TOKEN")
    return None
