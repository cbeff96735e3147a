"""From the text of a reply to a checked object, or to the reason why not. Never a guess from a reply that was cut."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound=BaseModel)

_FENCE = re.compile(r"```[ \t]*(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)  # reasoning models put it before the answer
_MARK = "entp-end-of-reply"


def parse_json(text: str, model: type[T]) -> tuple[T | None, str]:
    """The object in `text` and "", or None and what is wrong, in words fit for asking again.

    Tried in turn: the whole text as strict JSON, the first fenced block, the first JSON object amid prose, and
    json-repair on what starts there (single quotes, stray or missing commas, unescaped quotes). An object that the
    text leaves open, in a string or before its last brace, is refused as truncated: its last value may be half of it.
    """
    text = _THOUGHT.sub("", text).strip()
    if "{" not in text:
        return None, "the reply holds no JSON object"
    for read in (_whole, _fenced, _amid_prose):
        value = read(text)
        if isinstance(value, dict):
            return _check(value, model)
    value, problem = _repaired(text[text.index("{") :])
    return _check(value, model) if not problem else (None, problem)


def _check(value: Any, model: type[T]) -> tuple[T | None, str]:
    try:
        return model.model_validate(value), ""
    except ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc'])) or 'the object'}: {e['msg']}" for e in error.errors()[:3]]
        return None, "the reply's JSON does not fit: " + "; ".join(found)


def _whole(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _fenced(text: str) -> Any:
    """A fence is only looked for outside the object: code blocks inside its strings are no answer."""
    block = _FENCE.search(text)
    return _whole(block[1].strip()) if block and block.start() < text.index("{") else None


def _amid_prose(text: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text, text.index("{"))[0]
    except (ValueError, RecursionError):
        return None


def _repaired(text: str) -> tuple[Any, str]:
    """json-repair closes whatever is open and does not say so in all cases; so more text is added, which must not
    change what it reads: if it does, the text ended inside a string, an array or an object.
    """
    import json_repair

    try:
        value, *longer = (
            json_repair.loads(text + more, skip_json_loads=True)
            for more in ("", f"\n{_MARK}", f'\n{_MARK}, "{_MARK}": 1')
        )
    except (ValueError, RecursionError) as error:
        return None, f"the reply's JSON can't be read: {type(error).__name__}: {str(error)[:100]}"
    if any(_MARK in json.dumps(other) for other in longer):
        return None, "the reply's JSON is truncated: it ends before its object is closed"
    if not isinstance(value, dict):
        return None, "the reply's JSON can't be read as one object"
    return value, ""
