"""The formats that SFT rows come in: found by their columns, read into rows, written out again."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, OutputError
from ..schema import JOIN, DroppedBy, Row, calls_text, instruction_of, is_single_turn, new_row
from .conversations import REASONING_KEYS, Turns, dump_json, looks_like_turns, tools_text


@dataclass(frozen=True)
class Form:
    """Columns of an input format; each entry of `needs` is a column and its other names."""

    needs: tuple[tuple[str, ...], ...]
    takes: tuple[str, ...] = ()

    def describe(self) -> str:
        """The columns in words."""
        needs = ", ".join(" or ".join(names) for names in self.needs)
        return needs + (f"; optional {', '.join(self.takes)}" if self.takes else "")


SYSTEM = ("system", "system_prompt", "system_message")
CONTEXT = ("input", "context")
# Names of the question and of the answer in the well-known sets (FLAN, GSM8K, MetaMath, NuminaMath, OpenOrca, ...).
QUESTION = (
    "instruction", "question", "query", "problem", "prompt", "human", "user", "request", "inputs", "task",
    "user_input", "input", "q",
)  # fmt: skip
ANSWER = (
    "output", "response", "answer", "completion", "solution", "generated_solution", "assistant", "target", "targets",
    "reply", "outputs", "bot", "gpt", "model_answer", "generation", "a",
)  # fmt: skip
# In the order they are tried. Dolly before Alpaca: it is the one with a `context`.
FORMS = {
    "messages": Form((("messages",),), ("tools", *SYSTEM)),
    "sharegpt": Form((("conversations", "conversation", "dialogue", "dialog", "turns", "chat"),), ("tools", *SYSTEM)),
    "prompt_completion": Form((("prompt",), ("completion",)), ("tools", *SYSTEM)),
    "dolly": Form((("instruction",), ("context",), ("response", "output")), ("input", "history", *SYSTEM)),
    "alpaca": Form((("instruction",), ("output", "response")), ("input", "history", *SYSTEM)),
    "preference": Form((("chosen",), ("rejected",)), ("prompt", "question", "instruction", *SYSTEM)),
    "question_answer": Form((QUESTION, ANSWER), ("context", "history", "tools", *SYSTEM)),
    "data": Form((("data",),), SYSTEM),
}
ROLE_OUT = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
_KNOWN = {name for form in FORMS.values() for names in (*form.needs, form.takes) for name in names} | {*REASONING_KEYS}
_BLANK: tuple[Any, ...] = (None, "", [], {})
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")  # Anthropic's transcripts of preference data


def case_names(names: Iterable[str]) -> dict[str, str]:
    """Renames of columns that are known but for case or blanks around them, as known name to column."""
    names = list(names)
    folded = ((str(name).strip().lower(), name) for name in reversed(names))
    return {known: name for known, name in folded if known != name and known in _KNOWN and known not in names}


def detect_form(column_names: Sequence[str], first_rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Name of the format of these columns; where several fit, the first that the first rows hold values for.

    Args:
        column_names: the columns, in any case.
        first_rows: some rows, by which a choice between several formats is made.

    Raises InputError with the columns seen and the formats known.

    """
    fits = [name for name in FORMS if not missing_columns(name, column_names)]
    if not fits:
        turns = [name for name in column_names if any(looks_like_turns(row.get(name)) for row in first_rows)]
        advice = f"messages={turns[0]}" if turns else "instruction=question output=answer"
        raise InputError(
            f"columns {', '.join(map(repr, column_names)) or '(none)'} are of no known form. Known: {known_forms()}. "
            f"Rename with columns, such as {advice}"
        )
    renames = case_names(column_names)
    rows = [renamed(row, renames) for row in first_rows]
    return next((name for name in fits if any(fills(row, name) for row in rows)), fits[0])


def known_forms() -> str:
    """All formats with their columns, in words."""
    return " | ".join(f"{name} ({form.describe()})" for name, form in FORMS.items())


def missing_columns(form: str, column_names: Sequence[str]) -> list[str]:
    """What `form` needs and the columns don't have, in words."""
    known = {*column_names, *case_names(column_names)}
    return [" or ".join(names) for names in _needs(form, known) if not set(names) & known]


def used_columns(form: str, row: Mapping[str, Any]) -> set[str]:
    """The columns of a row, under the known names, that reading it as `form` takes values from."""
    chosen = {_present(row, names) for names in _needs(form, row)}
    return chosen | set(FORMS[form].takes) | set(REASONING_KEYS)


def form_of_row(row: Mapping[str, Any], form: str) -> str:
    """The format to read one row as: `form`, or another one where the row holds values for that one alone.

    A file may change its format on the way, and then its first rows say nothing of the rest.
    """
    if fills(row, form):
        return form
    others = (name for name in FORMS if name != form and not missing_columns(name, list(row)))
    return next((name for name in others if fills(row, name)), form)


def _needs(form: str, names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """The columns needed; a question and an answer may not be the same column."""
    needs = FORMS[form].needs
    if form == "question_answer":
        question = next((name for name in needs[0] if name in names), needs[0][0])
        return (needs[0], tuple(name for name in needs[1] if name != question))
    return needs


def fills(row: Mapping[str, Any], form: str) -> bool:
    """Whether the first and the last column needed have values: a `context` may well be empty."""
    needs = _needs(form, row)
    if form == "data" and not isinstance(row.get("data"), (list, str, Mapping)):
        return False
    first = any(row.get(name) not in _BLANK for name in needs[0])
    if form in ("alpaca", "dolly"):  # the question may stand in `input` alone
        first = first or (needs[0][0] in row and row.get("input") not in _BLANK)
    return first and any(row.get(name) not in _BLANK for name in needs[-1])


def renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """The row with its columns under known names.

    Args:
        row: the row as it came in.
        columns: known name to the row's column.

    """
    found = {known: row[name] for known, name in columns.items() if name in row}
    if not found:
        return row
    return {name: value for name, value in row.items() if name not in columns.values()} | found


def normalise(
    row: Mapping[str, Any],
    form: str,
    columns: Mapping[str, str] | None = None,
    *,
    roles: Mapping[str, str] | None = None,
    filled: bool = False,
    left_out: Counter[str] | None = None,
    **values: Any,
) -> Row:
    """A full row of `schema.FEATURES`.

    Never raises for what a row holds: one that can't be used gets `dropped_by` "input:REASON" (null_instruction,
    empty_instruction, null_response, empty_response, not_text, no_turns, bad_turns, unknown_role, nested_too_deep),
    the place in `notes`, and in `messages` what could be read.

    Args:
        row: the row as it came in.
        form: a name of `FORMS`.
        columns: known column names to those of the row.
        roles: role names of the data to roles of a row.
        filled: whether the row's nulls were filled in by Arrow.
        left_out: counts of what the messages have no place for, added to.
        values: further columns of the row, such as `source`.

    """
    turns, separate, tools, original = Turns(roles or {}, filled), "", None, None
    try:
        seen = renamed(row, {**case_names(row), **(columns or {})})
        separate = _read(seen, form, turns)
        for name in REASONING_KEYS:
            if name in seen:
                turns.add_reasoning(seen[name], f"column {name}")
        _add_system(seen, form, turns)
        tools = _read_tools(seen, turns) if "tools" in FORMS[form].takes else None
        turns.close()
        original = dump_json(row)
    except RecursionError:
        turns.mark("nested_too_deep", "values nested too deep to be stored as JSON")
    if left_out is not None:
        left_out.update(turns.left_out)
    notes = "; ".join(turns.notes[:4])
    dropped_by = DroppedBy.unreadable(turns.reason) if turns.reason else None
    return new_row(
        turns.messages, input=separate, tools=tools, original=original, dropped_by=dropped_by, notes=notes, **values
    )


def _read(row: Mapping[str, Any], form: str, turns: Turns) -> str:
    """Read the turns; returns the separate input of the first user turn, or ""."""
    if form in ("alpaca", "dolly", "question_answer"):
        return _read_single(row, form, turns)
    if form == "prompt_completion":
        _read_prompt(row, turns)
    elif form == "preference":
        _read_preference(row, turns)
    else:
        column = _present(row, FORMS[form].needs[0])
        turns.add_all(row.get(column), f"column {column}")
    return ""


def _present(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the names with a value, else the first that is not null, else the first there, else the first."""
    there = [name for name in names if name in row]
    with_value = next((name for name in there if row[name] not in _BLANK), None)
    not_null = next((name for name in there if row[name] is not None), there[0] if there else names[0])
    return with_value or not_null


def _read_single(row: Mapping[str, Any], form: str, turns: Turns) -> str:
    """History, one instruction and its response; returns the separate input, verbatim."""
    needs = _needs(form, row)
    question, answer = _present(row, needs[0]), _present(row, needs[-1])
    if (history := row.get("history")) not in _BLANK and history != "[]":
        turns.add_all(history, "column history")
    separate = _separate(row, [name for name in CONTEXT if name not in (question, answer)], turns)
    asked, place = row.get(question), f"column {question}"
    if separate and asked in (None, "") and question != "input":
        asked, separate = separate, ""
    first = len(turns.messages)
    turns.add("user", asked, place)
    if separate and len(turns.messages) > first:
        turns.messages[-1]["content"] += JOIN + separate
    turns.add("assistant", row.get(answer), f"column {answer}")
    return "" if first else separate


def _separate(row: Mapping[str, Any], names: Sequence[str], turns: Turns) -> str:
    """The texts of the columns `names`, joined where both have one."""
    texts = []
    for name in names:
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            turns.mark("not_text", f"column {name}: {type(value).__name__} in place of text")
        elif value:
            texts.append(turns.clean(value, f"column {name}"))
    return JOIN.join(dict.fromkeys(texts))


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


def _read_preference(row: Mapping[str, Any], turns: Turns) -> None:
    """The chosen answer; the rejected one stays in `original`."""
    chosen = row.get("chosen")
    question = _present(row, ("prompt", "question", "instruction"))
    asked = row.get(question)
    if isinstance(chosen, str) and asked in _BLANK and (speakers := _SPEAKER.split(chosen))[1:]:
        pairs = zip(speakers[1::2], speakers[2::2], strict=True)
        turns.add_all([{"role": who, "content": text.strip()} for who, text in pairs], "column chosen")
    elif isinstance(chosen, (list, Mapping)) and (asked in _BLANK or _has_question(chosen)):
        turns.add_all(chosen, "column chosen")
    else:
        if isinstance(asked, list):
            turns.add_all(asked, f"column {question}")
        else:
            turns.add("user", asked, f"column {question}")
        if isinstance(chosen, list):
            turns.add_all(chosen, "column chosen")
        else:
            turns.add("assistant", chosen, "column chosen")
    if row.get("rejected") not in _BLANK:
        turns.left_out["rejected answers"] += 1


def _has_question(chosen: Any) -> bool:
    turns = chosen if isinstance(chosen, list) else [chosen]
    return any(isinstance(turn, Mapping) and "user" in (turn.get("role"), turn.get("from")) for turn in turns) or any(
        isinstance(turn, Mapping) and turn.get("from") == "human" for turn in turns
    )


def _add_system(row: Mapping[str, Any], form: str, turns: Turns) -> None:
    names = [name for name in SYSTEM if name in FORMS[form].takes and row.get(name) not in (None, "")]
    for name in names[:1]:
        text = row[name]
        if not isinstance(text, str):
            turns.mark("not_text", f"column {name}: {type(text).__name__} in place of text")
        elif any(message["role"] == "system" for message in turns.messages):
            told = f"column {name}: left out, for the turns have a system turn of their own"
            turns.leave_out("system column beside a system turn", told)
        else:
            turns.messages.insert(0, {"role": "system", "content": turns.clean(text, f"column {name}")})
    for name in names[1:]:
        turns.leave_out("second system column", f"column {name}: left out, for {names[0]} has a value")


def _read_tools(row: Mapping[str, Any], turns: Turns) -> str | None:
    tools = row.get("tools")
    if tools is None or tools in ("", []):
        return None
    return turns.clean(tools, "column tools") if isinstance(tools, str) else tools_text(tools, turns.filled)


def restore(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as they came in (dates and bytes as text). Raises OutputError for a row the pipeline made."""
    if row["original"] is None:
        raise OutputError(f"row {row['id']} has no original columns (origin {row.get('origin')}); write it by to_form")
    return dict(json.loads(row["original"]))


def to_form(row: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The row's messages, as they now are, in the columns of `form`.

    prompt_completion gives lists of messages, so that trainers apply the chat template. Reasoning stands in
    `<think>` marks before the content, but for lists of messages, which have `reasoning_content`. Raises OutputError
    where the form has no place for something in the row.
    """
    messages = [_turn_out(message) for message in row["messages"]]
    tools = {"tools": row["tools"]} if row.get("tools") is not None else {}
    if form == "messages":
        return {"messages": messages, **tools}
    if form == "sharegpt":
        return {"conversations": _dialogue(messages), **tools}
    if form == "prompt_completion":
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise OutputError(f"row {row['id']} can't be prompt_completion: it does not end with a response")
        return {"prompt": messages[:-1], "completion": messages[-1:], **tools}
    if form == "data":
        return {"data": [_with_think(message) for message in _only_questions_and_answers(row)]}
    if form not in FORMS or form == "preference":
        writable = ", ".join(name for name in FORMS if name != "preference")
        raise OutputError(f"no form {form!r} can be written; known: {writable}")
    return _single_form(row, form)


def _turn_out(message: Mapping[str, Any]) -> dict[str, Any]:
    turn = {name: value for name, value in message.items() if value is not None and name != "reasoning"}
    return turn | ({"reasoning_content": message["reasoning"]} if message.get("reasoning") else {})


def _with_think(message: Mapping[str, Any]) -> str:
    thought = message.get("reasoning") or message.get("reasoning_content")
    return f"<think>\n{thought}\n</think>\n\n{message['content']}" if thought else str(message["content"])


def _dialogue(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    following = [m["role"] for m in messages[1:]] + [""]
    turns = []
    for message, then in zip(messages, following, strict=True):
        calls, text = calls_text(message), _with_think(message)
        is_call = not calls and (message["role"], then) == ("assistant", "tool")
        if text or not calls:
            turns.append({"from": "function_call" if is_call else ROLE_OUT[message["role"]], "value": text})
        if calls:
            turns.append({"from": "function_call", "value": calls})
    return turns


def _single_form(row: Mapping[str, Any], form: str) -> dict[str, Any]:
    system = [m["content"] for m in row["messages"] if m["role"] == "system"]
    excess = "" if is_single_turn(row) else f"{len(row['messages'])} turns"
    if row.get("tools") is not None or any(m.get("tool_calls") for m in row["messages"]):
        excess = "tools"
    elif len(system) > (form != "dolly"):
        excess = "a system turn"
    if excess:
        raise OutputError(f"row {row['id']} can't be written as {form}, for it has {excess}; use messages or sharegpt")
    separate, answer = {"dolly": ("context", "response"), "question_answer": ("context", "answer")}.get(
        form, ("input", "output")
    )
    question = "question" if form == "question_answer" else "instruction"
    prompt = next(m["content"] for m in row["messages"] if m["role"] == "user")
    given = row.get("input") or ""
    given = given if prompt.endswith(JOIN + given) else ""  # else it is in the instruction already
    last = next(m for m in row["messages"] if m["role"] == "assistant")
    values = {question: instruction_of(row), separate: given, answer: _with_think(last)}
    return values | ({"system": system[0]} if system else {})


def _only_questions_and_answers(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    messages: Sequence[Mapping[str, Any]] = row["messages"]
    roles = [message["role"] for message in messages]
    if row.get("tools") is not None or roles != ["user", "assistant"] * (len(roles) // 2):
        raise OutputError(f"row {row['id']} can't be written as data, for it is not questions and answers by turns")
    return messages
