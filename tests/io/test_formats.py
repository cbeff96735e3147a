from __future__ import annotations

import json

import pytest

from entp_hf.errors import InputError, OutputError
from entp_hf.io.formats import FORMS, detect_form, normalise, restore, to_form
from entp_hf.schema import FEATURES, instruction_of, response_of

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
LINES = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
EXAMPLES = {
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello."},
    "dolly": {"instruction": "Hi", "context": "", "response": "Hello."},
    "sharegpt": {"conversations": LINES},
    "messages": {"messages": TALK},
    "prompt_completion": {"prompt": "Hi", "completion": "Hello."},
    "preference": {"prompt": "Hi", "chosen": "Hello.", "rejected": "Go."},
    "question_answer": {"question": "Hi", "answer": "Hello."},
    "data": {"data": ["Hi", "Hello."]},
}


def said(row):
    return [(m["role"], m["content"]) for m in row["messages"]]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_and_read_to_the_same_messages(form):
    raw = EXAMPLES[form]
    assert detect_form(list(raw), [raw]) == form
    row = normalise(raw, form)
    assert list(row) == list(FEATURES)
    assert row["messages"] == TALK
    assert row["dropped_by"] is None
    assert row["notes"] == ""
    assert restore(row) == raw


@pytest.mark.parametrize("form", [form for form in FORMS if form != "preference"])
def test_every_form_can_be_written_and_read_back(form):
    row = normalise({"instruction": "Sum up.", "input": "  A text.\n", "output": "Short."}, "alpaca")
    written = to_form(row, form)
    assert detect_form(list(written), [written]) == form
    again = normalise(written, form)
    assert (again["messages"], again["id"]) == (row["messages"], row["id"])


def test_input_is_kept_verbatim():
    row = normalise({"instruction": "Sum up.", "input": "  A text.\n", "output": "Short."}, "alpaca")
    assert row["input"] == "  A text.\n"
    assert row["messages"][0]["content"] == "Sum up.\n\n  A text.\n"
    assert (instruction_of(row), response_of(row)) == ("Sum up.", "Short.")
    assert to_form(row, "dolly") == {"instruction": "Sum up.", "context": "  A text.\n", "response": "Short."}


def test_an_input_no_longer_at_the_end_is_not_written_twice():
    row = normalise({"instruction": "Sum up.", "input": "A text.", "output": "Short."}, "alpaca")
    row["messages"] = [{"role": "user", "content": "Sum up: a text"}, row["messages"][1]]
    assert to_form(row, "alpaca") == {"instruction": "Sum up: a text", "input": "", "output": "Short."}


def test_unknown_columns_are_listed_with_the_known_forms():
    with pytest.raises(
        InputError, match=r"'questions', 'answer' are of no known form.*alpaca \(instruction, output or"
    ):
        detect_form(["questions", "answer"])


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ({"instruction": "a", "context": "", "response": "b"}, "dolly"),  # an empty context is a context
        ({"instruction": "a", "response": "b"}, "alpaca"),
        ({"instruction": "a", "output": "b", "messages": None}, "alpaca"),
        ({"instruction": "a", "output": "b", "messages": TALK}, "messages"),
        ({"prompt": "a", "completion": "b", "conversations": []}, "prompt_completion"),
    ],
)
def test_where_several_forms_fit_the_values_decide(raw, form):
    assert detect_form(list(raw), [raw]) == form


def test_sharegpt_tool_calls_system_and_tools():
    raw = {
        "conversations": [
            {"from": "human", "value": "Rain?"},
            {"from": "function_call", "value": '{"name":  "rain"}'},
            {"from": "observation", "value": '{"mm": 0}'},
            {"from": "chatgpt", "value": "No."},
        ],
        "system": "Be brief.",
        "tools": [{"name": "rain", "unit": "µm"}],
    }
    row = normalise(raw, "sharegpt")
    assert said(row) == [
        ("system", "Be brief."),
        ("user", "Rain?"),
        ("assistant", '{"name":  "rain"}'),
        ("tool", '{"mm": 0}'),
        ("assistant", "No."),
    ]
    assert row["tools"] == '[{"name": "rain", "unit": "µm"}]'
    assert restore(row) == raw
    out = to_form(row, "sharegpt")
    assert [t["from"] for t in out["conversations"]] == ["system", "human", "function_call", "observation", "gpt"]
    for form in ("alpaca", "dolly"):
        with pytest.raises(OutputError, match=f"can't be written as {form}, for it has tools"):
            to_form(row, form)


def test_a_system_turn_fits_alpaca_but_not_dolly():
    row = normalise({"instruction": "Hi", "output": "Hello.", "system": "Be kind."}, "alpaca")
    assert said(row)[0] == ("system", "Be kind.")
    assert to_form(row, "alpaca") == {"instruction": "Hi", "input": "", "output": "Hello.", "system": "Be kind."}
    with pytest.raises(OutputError, match="a system turn"):
        to_form(row, "dolly")


def test_the_turns_own_system_turn_wins():
    turns = [{"role": "system", "content": "A"}, *TALK]
    row = normalise({"messages": turns, "system": "B"}, "messages")
    assert row["messages"] == turns
    assert "column system: left out" in row["notes"]


def test_messages_with_tool_calls_and_text_parts():
    calls = [{"type": "function", "function": {"name": "räin", "arguments": "{}"}}]
    raw = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Ra"}, {"type": "text", "text": "in?"}]},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "content": ""},
            {"role": "assistant", "content": "No.", "tool_calls": calls},
        ]
    }
    row = normalise(raw, "messages")
    assert row["dropped_by"] is None
    assert said(row) == [
        ("system", "Be brief."),
        ("user", "Rain?"),
        ("assistant", ""),
        ("tool", ""),
        ("assistant", "No."),
    ]
    assert row["messages"][2]["tool_calls"] == row["messages"][4]["tool_calls"] == calls
    assert row["notes"] == ""
    assert normalise(to_form(row, "messages"), "messages")["messages"] == row["messages"]


def test_prompt_and_completion_as_lists():
    raw = {"prompt": [{"role": "system", "content": "S"}, TALK[0]], "completion": [TALK[1]], "tools": "[1]"}
    row = normalise(raw, "prompt_completion")
    assert said(row) == [("system", "S"), ("user", "Hi"), ("assistant", "Hello.")]
    assert to_form(row, "prompt_completion") == raw


def test_turns_as_json_text_and_under_other_names():
    row = normalise({"conversations": json.dumps(LINES)}, "sharegpt")
    assert row["messages"] == TALK
    assert normalise({"messages": LINES}, "messages")["messages"] == TALK
    # Parquet gives every turn of a column the keys of all, as nulls
    mixed = [{"role": None, "from": "human", "content": None, "value": "Hi"}, {**TALK[1], "from": None, "value": None}]
    assert normalise({"conversation": mixed}, "sharegpt")["messages"] == TALK


def test_renames():
    raw = {"question": "Hi", "answer": "Hello.", "output": "not this"}
    row = normalise(raw, "alpaca", {"instruction": "question", "output": "answer"})
    assert row["messages"] == TALK
    assert restore(row) == raw


def test_a_made_row_has_nothing_to_restore():
    row = normalise(EXAMPLES["alpaca"], "alpaca") | {"original": None, "origin": "fused"}
    with pytest.raises(OutputError, match="origin fused"):
        restore(row)


def test_what_a_form_has_no_place_for_is_refused():
    row = normalise({"messages": [*TALK, TALK[0]]}, "messages")
    with pytest.raises(OutputError, match="it has 3 turns; use messages or sharegpt"):
        to_form(row, "alpaca")
    with pytest.raises(OutputError, match="does not end with a response"):
        to_form(row, "prompt_completion")
    with pytest.raises(OutputError, match="no form 'chatml' can be written; known: messages"):
        to_form(row, "chatml")
