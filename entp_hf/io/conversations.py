"""Turns of a conversation as they come in: roles of all dialects, odd contents, and what makes a row unusable."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..schema import Message

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bard": "assistant", "model": "assistant",
    "function_call": "assistant",
    "tool": "tool", "observation": "tool", "function": "tool", "ipython": "tool",
}  # fmt: skip
_PART = {"user": "instruction", "assistant": "response"}


@dataclass
class Turns:
    """What was read of one row; `reason` is the first thing that makes it unusable, or ""."""

    messages: list[Message] = field(default_factory=list)
    reason: str = ""
    notes: list[str] = field(default_factory=list)

    def mark(self, reason: str, note: str) -> None:
        """Make the row unusable; the first reason stays, every note is kept."""
        self.reason = self.reason or reason
        self.notes.append(note)

    def clean(self, text: str, where: str) -> str:
        """Join halved surrogate pairs; replace lone ones, which can't be stored as UTF-8, by U+FFFD."""
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            self.notes.append(f"{where}: lone surrogates replaced")
        return text

    def add(self, role: str, value: Any, where: str) -> None:
        """Append a turn if `value` is text; mark the row if it is not, or is blank where words are needed."""
        if value is None:
            self.mark(f"null_{_PART[role]}" if role in _PART else "bad_turns", f"{where}: null")
        elif not isinstance(value, str):
            self.mark("not_text", f"{where}: {_kind(value)} in place of text")
        else:
            self.messages.append({"role": role, "content": self.clean(value, where)})
            if role in _PART and not value.strip():
                self.mark(f"empty_{_PART[role]}", f"{where}: empty")

    def add_all(self, value: Any, where: str) -> None:
        """Append a list of turns, or JSON text of one, as CSV files hold it."""
        if isinstance(value, str):
            value = _listed(value)
        if value is None or (isinstance(value, list) and not value):
            self.mark("no_turns", f"{where}: no turns")
        elif not isinstance(value, list):
            self.mark("bad_turns", f"{where}: {_kind(value)} in place of a list of turns")
        else:
            for number, turn in enumerate(value, 1):
                self._add_turn(turn, f"{where}, turn {number}")

    def _add_turn(self, turn: Any, where: str) -> None:
        if not isinstance(turn, Mapping):
            self.mark("bad_turns", f"{where}: {_kind(turn)} in place of a role and a content")
            return
        said = _first(turn, "role", "from")
        calls = turn.get("tool_calls") or turn.get("function_call")
        if not said or not ("content" in turn or "value" in turn or calls):
            self.mark("bad_turns", f"{where}: no {'content' if said else 'role'}")
            return
        role = ROLES.get(said.lower()) if isinstance(said, str) else None
        if role is None:
            self.mark("unknown_role", f"{where}: role {ascii(said)[:40]}")
            return
        content = _joined(_first(turn, "content", "value"))
        if calls and (content is None or content == ""):
            content = dump_json(calls)
        elif calls:
            self.notes.append(f"{where}: tool_calls beside a content are kept in `original` only")
        self.add(role, content, where)

    def close(self) -> None:
        """Mark a row that has no instruction, or no response."""
        roles = {message["role"] for message in self.messages}
        for role, part in _PART.items():
            if role not in roles and not self.reason:
                self.mark(f"null_{part}", f"no {role} turn")


def _first(turn: Mapping[str, Any], *names: str) -> Any:
    """First of the named values that is not null: Parquet gives every turn of a column the keys of all."""
    return next((turn[name] for name in names if turn.get(name) is not None), None)


def _joined(content: Any) -> Any:
    """Text parts joined as chat templates do, without a separator; anything else as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = []
    for part in content:
        text = part
        if isinstance(part, Mapping):
            text = part.get("text") if part.get("type", "text") == "text" else None
        if not isinstance(text, str):
            return content
        texts.append(text)
    return "".join(texts)


def _listed(text: str) -> Any:
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def dump_json(value: Any) -> str:
    """Strict JSON text that can be stored as UTF-8; values that JSON lacks are made plain (see `plain`)."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)  # escapes keep lone surrogates, so that nothing is lost
    except (TypeError, ValueError):
        return dump_json(plain(value))
    return text


def plain(value: Any) -> Any:
    """`value` in what JSON has: dates as ISO text, bytes as text or base64, NumPy as numbers; NaN becomes null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    return str(value)
