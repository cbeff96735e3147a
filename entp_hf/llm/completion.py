"""Read a chat completion, whole or in pieces: the answer, its thoughts apart, counts, and errors inside a 200."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..text.reasoning import split_reasoning
from .http import Failure, failure_of_status
from .protocol import ChatReply, ChatRequest
from .server_state import reply_limit

_WORD = re.compile(r"\w+")
CUT = 0.6  # of our lower bound of a prompt's tokens, under which the server has cut it (not in the paper)
LEAST_CONTEXT = 256  # tokens; no server has a shorter one
LEAST_WORDS = 100  # shorter prompts fit into any context


@dataclass
class Completion:
    """The parts of a completion as they arrive."""

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    reason: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, message: Mapping[str, Any]) -> None:
        """Add a message, or the delta of one."""
        _add_content(message.get("content"), self.text, self.thoughts)
        for name in ("reasoning_content", "reasoning"):  # DeepSeek, vLLM, llama.cpp; OpenRouter, Ollama, newer vLLM
            if isinstance(part := message.get(name), str) and part:
                self.thoughts.append(part)
                break
        if isinstance(said := message.get("refusal"), str):
            self.refusal += said

    def take(self, choice: Mapping[str, Any], part: str) -> None:
        """Add a choice of a completion (`part` is message) or of a chunk (delta)."""
        if isinstance(message := choice.get(part), Mapping):
            self.add(message)
        self.reason = choice.get("finish_reason") or self.reason
        found = choice.get("logprobs")
        if isinstance(found, Mapping) and isinstance(found.get("content"), list):
            self.logprobs += found["content"]


def _add_content(content: Any, text: list[str], thoughts: list[str]) -> None:
    """Content is a text, or a list of parts (Mistral's thinking models)."""
    if isinstance(content, str):
        text.append(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                text.append(part)
            elif isinstance(part, Mapping) and part.get("type") == "thinking":
                _add_content(part.get("thinking"), thoughts, thoughts)
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                text.append(part["text"])


def error_inside(out: Any) -> Failure | None:
    """The failure that an answer with status 200 holds, or None."""
    if not isinstance(out, Mapping) or not out.get("error"):
        return None
    error = out["error"]
    code = error.get("code") if isinstance(error, Mapping) else None
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else 0
    text = json.dumps({"error": error})
    if 400 <= status < 600:
        return failure_of_status(status, text, {})
    failure = failure_of_status(500, text, {})  # without a status: it may pass
    return Failure(failure.text.replace("HTTP 500: ", "the server answers with an error: "), 0, retryable=True)


def read_completion(out: Any, request: ChatRequest) -> ChatReply | Failure:
    """The reply in a whole chat completion."""
    if (failure := error_inside(out)) is not None:
        return failure
    choices = out.get("choices") if isinstance(out, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        kind = "no chat completion" if not isinstance(out, Mapping) or "choices" not in out else "without any choice"
        return Failure(f"the server's answer is {kind}", retryable=True)
    if (failure := error_inside(choices[0])) is not None:
        return failure
    if not isinstance(choices[0].get("message"), Mapping):
        return Failure("the server's answer is no chat completion", retryable=True)
    found = Completion(usage=out.get("usage") or {})
    found.take(choices[0], "message")
    return reply_of(found, request)


def reply_of(found: Completion, request: ChatRequest) -> ChatReply | Failure:
    """The reply that a completion is; an answer without text is an error, unless it was cut at the token limit."""
    text, thoughts = "".join(found.text), "".join(found.thoughts)
    asked, drawn = (_count(found.usage, name) for name in ("prompt_tokens", "completion_tokens"))
    reason = found.reason or "stop"
    if reason in ("length", "max_tokens", "MAX_TOKENS"):
        if _only_thoughts(text, thoughts):
            return ChatReply("", "length", asked, drawn, reply_limit(request), cut_in_thoughts=True)
        return ChatReply(text, "length", asked, drawn)
    if reason == "content_filter":
        return ChatReply(text, "error", asked, drawn, "the server's content filter stopped the answer")
    if not text.strip() and found.refusal:
        return ChatReply("", "error", asked, drawn, f"the model refuses: {found.refusal[:200]}")
    if not text.strip() and thoughts:
        return ChatReply("", "error", asked, drawn, "the model gave thoughts and no answer; set thinking to off")
    if not text.strip():
        return ChatReply("", "error", asked, drawn, f"the model gave an empty answer (finish_reason {reason})")
    return ChatReply(text, "stop", asked, drawn)


def _only_thoughts(text: str, thoughts: str) -> bool:
    """True where a reply that was cut has not come to its answer."""
    if not text.strip():
        return bool(thoughts)
    split = split_reasoning(text)
    return split is not None and not split.closed


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def least_tokens(request: ChatRequest) -> int:
    """A lower bound of the prompt's tokens under any tokenizer in use: one a word."""
    return sum(len(_WORD.findall(content)) for _, content in request.messages)


def prompt_was_cut(request: ChatRequest, counted: int, seen: tuple[int, int], known: int = 0) -> str:
    """Why a reply can't be trusted since the server has left out part of the prompt; "" where it has not.

    Args:
        request: what was sent.
        counted: prompt tokens that the server counted; 0: not told.
        seen: the least and the most that it has counted for any prompt. A server that leaves cached tokens out of its
            count has counted more before; one that cuts prompts never has. One that always tells the same small number
            does not count.
        known: prompt tokens by the model's own tokenizer; 0: not at hand.
    """
    least = known or least_tokens(request)
    fewest, most = min(seen[0], counted), max(seen[1], counted)
    counts = fewest < most or counted >= LEAST_CONTEXT
    if not counted or least < LEAST_WORDS or counted >= CUT * least or counted < 0.95 * most or not counts:
        return ""
    sent = f"{least} were sent" if known else f"at least {least} were sent"
    return (
        f"the server cut the prompt: it counts {counted} tokens where {sent}; give it a longer context "
        "(Ollama: OLLAMA_CONTEXT_LENGTH=8192 or num_ctx; llama.cpp: -c, for all slots together)"
    )
