"""The forms that SFT rows come in: found by their columns, normalised at the door, written out again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, OutputError
from ..schema import JOIN, DroppedBy, Row, instruction_of, is_single_turn, new_row, response_of
from .conversations import Turns, dump_json


@dataclass(frozen=True)
class Form:
    """Columns of an input form; each entry of `needs` is a column and its other names."""

    needs: tuple[tuple[str, ...], ...]
    takes: tuple[str, ...] = ()

    def describe(self) -> str:
        """The columns in words."""
        needs = ", ".join(" or ".join(names) for names in self.needs)
        return needs + (f"; optional {', '.join(self.takes)}" if self.takes else "")


# In the order they are tried. Dolly before Alpaca: it is the one with a `context`.
FORMS = {
    "messages": Form((("messages",),), ("tools", "system")),
    "sharegpt": Form((("conversations", "conversation"),), ("tools", "system")),
    "prompt_completion": Form((("prompt",), ("completion",)), ("tools",)),
    "dolly": Form((("instruction",), ("context",), ("response", "output"))),
    "alpaca": Form((("instruction",), ("output", "response")), ("input", "system")),
}
ROLE_OUT = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}


def detect_form(column_names: Sequence[str], first_rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Name of the form these columns are of; where several fit, the first that the first rows hold values for.

    Raises InputError with the columns seen and the forms known.
    """
    fits = [name for name in FORMS if not missing_columns(name, column_names)]
    if not fits:
        raise InputError(
            f"columns {', '.join(map(repr, column_names)) or '(none)'} are of no known form. Known: {known_forms()}. "
            "Rename with columns, such as instruction=question output=answer"
        )
    return next((name for name in fits if any(_filled(row, name) for row in first_rows)), fits[0])


def known_forms() -> str:
    """All forms with their columns, in words."""
    return " | ".join(f"{name} ({form.describe()})" for name, form in FORMS.items())


def missing_columns(form: str, column_names: Sequence[str]) -> list[str]:
    """What `form` needs and the columns don't have, in words."""
    return [" or ".join(names) for names in FORMS[form].needs if not set(names) & set(column_names)]


def _filled(row: Mapping[str, Any], form: str) -> bool:
    """Values in the first and the last column of those needed: a `context` may well be empty."""
    ends = (FORMS[form].needs[0], FORMS[form].needs[-1])
    return all(any(row.get(name) not in (None, "", []) for name in names) for names in ends)


def renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """The row seen under our names; `columns` maps ours to theirs."""
    given = {ours: row[theirs] for ours, theirs in columns.items() if theirs in row}
    if not given:
        return row
    return {name: value for name, value in row.items() if name not in columns.values()} | given


def normalise(row: Mapping[str, Any], form: str, columns: Mapping[str, str] | None = None, **values: Any) -> Row:
    """A full row of `schema.FEATURES`; `values` are further columns of it, such as `source`.

    Never raises for what a row holds: one that can't be used gets `dropped_by` "input:REASON" (null_instruction,
    empty_instruction, null_response, empty_response, not_text, no_turns, bad_turns, unknown_role, nested_too_deep),
    the place in `notes`, and in `messages` what could be read.
    """
    turns, given, tools, original = Turns(), "", None, None
    try:
        seen = renamed(row, columns or {})
        if form in ("alpaca", "dolly"):
            given = _read_single(seen, form, turns)
        elif form == "prompt_completion":
            _read_prompt(seen, turns)
        else:
            column = _present(seen, FORMS[form].needs[0])
            turns.add_all(seen.get(column), f"column {column}")
        _add_system(seen, form, turns)
        tools = _read_tools(seen, turns) if "tools" in FORMS[form].takes else None
        turns.close()
        original = dump_json(row)
    except RecursionError:
        turns.mark("nested_too_deep", "values nested too deep to be stored as JSON")
    notes = "; ".join(turns.notes[:4])
    dropped_by = DroppedBy.unreadable(turns.reason) if turns.reason else None
    return new_row(
        turns.messages, input=given, tools=tools, original=original, dropped_by=dropped_by, notes=notes, **values
    )


def _present(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the names with a value, else the first that is there at all, else the first."""
    there = [name for name in names if name in row]
    return next((name for name in there if row[name] is not None), there[0] if there else names[0])


def _read_single(row: Mapping[str, Any], form: str, turns: Turns) -> str:
    """One instruction and its response; returns the separate input, verbatim."""
    column = "context" if form == "dolly" else "input"
    given = row.get(column)
    if given is not None and not isinstance(given, str):
        turns.mark("not_text", f"column {column}: {type(given).__name__} in place of text")
    given = turns.clean(given, f"column {column}") if isinstance(given, str) else ""
    turns.add("user", row.get("instruction"), "column instruction")
    if given and turns.messages:
        turns.messages[0]["content"] += JOIN + given
    answer = _present(row, FORMS[form].needs[-1])
    turns.add("assistant", row.get(answer), f"column {answer}")
    return given


def _read_prompt(row: Mapping[str, Any], turns: Turns) -> None:
    prompt, completion = row.get("prompt"), row.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        turns.add_all(prompt, "column prompt")
        turns.add_all(completion, "column completion")
    elif isinstance(prompt, list) or isinstance(completion, list):
        turns.mark("bad_turns", "columns prompt and completion: one is a list of turns, the other is not")
    else:
        turns.add("user", prompt, "column prompt")
        turns.add("assistant", completion, "column completion")


def _add_system(row: Mapping[str, Any], form: str, turns: Turns) -> None:
    text = row.get("system") if "system" in FORMS[form].takes else None
    if text is None or text == "":
        return
    if not isinstance(text, str):
        turns.mark("not_text", f"column system: {type(text).__name__} in place of text")
    elif any(message["role"] == "system" for message in turns.messages):
        turns.notes.append("column system: left out, for the turns have a system turn of their own")
    else:
        turns.messages.insert(0, {"role": "system", "content": turns.clean(text, "column system")})


def _read_tools(row: Mapping[str, Any], turns: Turns) -> str | None:
    tools = row.get("tools")
    if tools is None or tools == "":
        return None
    return turns.clean(tools, "column tools") if isinstance(tools, str) else dump_json(tools)


def restore(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as they came in (dates and bytes as text). Raises OutputError for a row the pipeline made."""
    if row["original"] is None:
        raise OutputError(f"row {row['id']} has no original columns (origin {row.get('origin')}); write it by to_form")
    return dict(json.loads(row["original"]))


def to_form(row: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The row's messages, as they now are, in the columns of `form`.

    prompt_completion gives lists of messages, so that trainers apply the chat template. Raises OutputError where the
    form has no place for something in the row.
    """
    messages = [{"role": m["role"], "content": m["content"]} for m in row["messages"]]
    tools = {"tools": row["tools"]} if row.get("tools") is not None else {}
    if form == "messages":
        return {"messages": messages, **tools}
    if form == "sharegpt":
        return {"conversations": _dialogue(messages), **tools}
    if form == "prompt_completion":
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise OutputError(f"row {row['id']} can't be prompt_completion: it does not end with a response")
        return {"prompt": messages[:-1], "completion": messages[-1:], **tools}
    if form not in FORMS:
        raise OutputError(f"no form {form!r}; known: {', '.join(FORMS)}")
    return _single_form(row, form)


def _dialogue(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    following = [m["role"] for m in messages[1:]] + [""]
    return [
        {
            "from": "function_call" if (m["role"], then) == ("assistant", "tool") else ROLE_OUT[m["role"]],
            "value": m["content"],
        }
        for m, then in zip(messages, following, strict=True)
    ]


def _single_form(row: Mapping[str, Any], form: str) -> dict[str, Any]:
    system = [m["content"] for m in row["messages"] if m["role"] == "system"]
    excess = "" if is_single_turn(row) else f"{len(row['messages'])} turns"
    if row.get("tools") is not None:
        excess = "tools"
    elif len(system) > (form == "alpaca"):
        excess = "a system turn"
    if excess:
        raise OutputError(f"row {row['id']} can't be written as {form}, for it has {excess}; use messages or sharegpt")
    separate, answer = ("input", "output") if form == "alpaca" else ("context", "response")
    prompt = next(m["content"] for m in row["messages"] if m["role"] == "user")
    given = row.get("input") or ""
    given = given if prompt.endswith(JOIN + given) else ""  # else it is in the instruction already
    values = {"instruction": instruction_of(row), separate: given, answer: response_of(row)}
    return values | ({"system": system[0]} if system else {})
