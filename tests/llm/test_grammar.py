"""Replies of a model in this process keep to their JSON schema, whatever the model would rather say."""

from __future__ import annotations

import json

import pytest
from tiny import CACHE, smollm2, tiny_llama

from entp_hf.config import SMOLLM2
from entp_hf.errors import EntpError
from entp_hf.llm.grammar import Grammar, closed, guide
from entp_hf.llm.local import LocalChat
from entp_hf.llm.protocol import ChatRequest
from entp_hf.llm.structured import parse_json
from entp_hf.mix.fusion import Fused, FusedTalk
from entp_hf.rating.rate import Judgement

pytest.importorskip("llguidance", reason="JSON replies need llguidance")
FORMS = [Fused, FusedTalk, Judgement]


def schema(form):
    return json.dumps(form.model_json_schema())


@pytest.fixture(scope="module")
def tokenizer():
    from entp_hf.models.loading import load_tokenizer

    return load_tokenizer(smollm2())


def spell(tokenizer, form, text):
    """Whether the grammar takes all tokens of a text, and says at the last, and not before, that it is complete."""
    grammar = Grammar(guide(tokenizer, len(tokenizer)), schema(form))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [grammar.take(token) for token in ids] == [False] * (len(ids) - 1) + [True]


@pytest.mark.parametrize(
    "text",
    [
        "Plain words.",
        'A "quoted" word, a \\ and a\ttab.',
        "Two\nlines\n\n```python\nprint('{}')\n```",
        "Grüße, 世界 🙂",
    ],
)
def test_any_text_can_be_said(tokenizer, text):
    value = {"instruction": text, "response": text}
    assert spell(tokenizer, Fused, json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize(
    "text",
    ['{"instruction": "a"}', '{"instruction": "", "response": "b"}', '{"response": "b", "instruction": "a"}',
     '{"instruction": "a", "response": "b", "more": 1}', 'Sure: {"instruction": "a", "response": "b"}', "[1]"],
)  # fmt: skip
def test_nothing_else_can(tokenizer, text):
    with pytest.raises(EntpError, match="is not allowed by the grammar"):
        spell(tokenizer, Fused, text)
        raise AssertionError(text)


def test_objects_are_closed_all_the_way_down():
    found = closed(FusedTalk.model_json_schema())
    assert found["additionalProperties"] is False
    assert found["$defs"]["FusedTurn"]["additionalProperties"] is False
    assert closed({"items": [{"properties": {}}]}) == {"items": [{"properties": {}, "additionalProperties": False}]}


def test_a_broken_schema_is_an_error(tokenizer):
    with pytest.raises(EntpError, match="can't be made a grammar"):
        Grammar(guide(tokenizer, len(tokenizer)), json.dumps({"type": "nonsense", "properties": {}}))


@pytest.mark.parametrize("form", FORMS)
def test_a_model_of_random_weights_writes_json_that_parses(tmp_path, form):
    """Sampled from noise: without the grammar no reply would parse; with it, only one cut off does not."""
    chat = LocalChat(tiny_llama(tmp_path), device="cpu", batch_size=4)
    asks = [ChatRequest((("user", f"Row {i}"),), 400, 1.5, schema(form), attempt=i) for i in range(8)]
    replies = chat.chat(asks)
    whole = [reply for reply in replies if reply.finish_reason == "stop"]
    assert {reply.finish_reason for reply in replies} <= {"stop", "length"}
    for reply in whole:
        value, why = parse_json(reply.text, form)
        assert value is not None, (reply.text, why)
        json.loads(reply.text)
    if form is Judgement:
        assert whole
    free = chat.chat([ChatRequest(ask.messages, 60, 1.5) for ask in asks])
    assert not any(parse_json(reply.text, form)[0] for reply in free)


ROWS = "Row 1:\nInstruction: {0}\nResponse: {1}\n\nRow 2:\nInstruction: {2}\nResponse: {3}\n"
PAIRS = [
    ("Name three fruits", "apple pear", "What is a fruit good for", "vitamins"),
    ("Write a python function to add", "def add(a,b): return a+b", "What is a sum", 'Adding numbers "together"'),
]


def test_smollm2_s_fusions_parse():
    """Those that are not cut off; and a request for text beside them stays one for text."""
    head = (
        "Below are 2 rows of a training set. Merge them into ONE new row: one instruction and one response. "
        "Answer with JSON.\n\n"
    )
    asks = [ChatRequest((("user", head + ROWS.format(*pair)),), 150, 0.0, schema(Fused)) for pair in PAIRS]
    replies = LocalChat(SMOLLM2, device="cpu", cache_dir=CACHE).chat([*asks, ChatRequest((("user", "Say yes."),), 12)])
    whole = [reply for reply in replies[:2] if reply.ok]
    assert whole and all(parse_json(reply.text, Fused)[0] for reply in whole)
    assert not replies[2].text.startswith("{")
