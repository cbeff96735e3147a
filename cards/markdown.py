"""Escape untrusted text inside Markdown, so that names and rules can't change a card's layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from ..reporting.formatting import duration, num, raw, share

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$&])")
_BLOCK = re.compile(r"^(\d*)([-=]|[.)](?=\s|$))")  # at a line's start: a rule, an underlined heading, a list
_RUN = re.compile(r"`+")


def inline(value: Any, limit: int = 200) -> str:
    """Plain text on one line: every character with a meaning in Markdown or HTML is escaped, addresses do not link."""
    line = _one_line(value, limit)
    return _BLOCK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", line)).replace("://", ":\u200b//")


def code(value: Any, limit: int = 200) -> str:
    """A code span that holds any text, in a table too; its fence is longer than any run of backticks inside."""
    line = _one_line(value, limit).replace("|", "\uff5c")  # a code span can't escape the bar that ends a table's cell
    if not line:
        return ""
    longest = max((len(run) for run in _RUN.findall(line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _one_line(value: Any, limit: int) -> str:
    line = " ".join(str(value).split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def render(template: str, filters: Mapping[str, Any] | None = None, **values: Any) -> str:
    """A template of this folder filled in; a name that it lacks a value for is an error."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    known = {"num": num, "raw": raw, "share": share, "duration": duration, "code": code, "inline": inline}
    environment.filters.update({**known, **(filters or {})})
    text = resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    page: str = environment.from_string(text).render(**values)
    return page
