"""Repairs of whole rows: fields kept apart, placeholders equal all over a row, the same answer on a second pass."""

from __future__ import annotations

import re

import pytest

from entp_hf.purge import Purge
from entp_hf.schema import JOIN

ASK = "Explain how bread rises."


def run(rule, answer, ask=ASK, given=""):
    content = ask + (JOIN + given if given else "")
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    return Purge(rules=(rule,)).row(messages, given)


def test_repairs_of_instruction_and_input_keep_the_turn_together():
    result = run("html_entities", "Gas.", ask="Salt &amp; bread?", given="flour &amp; water")
    assert result.input == "flour & water"
    assert result.messages[0]["content"] == "Salt & bread?" + JOIN + "flour & water"
    assert {f.field for f in result.findings} == {"instruction", "input"}


def test_the_same_value_gets_the_same_placeholder_in_every_field():
    result = run("pii", "Ask b@real-shop.net, then a@real-shop.net.", ask="Who is a@real-shop.net?")
    assert result.messages[0]["content"] == "Who is [EMAIL_1]?"
    assert result.messages[1]["content"] == "Ask [EMAIL_2], then [EMAIL_1]."
    assert not any(re.search("real-shop", f.detail) for f in result.findings)


def test_a_loop_at_the_end_is_cut_to_one_turn():
    start = " ".join(f"word{i}" for i in range(60))
    result = run("repetition", start + ". " + "and so on we go again. " * 12)
    assert result.messages[-1]["content"].startswith(start)
    assert result.messages[-1]["content"].count("and so on we go again") == 1
    assert result.dropped_by is None


@pytest.mark.parametrize(
    ("turns", "detail"),
    [
        ([("assistant", "Hi.")], "no user turn"),
        ([("user", "Hi.")], "no assistant turn"),
        ([("user", "Hi."), ("narrator", "..."), ("assistant", "Hi.")], "role 'narrator'"),
        ([("user", " "), ("assistant", "Hi.")], "the instruction is empty"),
        ([("assistant", "Hi."), ("user", "Hi?")], "no question before the answer"),
    ],
)
def test_broken_roles_say_what_is_broken(turns, detail):
    result = Purge(rules=("broken_roles",)).row([{"role": r, "content": c} for r, c in turns])
    assert result.dropped_by == "purge:broken_roles" and result.findings[0].detail == detail
