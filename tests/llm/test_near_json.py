"""Replies that say what was asked for in a slightly different form: taken where they have one reading."""

from __future__ import annotations

import json

import pytest

from entp_hf.llm.structured import parse_json
from entp_hf.mix.fusion import Fused, FusedTalk
from entp_hf.rating.rate import Judgement

RATES = {"rarity": 4, "complexity": 5, "informativeness": 6, "overall": 8, "reason": "short"}
PAIR = {"instruction": "What is a mill race?", "response": "A channel."}


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": None},
        {"overall": "8"},
        {"overall": "8/10"},
        {"overall": "8 out of 10"},
        {"overall": " 8.0 / 10 "},
        {"reason": 7},
    ],
)
def test_values_of_another_type_with_one_reading(changes: dict) -> None:
    found, why = parse_json(json.dumps(RATES | changes), Judgement)
    assert why == ""
    assert found is not None and found.overall == 8


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"overall": "8/5"}, "overall"),  # of another scale
        ({"overall": "high"}, "overall"),
        ({"overall": None}, "overall"),
        ({"overall": "7 or 8"}, "overall"),
        ({"overall": 11}, "overall"),
        ({"overall": True, "rarity": []}, "rarity"),
    ],
)
def test_values_with_several_readings_are_named(changes: dict, named: str) -> None:
    found, why = parse_json(json.dumps(RATES | changes), Judgement)
    assert found is None
    assert named in why


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"result": PAIR}),
        json.dumps({"Instruction": PAIR["instruction"], "RESPONSE": PAIR["response"]}),
        json.dumps({"output": [PAIR]}),
        json.dumps({"fused": {"Instruction": PAIR["instruction"], "Response": PAIR["response"]}}),
        f"As {{asked}}, merged: {json.dumps(PAIR)}",
        "The set {a, b} is kept.\n" + str(PAIR),  # single quotes, after a brace in prose
        f"Set {{1, 2}} {{3}}: {json.dumps(PAIR)[:-1]},}}",
    ],
)
def test_other_names_wrappers_and_prose_braces(text: str) -> None:
    assert parse_json(text, Fused) == (Fused(**PAIR), "")


@pytest.mark.parametrize(
    "value",
    [
        {"Instruction": "a", "INSTRUCTION": "b", "response": "c"},  # which one?
        {"instruction": None, "response": "c"},
        {"instruction": "", "response": "c"},
        {"a": PAIR, "b": PAIR},
        {"instruction": ["a"], "response": "c"},
    ],
)
def test_no_guesses(value: dict) -> None:
    found, why = parse_json(json.dumps(value), Fused)
    assert found is None
    assert why


def test_inside_lists_too() -> None:
    turns = [{"User": "a?", "Assistant": "b"}, {"user": "c?", "assistant": 4}]
    found, why = parse_json(json.dumps({"conversation": {"Turns": turns}}), FusedTalk)
    assert why == ""
    assert found is not None and found.pairs() == [("a?", "b"), ("c?", "4")]
