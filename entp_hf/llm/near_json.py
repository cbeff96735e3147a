"""Objects that say what was asked for in a slightly different form, as models give them without a schema.

Only what has one reading is taken: names in other case, an object inside one other key, null for a field that may be
left out, a number as text ("8", "8/10" where 10 is the highest value) or a text as a number.
"""

from __future__ import annotations

import re
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_NUMBER = re.compile(r"\s*(-?\d+(?:[.,]\d+)?)\s*(?:(?:/|out of|of)\s*(\d+(?:\.\d+)?))?\s*(?:points?)?\s*\.?\s*", re.I)


def normalized(value: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """`value` as an object of `model` where its form differs in one of the ways above; else as it is."""
    names = {_plain(name): name for name in model.model_fields}
    if len(value) == 1 and not names.keys() & {_plain(key) for key in value}:
        (inner,) = value.values()
        if isinstance(inner, list) and len(inner) == 1:
            (inner,) = inner
        if isinstance(inner, dict):
            value = inner
    keys = [_plain(key) for key in value]
    found: dict[str, Any] = {}
    for key, plain, item in zip(value, keys, value.values(), strict=True):
        name = key if key in model.model_fields else names.get(plain, key)
        if name != key and (keys.count(plain) > 1 or name in value):
            name = key  # two keys that could be meant
        field = model.model_fields.get(name)
        if field is None:
            found[name] = item
        elif item is not None or field.is_required():
            found[name] = _field(item, field)
    return found


def _plain(key: str) -> str:
    return re.sub(r"[\s_-]+", "_", key.strip().lower())


def _field(item: Any, field: FieldInfo) -> Any:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(item, dict):
        return normalized(item, kind)
    if typing.get_origin(kind) is list and isinstance(item, list):
        (part,) = typing.get_args(kind)
        if isinstance(part, type) and issubclass(part, BaseModel):
            return [normalized(entry, part) if isinstance(entry, dict) else entry for entry in item]
    if kind in (float, int) and isinstance(item, str) and (match := _NUMBER.fullmatch(item)):
        highest = next((rule.le for rule in field.metadata if hasattr(rule, "le")), None)
        if match[2] is None or (highest is not None and float(match[2]) == highest):
            return float(match[1].replace(",", "."))
    if kind is str and isinstance(item, int | float) and not isinstance(item, bool):
        return str(item)
    return item
