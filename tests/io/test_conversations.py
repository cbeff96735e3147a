from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entp_hf.io.conversations import dump_json, plain
from entp_hf.io.formats import FORMS, normalise, restore, to_form
from entp_hf.schema import FEATURES, instruction_of, response_of, without_nulls

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


@pytest.mark.parametrize(
    ("raw", "form", "reason", "note"),
    [
        ({"instruction": None, "output": "b"}, "alpaca", "null_instruction", "column instruction: null"),
        ({"instruction": "a", "output": None}, "alpaca", "null_response", "column output: null"),
        ({"instruction": "a"}, "alpaca", "null_response", "column output: null"),
        ({"instruction": " \n", "output": "b"}, "alpaca", "empty_instruction", "column instruction: empty"),
        ({"instruction": "a", "context": "", "response": ""}, "dolly", "empty_response", "column response: empty"),
        ({"instruction": 7, "output": "b"}, "alpaca", "not_text", "column instruction: a number in place of text"),
        ({"instruction": "a", "input": ["x"], "output": "b"}, "alpaca", "not_text", "column input: list"),
        ({"instruction": "a", "output": "b", "system": 3}, "alpaca", "not_text", "column system: int"),
        ({"conversations": None}, "sharegpt", "no_turns", "column conversations: no turns"),
        ({"conversations": []}, "sharegpt", "no_turns", "column conversations: no turns"),
        ({"conversations": "Hi"}, "sharegpt", "bad_turns", "str in place of a list of turns"),
        ({"conversations": ["Hi"]}, "sharegpt", "bad_turns", "turn 1: str in place of a role"),
        ({"messages": [{"content": "Hi"}]}, "messages", "bad_turns", "turn 1: no role"),
        ({"messages": [{"role": "user"}]}, "messages", "bad_turns", "turn 1: no content"),
        ({"messages": [{"role": "moderator", "content": "x"}]}, "messages", "unknown_role", "role 'moderator'"),
        ({"messages": [TALK[0], {"role": "assistant", "content": None}]}, "messages", "null_response", "turn 2: null"),
        ({"messages": [TALK[0], {"role": "tool", "content": None}]}, "messages", "bad_turns", "turn 2: null"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages", "not_text", "turn 1: a list"),
        ({"messages": TALK[:1]}, "messages", "null_response", "no assistant turn"),
        ({"messages": TALK[1:]}, "messages", "null_instruction", "no user turn"),
        ({"prompt": TALK[:1], "completion": "b"}, "prompt_completion", "bad_turns", "one is a list of turns"),
        ({"prompt": "a", "completion": {}}, "prompt_completion", "not_text", "column completion: an object"),
    ],
)
def test_unusable_rows_are_marked_with_the_place(raw, form, reason, note):
    row = normalise(raw, form)
    assert row["dropped_by"] == f"input:{reason}"
    assert note in row["notes"]
    assert restore(row) == raw


def test_a_marked_row_holds_what_could_be_read():
    row = normalise({"messages": [TALK[0], {"role": "x", "content": "y"}, TALK[1]]}, "messages")
    assert (row["messages"], row["dropped_by"]) == (TALK, "input:unknown_role")


def test_lone_surrogates_are_replaced_and_still_restored():
    raw = json.loads('{"instruction": "a \\ud83d", "input": "\\udc00", "output": "\\ud83d\\ude00"}')
    row = normalise(raw, "alpaca")
    assert row["messages"][0]["content"] == "a \ufffd\n\n\ufffd"
    assert row["messages"][1]["content"] == "😀"
    assert instruction_of(row) == "a \ufffd"
    assert "column input: lone surrogates replaced" in row["notes"]
    assert restore(row) == raw
    pa.RecordBatch.from_pylist([row], schema=FEATURES.arrow_schema)


def test_values_that_json_lacks():
    values = {
        "day": dt.date(2025, 1, 2),
        "time": dt.datetime(2025, 1, 2, 3, 4),
        "text": b"\xc3\xa9",
        "bytes": b"\xff",
        "int": np.int64(3),
        "array": np.array([1.5, np.nan]),
        "nan": float("nan"),
        "exact": Decimal("0.1"),
        "t": (1,),
    }
    expected = {
        "day": "2025-01-02",
        "time": "2025-01-02T03:04:00",
        "text": "é",
        "bytes": "/w==",
        "int": 3,
        "array": [1.5, None],
        "nan": None,
        "exact": "0.1",
        "t": [1],
    }
    assert plain(values) == expected
    assert json.loads(dump_json(values)) == expected
    row = normalise({"instruction": "a", "output": "b", **values}, "alpaca")
    assert restore(row) == {"instruction": "a", "output": "b", **expected}


def test_nesting_too_deep_is_marked():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    row = normalise({"instruction": "a", "output": "b", "extra": deep}, "alpaca")
    assert (row["dropped_by"], row["original"]) == ("input:nested_too_deep", None)


text = st.text(st.characters(exclude_categories=()), max_size=8)  # with surrogates
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary(max_size=4) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
turn = st.dictionaries(st.sampled_from(["role", "from", "content", "value", "tool_calls", "text"]), value, max_size=4)
role = st.sampled_from(["user", "gpt", "tool", "system", "function_call", "narrator"])
near = st.fixed_dictionaries({"role": role, "content": text | value})
field = value | st.lists(turn | near | value, max_size=4)
NAMES = ["instruction", "input", "context", "output", "response", "prompt", "completion", "messages", "conversations"]


@given(row=st.dictionaries(st.sampled_from([*NAMES, "tools", "system"]), field), form=st.sampled_from(sorted(FORMS)))
def test_odd_rows_never_raise_and_can_always_be_stored(row, form):
    read = normalise(row, form)
    stored = pa.RecordBatch.from_pylist([read], schema=FEATURES.arrow_schema).to_pylist()[0]
    assert [without_nulls(message) for message in stored["messages"]] == read["messages"]
    assert restore(stored) == json.loads(json.dumps(plain(row)))
    if read["dropped_by"] is None:
        assert instruction_of(read).strip()
        assert response_of(read).strip() or any(message.get("tool_calls") for message in read["messages"])
        assert normalise(to_form(stored, "messages"), "messages")["messages"] == read["messages"]
        if not any(set(message) - {"role", "content"} for message in read["messages"]):
            assert normalise(to_form(stored, "sharegpt"), "sharegpt")["messages"] == read["messages"]
    else:
        assert read["dropped_by"].startswith("input:")
        assert read["notes"]
