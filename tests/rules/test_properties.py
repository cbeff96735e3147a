"""What holds for any text: repairs are final, shorten, keep code, and nothing raises."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entp_hf.purge import RULES, Purge
from entp_hf.rules.masks import mask
from entp_hf.schema import JOIN

PIECES = [
    "&amp;", "&lt;br&gt;", "&amp;lt;", "<br>", "<p>", "</p>", "<b>", "</b>", "<|im_end|>", "<|im_start|>user", "</s>",
    "\\n", "\\u00e9", "\r\n", "\n\n\n\n", "```", "```py\n", "~~~", "`", "$x^2$", "$", "\\(", "Answer:", "1. ", "2. ",
    "\n3.", "Human:", "\nUser: ", "\x07", "\x1b[0m", "\u200b", "\u202e", "<think>", "</think>", "I hope this helps!",
    "word ", "\n", "Ã©", "â€™", "### Instruction: ", "a@b.co", "dana@real-shop.net", "+49 30 901820", "é", "=", "[",
    "{{x}}", "All rights reserved.", "I am ChatGPT.", "面包", "。", "خبز", "\ufffd", "\u00ad", "and on ", "2 + 2 = 5",
    "https://a.net/b ", "test test test ", " ", "\t", "sk-notarealkey0000demo1111demo2222", "<noinput>", "N/A",
]  # fmt: skip
TEXT = st.text(st.characters(codec=None), max_size=200) | st.lists(st.sampled_from(PIECES), max_size=16).map("".join)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLACEHOLDER = re.compile(r"\[(?:EMAIL|IBAN|CARD|ID|PHONE|IP)_\d+\]|\[SECRET\]")
REPAIRING = tuple(name for name, rule in RULES.items() if rule.repairs)


def purged(purge, ask, given, answer):
    content = ask + (JOIN + given if given else "")
    return purge.row([{"role": "user", "content": content}, {"role": "assistant", "content": answer}], given)


@MANY
@given(ask=TEXT, given=TEXT, answer=TEXT)
def test_nothing_raises_and_a_second_pass_changes_nothing(ask, given, answer):
    first = purged(Purge(), ask, given, answer)
    again = Purge().row(first.messages, first.input)
    assert (again.changed, again.messages, again.input) == (False, first.messages, first.input)
    assert again.dropped_by == first.dropped_by
    assert again.findings == [f for f in first.findings if f.action != "repair"]


@MANY
@given(rule=st.sampled_from(REPAIRING), text=TEXT)
def test_each_repair_alone_is_idempotent(rule, text):
    purge = Purge(rules=(rule,))
    first = purged(purge, "Explain how bread rises.", "", text)
    again = purge.row(first.messages, first.input)
    assert not again.changed and not [f for f in again.findings if f.action == "repair"]


@MANY
@given(rule=st.sampled_from(REPAIRING), text=TEXT)
def test_repairs_lengthen_only_for_a_fence_or_a_placeholder(rule, text):
    answer = purged(Purge(rules=(rule,)), "Explain how bread rises.", "", text).messages[-1]["content"]
    grown = len(answer) - len(text)
    if rule == "unclosed_fence":
        grown -= max((len(f.mark) + 4 for f in mask(text).fences if not f.closed), default=0)
    elif rule in ("pii", "secret"):
        grown -= sum(len(m.group()) for m in PLACEHOLDER.finditer(answer))
    assert grown <= 0


@MANY
@given(text=TEXT, code=st.text(st.characters(codec="utf-8", exclude_characters="`\r"), max_size=60))
def test_rules_in_place_never_touch_masked_code(text, code):
    before = text.replace("`", "").replace("~", "")
    answer = f"{before}\n\n```text\n{code}\n```\n\nThat is `{'x<br> &amp; '}` it."
    spans = mask(answer).spans
    kept = [answer[start:end] for start, end in spans]
    for rule in (
        "mojibake",
        "control_chars",
        "invisible_chars",
        "blank_runs",
        "double_escaped",
        "html_entities",
        "html_tags",
        "field_label",
        "think_tags",
        "pii",
    ):
        after = purged(Purge(rules=(rule,)), "Explain how bread rises.", "", answer).messages[-1]["content"]
        place = 0
        for piece in kept:
            if rule == "control_chars":  # garbage in mathematics goes, what is around it stays
                piece = "".join(c for c in piece if c.isprintable() or c in "\n\t")
                after = "".join(c for c in after if c.isprintable() or c in "\n\t")
            place = after.find(piece, place)
            assert place >= 0, (rule, piece)
            place += len(piece)


@pytest.mark.parametrize("rule", REPAIRING)
def test_a_clean_row_stays_as_it_is(rule):
    answer = "Yeast eats sugar and gives off gas.\n\n```python\nx = [1, 2]  # <br> &amp; \\n\n```\n\nThe dough rises."
    result = purged(Purge(rules=(rule,)), "Explain how bread rises.", "flour, water", answer)
    assert (result.findings, result.changed) == ([], False)
