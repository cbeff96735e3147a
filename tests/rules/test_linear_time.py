"""Time against length: every rule and mask on the input that is worst for it, in seconds of CPU."""

from __future__ import annotations

import time

import pytest

from entp_hf.purge import Purge
from entp_hf.rules.masks import mask

PIECES = (
    "$", "$ ", "$a ", "$$ ", "$\n", "`", "` ", "`a``b```c", "`\n", "[", "![", "(", "\\", "\\[ a ", "\\( a ", "\\n",
    "\\begin{a} ", " ", "\n", " \n", "   \n", "\n\n\n\n", "\t", "\r\n", "a", "word ", "<", "<b>", "<a href=", "&amp;",
    "1. x\n", "- x\n", "> ", "http://", "@", "a@b.", "1", "1-", "1.", "9.9.9.9 ", "+1 ", "00 ", "User: a\n",
    "Q: b?\nA: c\n", "\x1b[", "\u200b", "Ã©", "~~~\n", "```\n", "|", '"', "<think>", "</think>", "<|im_end|>",
    "<|channel|>", "{", "{{x}}", "2 + 2 = 5 ", "test ", "面", "面。", "\ufffd", "\ue000", "I am ChatGPT. ", "    x\n",
    "### Instruction: x\n", "eyJaaaaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "sorry ", "I hope this helps. ", "က",
    "All rights reserved\n", "…",
)  # fmt: skip


def of_length(piece, size):
    return (piece * (size // len(piece) + 1))[:size]


def row(piece, size):
    answer = f"Begin. {of_length(piece, size)} End of it"
    return [{"role": "user", "content": "Explain it."}, {"role": "assistant", "content": answer}]


def seconds(function, *arguments):
    begun = time.process_time()
    function(*arguments)
    return time.process_time() - begun


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """Libraries that rules import on use, and phonenumbers' tables, are no part of the time."""
    Purge().row([{"role": "user", "content": "Call?"}, {"role": "assistant", "content": "Ã© or call +49 30 901820 é"}])


@pytest.mark.parametrize("piece", PIECES)
def test_the_rule_set_takes_a_second_at_most(piece):
    for size in (50_000, 1_000_000):
        assert seconds(Purge().row, row(piece, size)) <= 1.0, size


@pytest.mark.parametrize("piece", ["$", "$ ", "$$ ", "`", "` ", "`a``b```c", "\\[ a ", " ", "[", "word "])
def test_the_mask_of_a_megabyte_takes_a_second_at_most(piece):
    assert seconds(mask, of_length(piece, 1_000_000)) <= 1.0


@pytest.mark.parametrize(
    ("rule", "piece"),
    [("blank_runs", " "), ("blank_runs", "\r"), ("think_tags", "</think>"), ("special_tokens", "<|im_end|>"),
     ("mojibake", "Ã©"), ("double_escaped", "\\n"), ("html_tags", "<b>"), ("html_entities", "&amp;"), ("pii", "1.")],
)  # fmt: skip
def test_a_rule_alone(rule, piece):
    messages = [{"role": "user", "content": "Explain it."}, {"role": "assistant", "content": of_length(piece, 60_000)}]
    assert seconds(Purge(rules=(rule,)).row, messages) <= 1.0
