"""Batch files: requests written to a file for a service's batch API, and its replies read into the cache.

Nothing is called. The format is OpenAI's, which Mistral, Groq, Together, vLLM (`vllm run-batch`) and others read;
Anthropic's and Gemini's requests and results are known too. A request is found again by its `custom_id`, which is its
key in the cache.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from ..errors import BatchWritten, InputError
from .completion import read_completion
from .http import Failure, message_of, scrub
from .protocol import BUDGET, ChatReply, ChatRequest

MOST_LINES = 50_000  # of one file, as OpenAI takes it
WAITING = "written to a batch file; its reply was not imported yet"
URL = "/v1/chat/completions"


class BatchFile:
    """Requests of one stage, written as lines; more than `MOST_LINES` go on in NAME-2, NAME-3, ..."""

    def __init__(self, path: Path, form: str = "openai") -> None:
        self.path, self.form = path, form
        self.paths: list[Path] = []
        self.count = 0
        self._out: IO[str] | None = None

    def add(self, key: str, body: Mapping[str, Any]) -> ChatReply:
        """Write a request, given as the body of a chat completion; returns the reply that stands for it until then."""
        if self.count % MOST_LINES == 0:
            self.close()
            number = self.count // MOST_LINES + 1
            path = self.path if number == 1 else self.path.with_stem(f"{self.path.stem}-{number}")
            self._out = path.open("w", encoding="utf-8")
            self.paths.append(path)
        assert self._out is not None
        self._out.write(json.dumps(FORMS[self.form](key, body), ensure_ascii=False) + "\n")
        self.count += 1
        return ChatReply(finish_reason=BUDGET, error=WAITING)

    def close(self) -> None:
        """Close the open file."""
        if self._out is not None:
            self._out.close()
            self._out = None


def _openai(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"custom_id": key, "method": "POST", "url": URL, "body": dict(body)}


def _anthropic(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    system = [m["content"] for m in body["messages"] if m["role"] == "system"]
    params = {
        "model": body["model"],
        "max_tokens": body.get("max_tokens") or body["max_completion_tokens"],
        "messages": [m for m in body["messages"] if m["role"] != "system"],
    }
    params |= {"temperature": body["temperature"]} if "temperature" in body else {}
    return {"custom_id": key, "params": params | ({"system": "\n\n".join(system)} if system else {})}


def _gemini(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    roles = {"assistant": "model", "user": "user"}
    settings = {"maxOutputTokens": body.get("max_tokens") or body["max_completion_tokens"]}
    settings |= {"temperature": body["temperature"]} if "temperature" in body else {}
    settings |= {"responseMimeType": "application/json"} if "response_format" in body else {}
    request: dict[str, Any] = {
        "contents": [
            {"role": roles[m["role"]], "parts": [{"text": m["content"]}]}
            for m in body["messages"]
            if m["role"] in roles
        ],
        "generationConfig": settings,
    }
    if system := [{"text": m["content"]} for m in body["messages"] if m["role"] == "system"]:
        request["systemInstruction"] = {"parts": system}
    return {"key": key, "request": request}


FORMS: dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
}

_file: ContextVar[BatchFile | None] = ContextVar("_file", default=None)


@contextmanager
def batching(path: str | Path, form: str = "openai") -> Iterator[BatchFile]:
    """Inside the block, requests to servers that the cache does not answer are written to `path` instead of sent.

    `end_of_stage` then raises `BatchWritten`.
    """
    batch = BatchFile(Path(path), form)
    token = _file.set(batch)
    try:
        yield batch
    finally:
        batch.close()
        _file.reset(token)


def current_batch() -> BatchFile | None:
    """The batch file that requests go to; None outside `batching`."""
    return _file.get()


def end_of_stage() -> None:
    """Raise `BatchWritten` where requests await their replies; to be called when a stage has asked all that it can."""
    batch = _file.get()
    if batch is not None and batch.count:
        batch.close()
        raise BatchWritten(batch.count, [str(path) for path in batch.paths])


def read_results(path: str | Path) -> Iterator[tuple[str, Any, str]]:
    """(custom_id, chat completion, error) of each line of a results file; the completion is None where it failed."""
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error}); give the results of a batch") from error
            key = found.get("custom_id") or found.get("key") if isinstance(found, dict) else None
            if not isinstance(key, str):
                raise InputError(f"{path}, line {number}: has no custom_id; give the results of a batch")
            yield key, *_result(found)


def _result(found: Mapping[str, Any]) -> tuple[Any, str]:
    if isinstance(result := found.get("result"), Mapping):  # Anthropic
        if result.get("type") != "succeeded":
            return None, f"{result.get('type', 'failed')}: {message_of(json.dumps(result.get('error') or {}))}"
        return _of_anthropic(result["message"]), ""
    response = found.get("response")
    if isinstance(response, Mapping) and "candidates" in response:
        return _of_gemini(response), ""
    if found.get("error") and not isinstance(response, Mapping):
        return None, message_of(json.dumps({"error": found["error"]}))
    if not isinstance(response, Mapping):
        return None, "the line has no response"
    body, status = response.get("body", response), response.get("status_code", 200)
    if status != 200:
        return None, f"HTTP {status}: {message_of(json.dumps(body))}"
    return body, ""


def _of_anthropic(message: Mapping[str, Any]) -> dict[str, Any]:
    parts = {kind: [p for p in message.get("content", []) if p.get("type") == kind] for kind in ("text", "thinking")}
    reason = {"max_tokens": "length", "refusal": "content_filter"}.get(message.get("stop_reason", ""), "stop")
    said = {
        "content": "".join(part["text"] for part in parts["text"]),
        "reasoning": "".join(part["thinking"] for part in parts["thinking"]),
    }
    usage = message.get("usage") or {}
    counts = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
    return {"choices": [{"message": said, "finish_reason": reason}], "usage": counts}


def _of_gemini(response: Mapping[str, Any]) -> dict[str, Any]:
    usage = response.get("usageMetadata") or {}
    counts = {"prompt_tokens": usage.get("promptTokenCount"), "completion_tokens": usage.get("candidatesTokenCount")}
    choices = []
    for one in response["candidates"]:
        parts = (one.get("content") or {}).get("parts") or []
        said = {
            "content": "".join(part.get("text", "") for part in parts if not part.get("thought")),
            "reasoning": "".join(part.get("text", "") for part in parts if part.get("thought")),
        }
        reason = {"MAX_TOKENS": "length", "STOP": "stop"}.get(one.get("finishReason", "STOP"), "content_filter")
        choices.append({"message": said, "finish_reason": reason})
    return {"choices": choices, "usage": counts}


def reply_to(request: ChatRequest, completion: Any, error: str) -> ChatReply:
    """The reply that a line of a results file holds."""
    if completion is None:
        return ChatReply(finish_reason="error", error=scrub(error, ""))
    read = read_completion(completion, request)
    return ChatReply(finish_reason="error", error=scrub(read.text, "")) if isinstance(read, Failure) else read


class Imported(Counter[str]):
    """How many lines of a results file were answered, failed, or belong to no request of the cache (unknown)."""
