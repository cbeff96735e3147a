"""Read a checked object from the text of a reply, or say why there is none; a reply that was cut is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..text.reasoning import harmony_channels, reasoning_marks, unwrapped
from .json_escapes import AmbiguousEscape, restore_backslashes
from .near_json import normalized

T = TypeVar("T", bound=BaseModel)

_MARK = "entp-end-of-reply"
_STARTS = 400  # opening braces that are tried as the start of an object
_OBJECT = re.compile(r"\{\s*[\"'}\w]")
_NO_OBJECT = "the reply holds no JSON object"


def parse_json(text: str, model: type[T]) -> tuple[T | None, str]:
    r"""The last object in the answer of a reply that fits `model`, and "".

    Reasoning is left out, in all the forms that `entp_hf.text.reasoning` knows: only what follows its last closing
    mark counts, and nothing where it never ends. Of several objects the last one that fits is taken: what precedes
    it is a draft. Strict JSON is tried first, then json-repair (single quotes, stray or missing commas, unescaped
    quotes). Backslashes that JSON would read as control characters, as in "\frac", are restored.

    Args:
        text: the reply.
        model: the form that the object must fit.

    Returns:
        (object, ""), or (None, reason) with the reason in words fit for asking again. An object that the text leaves
        open, in a string or before its last brace, is refused as truncated: its last value may be half of it.

    """
    try:
        restored = restore_backslashes(text)
    except AmbiguousEscape as error:
        return None, str(error)
    whole = _strict(restored.strip())
    if isinstance(whole, dict):
        return _check(whole, model)
    answer, problem = _answer(restored, model)
    if problem:
        return None, problem
    return _last_object(answer, model)


def _answer(text: str, model: type[T]) -> tuple[str, str]:
    """What follows the reasoning, and "", or "" and the problem. Marks inside the strings of an object don't count."""
    if (harmony := harmony_channels(text)) is not None or "<|channel|>final<|message|>" in text:
        if harmony is None:
            harmony = harmony_channels(text[text.index("<|channel|>") :])
        if harmony is None or not harmony.closed:
            return "", "the reply ends in its reasoning, without an answer"
        return harmony.answer, ""
    at, opened, spans = 0, False, _spans(text, model)
    for mark in reasoning_marks(text):
        if any(start < mark.start < end and start >= at for start, end in spans) and not opened:
            continue
        if mark.closes:
            at, opened = mark.end, False
        else:
            opened = True
    if opened:
        return "", "the reply ends in its reasoning, without an answer"
    return unwrapped(text[at:]), ""


def _spans(text: str, model: type[T]) -> list[tuple[int, int]]:
    """Where objects that fit `model` stand in the text."""
    return [(start, end) for start, end, value in _objects(text) if _check(value, model)[0] is not None]


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The strict JSON objects amid other text, outermost ones, as (start, end, object)."""
    decoder, at = json.JSONDecoder(strict=False), 0
    for _ in range(_STARTS):
        start = text.find("{", at)
        if start < 0:
            return
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            at = start + 1
            continue
        if isinstance(value, dict):
            yield start, at, value


def _last_object(text: str, model: type[T]) -> tuple[T | None, str]:
    if "{" not in text:
        return None, _NO_OBJECT
    found: T | None = None
    problem, begins, end = "", -1, 0
    for start, stop, value in _objects(text):
        fitted, why = _check(value, model)
        if fitted is not None or found is None:
            found, problem = (fitted, why) if fitted is not None else (found, why)
        if fitted is not None:
            begins, end = start, stop
    rest = _OBJECT.search(text, end)
    if rest is None or (found is None and problem and _strict(text[rest.start() :].strip().rstrip("`").strip())):
        return found, problem
    # What is left is either prose with a brace in it, or an object that is not strict JSON, maybe after such prose.
    first = "|".join(map(re.escape, model.model_fields))
    rest = re.compile(rf"\{{\s*[\"']?(?:{first})\b", re.I).search(text, end) or rest
    value, why = _repaired(text[rest.start() :])
    if not why:
        fitted, why = _check(value, model)
        if fitted is not None:
            return fitted, ""
    if found is None:
        return None, problem or why
    return (None, why) if "truncated" in why and begins >= 0 and _names(text[rest.start() :], model) else (found, "")


def _names(text: str, model: type[BaseModel]) -> bool:
    """Whether a text that begins an object names a field of the form: then it is an object of the form, left open."""
    head = text[:200]
    return any(re.search(rf"[{{,]\s*[\"']?{re.escape(name)}", head) for name in model.model_fields)


def _check(value: Any, model: type[T]) -> tuple[T | None, str]:
    """The object, also where its form differs in a way that has one reading (`near_json`); or what does not fit."""
    problem = ""
    for form in (value, normalized(value, model) if isinstance(value, dict) else value):
        try:
            return model.model_validate(form), ""
        except ValidationError as error:
            found = [f"{'.'.join(map(str, e['loc'])) or 'the object'}: {e['msg']}" for e in error.errors()[:3]]
            problem = "the reply's JSON does not fit: " + "; ".join(found)
    return None, problem


def _strict(text: str) -> Any:
    try:
        return json.loads(text)
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
    if isinstance(value, list):  # several objects one after the other
        value = next((item for item in reversed(value) if isinstance(item, dict)), value)
    if not isinstance(value, dict):
        return None, "the reply's JSON can't be read as one object"
    return value, ""
