"""Read the turns of one conversation: roles, layouts of turns, reasoning, tool calls, content parts."""

from __future__ import annotations

import ast
import base64
import datetime as dt
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..schema import Message
from ..text.reasoning import split_reasoning

_NAMES = {
    "system": "system developer sys system_prompt system_message",
    "user": "user human prompter customer client usr asker questioner person question query prompt instruction q "
    "input user_message request",
    "assistant": "assistant gpt chatgpt bard model bing bot ai chatbot agent llm copilot moss answer response output "
    "a completion reply assistant_message ai_assistant function_call function_calls tool_call tool_calls",
    "tool": "tool observation observations function ipython tool_response tool_responses function_response "
    "environment tool_output tool_outputs tool_result tool_results function_result function_output api_response",
}
ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}
_MODEL = re.compile(r"(?:gpt|chatgpt|claude|gemini|llama|qwen|mistral|mixtral|deepseek|vicuna|grok|palm)[\d._a-z]*")
_PART = {"user": "instruction", "assistant": "response"}
# A question and its answer in one object, by their lower-case keys.
_PAIRS = (
    ("human", "assistant"), ("human", "gpt"), ("human", "moss"), ("human", "bot"), ("user", "assistant"),
    ("user", "bot"), ("question", "answer"), ("prompt", "response"), ("prompt", "completion"), ("query", "response"),
    ("instruction", "output"), ("instruction", "response"), ("input", "output"), ("q", "a"), ("user", "model"),
)  # fmt: skip
ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "message", "utterance")
REASONING_KEYS = (
    "reasoning", "reasoning_content", "thinking", "thought", "thoughts", "inner_thoughts", "inner thoughts", "cot",
    "complex_cot", "chain_of_thought", "reasoning_trace", "rationale",
)  # fmt: skip
_WEIGHT_KEYS = ("weight", "loss_weight", "train", "training", "trainable", "loss")
_USED_KEYS = {
    *ROLE_KEYS, *CONTENT_KEYS, *REASONING_KEYS, *_WEIGHT_KEYS, "tool_calls", "function_call", "tool_call_id", "name",
    "id", "index", "refusal", "annotations", "type",
}  # fmt: skip
_TEXT_PARTS = ("text", "input_text", "output_text", None)
_MARKUP = re.compile(r"^\s*<\|(?:human|moss|user|assistant)\|>:?\s*|\s*<(?:eoh|eom|eot|eoc|eor)>\s*$", re.I)


@dataclass
class Turns:
    """The turns read of one row; `reason` is the first fault that makes the row unusable, or "".

    Args:
        roles: further role names of the data, to those of a row.
        filled: whether nulls were filled in by Arrow, so that they say nothing.

    """

    roles: Mapping[str, str] = field(default_factory=dict)
    filled: bool = False
    messages: list[Message] = field(default_factory=list)
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # what the row's turns don't hold, by kind
    _faults: list[tuple[int, str, str]] = field(default_factory=list)  # turn, reason, note of blank turns

    def mark(self, reason: str, note: str) -> None:
        """Make the row unusable; the first reason stays, every note is kept."""
        self.reason = self.reason or reason
        self.notes.append(note)

    def leave_out(self, kind: str, note: str) -> None:
        """Count something that the turns have no place for; it stays in `original`."""
        self.left_out[kind] += 1
        self.notes.append(note)

    def clean(self, text: str, where: str) -> str:
        """Join halved surrogate pairs; replace lone ones, which can't be stored as UTF-8, by U+FFFD."""
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            self.notes.append(f"{where}: lone surrogates replaced")
        return text

    def role_of(self, name: Any) -> str | None:
        """The role that a name stands for, in any case, with blanks around it and - or a blank for _."""
        if not isinstance(name, str):
            return None
        key = name.strip().lower()
        if key in self.roles:
            return self.roles[key]
        key = re.sub(r"[-\s]+", "_", key)
        return ROLES.get(key) or ("assistant" if _MODEL.fullmatch(key) else None)

    def add(self, role: str, value: Any, where: str, **fields: Any) -> None:
        """Append a turn; mark the row if `value` is no text, or blank where words are needed.

        Args:
            role: system, user, assistant or tool.
            value: text, a number or truth value (as an answer), content parts, or an object (as a tool's result).
            where: the place in the row, for notes.
            fields: other fields of `schema.TURN`; nulls are left out.

        """
        extras = {name: item for name, item in fields.items() if item is not None and item != "" and item != []}
        text, parts = self._text_of(role, value, where)
        calls = [*extras.pop("tool_calls", []), *parts.calls]
        thoughts = [extras.pop("reasoning", ""), *parts.thoughts]
        if parts.bad:
            self.mark("not_text", f"{where}: {parts.bad}")
            self._keep_reasoning(thoughts, where)
            return
        for call_id, result in parts.results:
            self.add("tool", result, where, tool_call_id=call_id)
        if parts.results and not text:
            return
        if text is None and calls:
            text = ""
        if text is None:
            reason = f"null_{_PART[role]}" if role in _PART else "bad_turns"
            self._fault(reason, f"{where}: null", len(self.messages))
            self._keep_reasoning(thoughts, where)
            return
        if role == "assistant" and not any(thoughts) and (split := split_reasoning(text)) and split.closed:
            thoughts, text = [split.reasoning], split.answer
        message: Message = {"role": role, "content": self.clean(text, where)}
        if reasoning := "\n\n".join(filter(None, map(_stripped, thoughts))):
            message["reasoning"] = self.clean(reasoning, f"{where}, reasoning")
        if calls:
            message["tool_calls"] = calls
        for name in ("tool_call_id", "name", "weight"):
            if name in extras:
                message[name] = extras[name]
        self.messages.append(message)
        if role in _PART and not text.strip() and not calls:
            self._fault(f"empty_{_PART[role]}", f"{where}: empty", len(self.messages) - 1)

    def _fault(self, reason: str, note: str, turn: int) -> None:
        self._faults.append((turn, reason, note))

    def _keep_reasoning(self, thoughts: Sequence[str], where: str) -> None:
        if any(thoughts):
            self.notes.append(f"{where}: reasoning without an answer")

    def _text_of(self, role: str, value: Any, where: str) -> tuple[str | None, _Parts]:
        """The text of a turn's content, and what other parts it has."""
        parts = _Parts()
        if value is None or isinstance(value, str):
            return value, parts
        if isinstance(value, (bool, int, float, Decimal)) and role in ("assistant", "tool"):
            if isinstance(value, float) and not math.isfinite(value):
                return None, parts
            return str(value) if isinstance(value, Decimal) else json.dumps(value), parts
        if isinstance(value, list) and value and not (role == "tool" and not _is_parts(value)):
            return parts.read(value, role, self.filled), parts
        if isinstance(value, Mapping) and (isinstance(value.get("parts"), list) or "text" in value):
            inner = value["parts"] if isinstance(value.get("parts"), list) else [value]
            return parts.read(inner, role, self.filled), parts
        if role == "tool" and isinstance(value, (Mapping, list)):
            return dump_json(_pruned(value) if self.filled else value), parts
        parts.bad = f"{_kind(value)} in place of text"
        return None, parts

    def add_all(self, value: Any, where: str) -> None:
        """Append turns in any layout: a list of objects, of pairs or of texts; an object of lists; JSON text of these.

        Args:
            value: what the column of turns holds.
            where: the column, for notes.

        """
        value = _listed(value) if isinstance(value, str) else value
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, Mapping):
            value = self._from_mapping(value, where)
            if value is None:
                return
        if value is None or (isinstance(value, list) and not value):
            self.mark("no_turns", f"{where}: no turns")
        elif not isinstance(value, (list, tuple)):
            self.mark("bad_turns", f"{where}: {_kind(value)} in place of a list of turns")
        elif len(value) > 1 and all(isinstance(turn, str) for turn in value):
            self._add_texts(value, where)
        else:
            for number, turn in enumerate(value, 1):
                self._add_turn(turn, f"{where}, turn {number}")

    def _from_mapping(self, value: Mapping[str, Any], where: str) -> Any:
        """A list of turns from an object of lists, an object with numbered turns, or one turn; None: marked."""
        filled = {name: item for name, item in value.items() if item is not None}
        if filled and all(isinstance(item, list) for item in filled.values()):
            lengths = {len(item) for item in filled.values()}
            if len(lengths) != 1:
                told = ", ".join(f"{name} {len(item)}" for name, item in filled.items())
                self.mark("bad_turns", f"{where}: lists of unequal length: {told}")
                return None
            return [dict(zip(filled, items, strict=True)) for items in zip(*filled.values(), strict=True)]
        numbered = {_number(name): item for name, item in filled.items()}
        if filled and None not in numbered and all(isinstance(item, Mapping) for item in filled.values()):
            return [numbered[key] for key in sorted(numbered, key=lambda key: key or 0)]
        return [value]

    def _add_texts(self, texts: Sequence[str], where: str) -> None:
        """Question and answer by turns; a last question without an answer is left off."""
        even = len(texts) - len(texts) % 2
        for number, text in enumerate(texts[:even]):
            role = "assistant" if number % 2 else "user"
            self.add(role, _MARKUP.sub("", text), f"{where}, turn {number + 1}")
        if even < len(texts):
            self.leave_out("last question without an answer", f"{where}, turn {len(texts)}: no answer, left out")

    def _add_turn(self, turn: Any, where: str) -> None:
        if isinstance(turn, str) and (read := _object(turn)) is not None:
            turn = read
        if isinstance(turn, (list, tuple)) and len(turn) == 2:
            self._add_pair(turn[0], turn[1], where)
            return
        if not isinstance(turn, Mapping):
            self.mark("bad_turns", f"{where}: {_kind(turn)} in place of a role and a content")
            return
        said = _role_name(turn)
        keys = {str(name).strip().lower(): name for name in turn}
        if not said and (pair := next((pair for pair in _PAIRS if set(pair) <= set(keys)), None)):
            self._add_exchange(turn, keys, pair, where)
            return
        calls = [*_list(turn.get("tool_calls")), *_list(turn.get("function_call"))]
        if not said or not (any(name in turn for name in CONTENT_KEYS) or calls):
            self.mark("bad_turns", f"{where}: no {'content' if said else 'role'}")
            return
        role = self.role_of(said)
        if role is None:
            self.mark("unknown_role", f"{where}: role {ascii(said)[:40]}")
            return
        if role == "ignore":
            self.leave_out("turns of ignored roles", f"{where}: role {ascii(said)[:40]} left out")
            return
        known = [found for call in calls if (found := _call(call, self.filled)) is not None]
        content = _first(turn, *CONTENT_KEYS)
        if len(known) < len(calls):  # calls of no known shape stay as text, so that nothing is lost
            known = []
            content = "\n".join(filter(None, [content if isinstance(content, str) else "", dump_json(calls)]))
        weight = self._weight(turn)
        thoughts = _first(turn, *REASONING_KEYS)
        self.add(
            role,
            content,
            where,
            reasoning=_thought(thoughts),
            tool_calls=known,
            weight=weight,
            tool_call_id=_text_or_none(turn.get("tool_call_id")),
            name=_text_or_none(turn.get("name")),
        )
        self._count_keys(turn)

    def _count_keys(self, turn: Mapping[str, Any]) -> None:
        for name, value in turn.items():
            if str(name).lower() not in _USED_KEYS and value not in (None, "", [], {}, False):
                self.left_out[f"turns' key {str(name)[:40]}"] += 1

    def _weight(self, turn: Mapping[str, Any]) -> float | None:
        for name in _WEIGHT_KEYS:
            value = turn.get(name)
            if isinstance(value, (bool, int, float)) and math.isfinite(value) and value >= 0:
                return float(value)
        return None

    def _add_pair(self, first: Any, second: Any, where: str) -> None:
        """A role and a text, or a question and its answer."""
        role = self.role_of(first) if isinstance(first, str) and len(first) < 24 else None
        if role is not None and role != "ignore":
            self.add(role, second, where)
        elif isinstance(first, str) and isinstance(second, (str, type(None))):
            self.add("user", first, f"{where}, question")
            self.add("assistant", second, f"{where}, answer")
        else:
            self.mark("bad_turns", f"{where}: neither a role and a text nor a question and an answer")

    def _add_exchange(
        self, turn: Mapping[str, Any], keys: Mapping[str, str], pair: tuple[str, str], where: str
    ) -> None:
        """A question and its answer in one object, as Capybara and MOSS have them."""
        question, answer = (turn[keys[name]] for name in pair)
        if keys.get("system") and isinstance(turn[keys["system"]], str) and not self.messages:
            self.add("system", turn[keys["system"]], f"{where}, system")
        unmarked = [_MARKUP.sub("", text) if isinstance(text, str) else text for text in (question, answer)]
        thoughts = next((turn[keys[name]] for name in REASONING_KEYS if name in keys), None)
        self.add("user", unmarked[0], f"{where}, {pair[0]}")
        self.add("assistant", unmarked[1], f"{where}, {pair[1]}", reasoning=_thought(thoughts))
        for name, key in keys.items():
            if name not in (*pair, "system", *REASONING_KEYS) and turn[key] not in (None, "", [], {}):
                self.left_out[f"turns' key {name[:40]}"] += 1

    def add_reasoning(self, value: Any, where: str) -> None:
        """Give reasoning from a column to the last answer, unless that has reasoning of its own."""
        text = _thought(value)
        last = next((message for message in reversed(self.messages) if message["role"] == "assistant"), None)
        if not text:
            return
        if last is None:
            self.notes.append(f"{where}: reasoning without an answer")
        elif "reasoning" in last:
            self.leave_out("reasoning column beside reasoning in the turn", f"{where}: left out, the turn has its own")
        else:
            last["reasoning"] = self.clean(text, where)

    def close(self) -> None:
        """Mark a row without an instruction or a response; a blank last answer after a whole exchange is cut."""
        self._cut_blank_end()
        for _, reason, note in self._faults:
            self.mark(reason, note)
        roles = {message["role"] for message in self.messages}
        for role, part in _PART.items():
            if role not in roles and not self.reason:
                self.mark(f"null_{part}", f"no {role} turn")

    def _cut_blank_end(self) -> None:
        """Leave out a last answer that is blank, with its question, where a whole exchange stands before it."""
        if len(self._faults) != 1 or self.reason:
            return
        turn, reason, note = self._faults[0]
        last = turn >= len(self.messages) - 1 and reason in ("empty_response", "null_response")
        before = self.messages[:turn]
        while before and before[-1]["role"] != "assistant":
            before.pop()
        if last and before and any(message["role"] == "user" for message in before):
            cut = len(self.messages[:turn]) - len(before)
            self.messages, self._faults = before, []
            self.leave_out("last question with a blank answer", f"{note}; it and {cut} turns before it are left out")


class _Parts:
    """Content parts: texts are joined, reasoning, calls and results are taken apart, others are refused."""

    def __init__(self) -> None:
        self.thoughts: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.results: list[tuple[str | None, Any]] = []
        self.bad = ""

    def read(self, parts: Sequence[Any], role: str, filled: bool) -> str | None:
        """The parts' text, "" where other parts stand alone; `bad` says what can't be read."""
        texts, others = [], Counter[str]()
        for part in parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            kind = part.get("type", part.get("content_type")) if isinstance(part, Mapping) else _kind(part)
            if isinstance(part, Mapping) and kind in _TEXT_PARTS and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part, Mapping) and kind == "refusal" and isinstance(part.get("refusal"), str):
                texts.append(part["refusal"])
            elif isinstance(part, Mapping) and kind in ("thinking", "reasoning", "redacted_thinking"):
                self.thoughts.append(_thought(_first(part, "thinking", "reasoning", "text", "content")))
            elif isinstance(part, Mapping) and kind in ("tool_use", "tool_call", "function_call"):
                call = _call(part, filled)
                self.calls += [call] if call else []
                others += Counter() if call else Counter({str(kind): 1})
            elif isinstance(part, Mapping) and kind == "tool_result":
                inner = part.get("content")
                self.results.append((_text_or_none(part.get("tool_use_id")), "" if inner is None else inner))
            else:
                others[str(kind)[:24]] += 1
        if others:
            told = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
            self.bad = f"a list with parts that are no text: {told}"
        return "".join(texts) if texts or not (self.thoughts or self.calls or self.results) else None


def _is_parts(value: Sequence[Any]) -> bool:
    return all(isinstance(part, Mapping) and "type" in part for part in value)


def _role_name(turn: Mapping[str, Any]) -> Any:
    said = _first(turn, *ROLE_KEYS)
    return _first(said, "role", "name") if isinstance(said, Mapping) else said


def _first(turn: Mapping[str, Any], *names: str) -> Any:
    """First of the named values that is not null: Parquet gives every turn of a column the keys of all."""
    return next((turn[name] for name in names if turn.get(name) is not None), None)


def _text_or_none(value: Any) -> str | None:
    return None if value is None or value == "" else value if isinstance(value, str) else dump_json(value)


def _thought(value: Any) -> str:
    """Reasoning as text: a text, a list of them, or anything else as JSON; "" for none."""
    if value is None or value == "" or value == []:
        return ""
    if isinstance(value, (list, tuple)):
        return "\n\n".join(filter(None, map(_thought, value)))
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        return str(value["text"])
    return value if isinstance(value, str) else dump_json(value)


def _stripped(text: str) -> str:
    """Reasoning without the marks that some data keep around it."""
    split = split_reasoning(text)
    inside = split.reasoning if split is not None and split.closed and not split.answer else text
    return inside.strip()


def _list(value: Any) -> list[Any]:
    """Calls as a list: one alone, JSON text of them, or none."""
    if isinstance(value, str):
        read = _listed(value)
        value = read if not isinstance(read, str) else _object(value) or value
    if value is None or value == "" or value == {}:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _call(call: Any, filled: bool) -> dict[str, Any] | None:
    """A tool call as `schema.TOOL_CALL`; None for one of no known shape.

    Args:
        call: {"type": "function", "function": {"name", "arguments"}}, {"name", "arguments"}, or JSON text of one.
        filled: whether nulls in the arguments were filled in by Arrow.

    """
    call = _object(call) if isinstance(call, str) else call
    if not isinstance(call, Mapping):
        return None
    inner: Mapping[str, Any] = call["function"] if isinstance(call.get("function"), Mapping) else call
    name = inner.get("name")
    if not isinstance(name, str) or not name:
        return None
    arguments = _first(inner, "arguments", "parameters", "input")
    if isinstance(arguments, str):
        text = arguments
    else:
        text = dump_json({} if arguments is None else _pruned(arguments) if filled else arguments)
    name, text = (item.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for item in (name, text))
    function = {"name": name, "arguments": text}
    number = _text_or_none(call.get("id"))
    return {**({"id": number} if number else {}), "type": "function", "function": function}


def _pruned(value: Any) -> Any:
    """The value without the nulls of its objects, which Arrow fills in for keys that only other rows have."""
    if isinstance(value, Mapping):
        return {name: _pruned(item) for name, item in value.items() if item is not None}
    return [_pruned(item) for item in value] if isinstance(value, (list, tuple)) else value


def tools_text(value: Any, filled: bool) -> str:
    """Tool definitions as JSON text.

    Args:
        value: definitions, or JSON text of them.
        filled: whether nulls were filled in by Arrow.

    """
    return dump_json(_pruned(value) if filled else value)


def _number(name: Any) -> int | None:
    found = re.fullmatch(r"(?:turn[_ ]?|t)?(\d+)", str(name).strip(), re.I)
    return int(found[1]) if found else None


def _listed(text: str) -> Any:
    """JSON text or a Python literal of a list or an object of lists; None for blank text; else the text itself."""
    if not text.strip():
        return None
    value = _literal(text)
    return value if isinstance(value, (list, dict)) else text


def _object(text: str) -> dict[str, Any] | None:
    """An object from its JSON text, or None."""
    if not text.lstrip().startswith("{"):
        return None
    value = _literal(text)
    return value if isinstance(value, dict) else None


def _literal(text: str) -> Any:
    """The value of JSON text or of a Python literal (also NumPy's, without commas between objects); None: neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text.lstrip()[:1] not in "[{(":
        return None
    for candidate in (text, re.sub(r"\}\s*\n\s*\{", "}, {", text)):
        try:
            return ast.literal_eval(candidate.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def looks_like_turns(value: Any) -> bool:
    """Whether a column's value looks like a conversation: a list of objects or of pairs, or JSON text of one."""
    if isinstance(value, str):
        value = _listed(value) if value.lstrip()[:1] == "[" else None
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(turn, Mapping) for turn in value):
        keys = {str(name).lower() for turn in value for name in turn}
        return bool(keys & set(ROLE_KEYS)) or any(set(pair) <= keys for pair in _PAIRS)
    return all(isinstance(turn, (list, tuple)) and len(turn) == 2 for turn in value)


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
