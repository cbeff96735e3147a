"""Chat completions by any server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, TGI, OpenAI, ..."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .completion import Completion, error_inside, read_completion, reply_of
from .http import Failure, connection_failed, failure_of_status
from .protocol import ChatReply, ChatRequest
from .schemas import bare_schema
from .server import ServerChat
from .server_state import SchemaLevel, ServerState

PROBE = 3.0  # seconds that the question for the server's slots may take
TOKENS_PER_CALL = 2048  # that a slot of vLLM's cache is taken to hold (not in the paper)
MOST_MEASURED = 64
_REASONING_MODEL = re.compile(r"(?i)(?:^|/)(?:o[1-9](?:$|-)|gpt-5)")
_CUT_BODY = 100_000  # characters of an error body that are read


def route(endpoint: str) -> str:
    """The URL of the chat route: the path that the user gave, and /v1 only where none was given."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = (path or "/v1") + "/chat/completions"
    return urlunsplit(parts._replace(path=path, fragment=""))


@dataclass(frozen=True)
class OpenAIChat(ServerChat):
    """Chat completions of `model` by the server `endpoint`, streamed where the server can.

    Parameters that the server refuses are left out or renamed from then on; see `adapt`.
    """

    def connect(self, key: str) -> AbstractAsyncContextManager[Any]:
        """An HTTP session. Its own time limits are off but for connecting: `server` watches for silence."""
        import aiohttp

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if key and (urlsplit(self.endpoint).hostname or "").endswith(".azure.com"):
            headers["api-key"] = key
        return aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(self.timeout, 30.0)),
            connector=aiohttp.TCPConnector(limit=0),
            trust_env=True,
            read_bufsize=2**20,
        )

    def body(self, request: ChatRequest, level: SchemaLevel, state: ServerState, stream: bool) -> dict[str, Any]:
        """The request as the server is known to take it; `request_extras` win over everything."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": request.as_messages(),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
        }
        if _REASONING_MODEL.search(self.model) and "max_tokens" not in state.renamed:
            state.renamed["max_tokens"] = "max_completion_tokens"
            state.left_out.add("temperature")
        if request.schema and level == SchemaLevel.FULL:
            body["response_format"] = _json_schema(json.loads(request.schema))
        elif request.schema and level == SchemaLevel.BARE:
            body["response_format"] = _json_schema(bare_schema(json.loads(request.schema)))
        elif request.schema and level == SchemaLevel.OBJECT:
            body["response_format"] = {"type": "json_object"}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        body |= thinking_off(self.endpoint) if self.thinking == "off" else {}
        if "stream" in state.left_out or self.extras.get("stream") is False:
            body.pop("stream_options", None)
        body = {state.renamed.get(name, name): value for name, value in body.items() if name not in state.left_out}
        extras = dict(self.extras)
        extra_body = extras.pop("extra_body", None)
        return body | extras | (extra_body if isinstance(extra_body, dict) else {})

    def below(self, request: ChatRequest, level: SchemaLevel) -> SchemaLevel:
        """The next level, `BARE` left out where it would ask the same."""
        lower = super().below(request, level)
        schema = json.loads(request.schema)
        return super().below(request, lower) if lower == SchemaLevel.BARE and bare_schema(schema) == schema else lower

    async def send(
        self, http: Any, request: ChatRequest, level: SchemaLevel, state: ServerState, heard: Callable[[int], None]
    ) -> ChatReply | Failure:
        """One chat completion."""
        body = self.body(request, level, state, stream=True)
        async with http.post(route(self.endpoint), json=body, allow_redirects=False) as response:
            if response.status >= 400:
                text = (await response.read()).decode("utf-8", "replace")[:_CUT_BODY]
                return failure_of_status(response.status, text, response.headers)
            if response.status >= 300:
                said = f"HTTP {response.status}: the server sends calls on to {response.headers.get('location', '')}"
                return Failure(said, response.status, fatal=True, hint="give that address as the endpoint")
            if "text/event-stream" in response.headers.get("content-type", ""):
                return await _read_stream(response, request, heard)
            data = await response.read()
        heard(0)
        return read_completion(json.loads(data), request)

    def adapt(self, failure: Failure, request: ChatRequest, state: ServerState) -> str:
        """Learn from a refusal which parameter to rename or leave out; its name, or "" where none is meant."""
        if failure.status not in (400, 404, 422, 501):
            return ""
        said = failure.text.lower()
        own = {"max_tokens", "temperature", "stream", "stream_options", *thinking_off(self.endpoint)} - set(
            self.extras
        )
        if (
            "max_tokens" in own
            and re.search(r"max_completion_tokens", said)
            and "max_tokens" in said.replace("max_completion_tokens", "")
        ):
            state.renamed["max_tokens"] = "max_completion_tokens"
            return "max_tokens"
        for name in sorted(own, key=len, reverse=True):  # stream_options before stream
            if re.search(rf"\b{name}\b", said) and _REFUSED.search(said) and name != "max_tokens":
                state.left_out.add(name)
                if name in thinking_off(self.endpoint):
                    state.warn(
                        "thinking",
                        f"{self.name} refuses {name}, so its thinking can't be switched off by `thinking`; see "
                        "request_extras for the server's own parameter",
                    )
                return name
        return ""

    def batch_body(self, request: ChatRequest) -> dict[str, Any]:
        """The request for a batch file, whose refusals could not be learned from: with the schema that all take."""
        level = SchemaLevel.BARE if request.schema else SchemaLevel.NONE
        return self.body(request, max(level, self.state().schema_level), self.state(), stream=False)

    async def slots(self, http: Any) -> int:
        """Calls that the server computes at once, as llama.cpp (/props) or vLLM (/metrics) tell; 0: not told.

        Asked of addresses without TLS alone: those are servers of one's own.
        """
        import aiohttp

        parts = urlsplit(self.endpoint)
        if parts.scheme != "http":
            return 0
        root = urlunsplit((parts.scheme, parts.netloc, re.sub(r"/v1(/.*)?$", "", parts.path.rstrip("/")), "", ""))
        try:
            status, text = await _get(http, f"{root}/props")
            if status == 200 and isinstance(found := json.loads(text), dict):
                return int(found.get("total_slots") or 0)
            status, text = await _get(http, f"{root}/metrics")
            if status == 200:
                return _slots_of_vllm(text)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError):
            return 0
        return 0

    async def alive(self, http: Any) -> bool:
        """Asked of addresses without TLS alone: a hosted service is alive when a call is lost in it."""
        import aiohttp

        if urlsplit(self.endpoint).scheme != "http":
            return False
        base = route(self.endpoint).removesuffix("/chat/completions")
        for url in (f"{re.sub(r'/v1$', '', base)}/health", f"{base}/models"):
            try:
                status, _ = await _get(http, url)
                if status == 200:
                    return True
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                continue
        return False

    def failure(self, error: Exception) -> Failure | None:
        """What an exception of aiohttp means for a call."""
        import aiohttp

        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return connection_failed(f"{type(error).__name__}: {error}")
        if isinstance(error, TimeoutError):
            return None  # the limit on silence
        if isinstance(error, aiohttp.ClientError | OSError):
            return Failure(f"{type(error).__name__}: {error}", retryable=True)
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            return Failure(f"the server's answer is not JSON: {error}", retryable=True)
        return None


async def _get(http: Any, url: str) -> tuple[int, str]:
    """Status and text of a page."""
    import aiohttp

    async with http.get(url, timeout=aiohttp.ClientTimeout(total=PROBE)) as response:
        return response.status, (await response.read()).decode("utf-8", "replace")


_REFUSED = re.compile(
    r"unsupported|not support|does not|doesn't|not known|unknown|unrecogni|unexpected|extra|not permitted|not allowed"
    r"|only|invalid|deprecated|not available|can't be|cannot be|must be|no longer"
)


def thinking_off(endpoint: str) -> dict[str, Any]:
    """The parameter by which a server is told not to think. Hosted services have their own; any other server is taken
    for vLLM, SGLang or llama.cpp, whose chat templates read it (Qwen3: enable_thinking; DeepSeek, Granite: thinking).
    """
    host = urlsplit(endpoint).hostname or ""
    for known, parameter in _THINKING_OFF.items():
        if host == known or host.endswith(f".{known}") or (known.startswith(":") and endpoint.find(known) > 0):
            return parameter
    return {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}


_THINKING_OFF: dict[str, dict[str, Any]] = {
    "openai.com": {"reasoning_effort": "minimal"},
    "azure.com": {"reasoning_effort": "minimal"},
    "googleapis.com": {"reasoning_effort": "none"},
    "groq.com": {"reasoning_effort": "none"},
    "openrouter.ai": {"reasoning": {"enabled": False}},
    "deepseek.com": {"thinking": {"type": "disabled"}},
    "bigmodel.cn": {"thinking": {"type": "disabled"}},
    "z.ai": {"thinking": {"type": "disabled"}},
    "volces.com": {"thinking": {"type": "disabled"}},
    "aliyuncs.com": {"enable_thinking": False},
    ":11434": {"reasoning_effort": "none"},  # Ollama's port
}


def _json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}


async def _read_stream(response: Any, request: ChatRequest, heard: Callable[[int], None]) -> ChatReply | Failure:
    """The reply in server-sent events; `heard` is told of every token."""
    found, ended, begun = Completion(), False, False
    async for raw in response.content:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line.startswith("data:"):
            if line:
                heard(0)  # a comment, to keep the connection open
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            ended = True
            break
        chunk = json.loads(data)
        if (failure := error_inside(chunk)) is not None:
            return failure
        if not isinstance(chunk, dict):
            continue
        begun = True
        if isinstance(chunk.get("usage"), dict):
            found.usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            if isinstance(choice, dict) and (failure := error_inside(choice)) is not None:
                return failure
            found.take(choice, "delta" if "delta" in choice else "message")
        heard(1)
    if not begun:
        return Failure("the server's stream holds no answer", retryable=True)
    if not ended and not found.reason:
        return Failure("the server's stream broke off", retryable=True)
    return reply_of(found, request)


def _slots_of_vllm(metrics: str) -> int:
    """Calls that fit into vLLM's cache of keys and values; 0 for metrics that are not vLLM's."""
    info = re.search(r"^vllm:cache_config_info\{(.*)\}", metrics, re.M)
    if info is None:
        return 0
    sizes = [re.search(rf'{name}="(\d+)"', info[1]) for name in ("num_gpu_blocks", "block_size")]
    if not all(sizes):
        return 0
    tokens = int(sizes[0][1]) * int(sizes[1][1])  # type: ignore[index]
    return max(1, min(MOST_MEASURED, tokens // TOKENS_PER_CALL))
