"""JSON schemas for servers that take a subset of the language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = ("type", "enum", "const")


def bare_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with types and names alone: references put in place, every property required, none besides.

    Titles, defaults, lengths and bounds are left out: services refuse some of them, and the reply is checked anyway.
    """
    return _bare(schema, schema.get("$defs") or {})


def _bare(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(reference := part.get("$ref"), str):
        return _bare(definitions[reference.rsplit("/", 1)[-1]], definitions)
    found: dict[str, Any] = {name: part[name] for name in _KEPT if name in part}
    if isinstance(part.get("properties"), Mapping):
        found["properties"] = {name: _bare(value, definitions) for name, value in part["properties"].items()}
        found |= {"required": list(found["properties"]), "additionalProperties": False}
    if isinstance(part.get("items"), Mapping):
        found["items"] = _bare(part["items"], definitions)
    if isinstance(part.get("anyOf"), list):
        found["anyOf"] = [_bare(value, definitions) for value in part["anyOf"]]
    return found
