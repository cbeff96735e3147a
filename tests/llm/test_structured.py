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


DRAFT, FINAL = '{"a": "draft", "b": 1}', '{"a": "final", "b": 2}'
OPEN = "<think>", "[THINK]", "◁think▷", "<thought>", "<|begin_of_thought|>", "<|channel|>analysis<|message|>"
CLOSE = "</think>", "[/THINK]", "◁/think▷", "</thought>", "<|end_of_thought|>"


@pytest.mark.parametrize(
    "text",
    [
        *(f"{opening}Try {DRAFT}{closing}\n{FINAL}" for opening, closing in zip(OPEN, CLOSE, strict=False)),
        *(f"Try {DRAFT}\n{closing}\n```json\n{FINAL}\n```" for closing in CLOSE),
        f"<think>a</think><think>{DRAFT}</think>{FINAL}",
        f"Well.\n<thinking>{DRAFT}</thinking>\n{FINAL}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{FINAL}<|return|>",
        f"<|channel|>analysis<|message|>x<|end|><|channel|>final <|constrain|>json<|message|>{FINAL}",
        f"analysisMaybe {DRAFT}.assistantfinal{FINAL}",
        f"First:\n```json\n{DRAFT}\n```\nBetter:\n```json\n{FINAL}\n```",
        f"{DRAFT}\n{FINAL}",
        f"{DRAFT}\nNo, single quotes: {FINAL.replace(chr(34), chr(39))}",
        f"The set {{1, 2}} is finite. {FINAL} So {{x}}.",
        f"<think>I open with {{ and {DRAFT}</think><answer>{FINAL}</answer>",
    ],
)
def test_the_last_object_after_the_reasoning_is_taken(text):
    assert parse_json(text, Pair) == (Pair(a="final", b=2), "")


@pytest.mark.parametrize("opening", OPEN)
def test_reasoning_that_never_ends_holds_no_answer(opening):
    value, why = parse_json(f"{opening}maybe {DRAFT}", Pair)
    assert value is None and "reasoning" in why


def test_a_draft_is_not_taken_for_an_object_that_was_cut():
    for cut in range(6, len(FINAL) - 1):
        value, why = parse_json(f"{DRAFT}\nBetter: {FINAL[:cut]}", Pair)
        assert value is None and "truncated" in why, FINAL[:cut]


@pytest.mark.parametrize("mark", ["</think>", "<think>", "[/THINK]", "<|channel|>", "<thought> and </thought>"])
def test_marks_inside_strings_are_text(mark):
    text = json.dumps({"a": f"The mark {mark} stands there."})
    for whole in (text, f"<think>x {DRAFT}</think>{text}", f"Here:\n```json\n{text}\n```"):
        assert parse_json(whole, Pair)[0] == Pair(a=f"The mark {mark} stands there."), whole


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
