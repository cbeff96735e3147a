"""Reading objects out of replies: what is accepted, what is repaired, and that nothing cut short is."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from entp_hf.llm.structured import parse_json


class Pair(BaseModel):
    a: str
    b: int = 0


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ('{"a": "x", "b": 2}', Pair(a="x", b=2)),
        ('Here it is:\n```json\n{"a": "x"}\n```\nDone.', Pair(a="x")),
        ('Sure! {"a": "x {y}", "b": 1} Anything else?', Pair(a="x {y}", b=1)),
        ('<think>maybe {"a": "no"}</think>{"a": "yes"}', Pair(a="yes")),
        ('{"a": "```json\\n{\\"a\\": \\"inner\\"}\\n```"}', Pair(a='```json\n{"a": "inner"}\n```')),
        ('{"a": "he said "hi" to me", "b": 2}', Pair(a='he said "hi" to me', b=2)),
        ("{'a': 'x', 'b': 2,}", Pair(a="x", b=2)),
        ('{"a": "two\nlines"}', Pair(a="two\nlines")),
        ('{"a": "x" "b": 2}', Pair(a="x", b=2)),
    ],
)
def test_reads(text, pair):
    assert parse_json(text, Pair) == (pair, "")


@pytest.mark.parametrize("ending", ["", "\n```"])
def test_every_cut_is_refused(ending):
    whole = json.dumps({"a": 'Say "hi", then {stop}', "b": 123, "c": {"d": [1, 2], "e": "f"}})
    assert parse_json(whole + ending, Pair)[0] is not None
    for cut in range(len(whole)):
        assert parse_json(whole[:cut] + ending, Pair)[0] is None, whole[:cut]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I can't do that.", "no JSON object"),
        ("", "no JSON object"),
        ('{"a": "unfinished', "truncated"),
        ('{"a": "x", "b": 12', "truncated"),
        ('{"b": 2}', "a: Field required"),
        ('{"a": "x", "b": "many"}', "b: Input should be a valid integer"),
        ('{"a": ' * 100_000, "can't be read"),
    ],
)
def test_reasons(text, reason):
    value, why = parse_json(text, Pair)
    assert value is None
    assert reason in why
