from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset

from entp_hf.config import EntpConfig
from entp_hf.errors import InputError
from entp_hf.execution.tables import as_dataset
from entp_hf.io.formats import normalise
from entp_hf.io.parquet import read_written, write_rows
from entp_hf.models.chat_template import encode, encode_row, folded, training_template, turns_for_template
from entp_hf.models.loading import new_tokenizer
from entp_hf.training.data import messages_only, tokenized

pytest.importorskip("transformers", reason="training needs transformers")
trl = pytest.importorskip("trl", reason="training needs trl")

from tiny import smollm2  # noqa: E402

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
CALL = {"type": "function", "function": {"name": "fog", "arguments": {"port": "Cork"}}}
TOOLS = [{"type": "function", "function": {"name": "fog", "parameters": {"type": "object", "properties": {}}}}]
USED = {
    "messages": [
        {"role": "user", "content": "Is there fog in Cork?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "none"},
        {"role": "assistant", "content": "No fog."},
    ],
    "tools": TOOLS,
}
THOUGHT = {
    "messages": [
        {"role": "user", "content": "Is 87 prime?"},
        {"role": "assistant", "content": "No, 3 x 29.", "reasoning_content": "8 + 7 is 15."},
    ]
}
STRICT = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('by turns') }}{% endif %}"
    "[{{ m['role'] }}] {% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}[end]{% endgeneration %}"
    "{% else %}{{ m['content'] }}[end]{% endif %}{% endfor %}"
)


def tokenizer_with(template: str):
    found = new_tokenizer(smollm2())
    found.chat_template = template
    return found


def of_trl(name: str):
    found = tokenizer_with((TEMPLATES / name).read_text(encoding="utf-8"))
    return found, training_template(found)


def stored(raw, tmp_path):
    """A row as it comes out of a dataset that was written."""
    write_rows(as_dataset([normalise(raw, "messages")]), tmp_path / "rows.parquet")
    return read_written(tmp_path / "rows.parquet")[0]


def shown(tokenizer, row):
    return tokenizer.decode([token for token, one in zip(row.ids, row.mask, strict=True) if one])


def test_qwen_gets_tools_and_calls_as_it_has_them(tmp_path):
    tokenizer, template = of_trl("qwen2_5.jinja")
    row = stored(USED, tmp_path)
    made = encode_row(tokenizer, row["messages"], template, row["tools"])
    text = tokenizer.decode(made.ids)
    assert "<tools>" in text and '"name": "fog"' in text
    assert '<tool_call>\n{"name": "fog", "arguments": {"port": "Cork"}}\n</tool_call>' in text
    assert '[{"type": "function"' not in text
    assert "No fog." in shown(tokenizer, made) and "none" not in shown(tokenizer, made)
    assert made.outcomes == ()


def test_a_call_that_is_written_in_the_content_is_a_call_before_a_tool_turn():
    turns = [("user", "Fog?"), ("assistant", '{"name": "fog", "arguments": {"port": "Cork"}}'), ("tool", "none")]
    messages = turns_for_template([{"role": role, "content": content} for role, content in turns])
    assert messages[1]["tool_calls"][0]["function"] == {"name": "fog", "arguments": {"port": "Cork"}}
    assert messages[1]["content"] == ""
    last = turns_for_template([{"role": role, "content": content} for role, content in turns[:2]])
    assert last[1] == {"role": "assistant", "content": turns[1][1]}  # an answer that is JSON


def test_qwen3_gets_the_thoughts_and_the_mask_follows_the_setting(tmp_path):
    tokenizer, template = of_trl("qwen3.jinja")
    row = stored(THOUGHT, tmp_path)
    with_thoughts = encode_row(tokenizer, row["messages"], template)
    text = tokenizer.decode(with_thoughts.ids)
    assert "<think>\n8 + 7 is 15.\n</think>" in text
    assert "8 + 7 is 15." in shown(tokenizer, with_thoughts)
    without = encode_row(tokenizer, row["messages"], template, train_on_reasoning=False)
    assert without.ids == with_thoughts.ids
    assert "8 + 7" not in shown(tokenizer, without) and "think" not in shown(tokenizer, without)
    assert "No, 3 x 29." in shown(tokenizer, without)


def test_where_a_template_has_no_place_for_them_calls_and_thoughts_are_written_out(tmp_path):
    tokenizer = new_tokenizer(smollm2())
    template = training_template(tokenizer)
    made = encode_row(tokenizer, stored(THOUGHT, tmp_path)["messages"], template)
    assert made.outcomes == ("reasoning_as_text",)
    assert "<think>\n8 + 7 is 15.\n</think>\n\nNo, 3 x 29." in shown(tokenizer, made)
    row = stored(USED, tmp_path)
    made = encode_row(tokenizer, row["messages"], template, row["tools"])
    assert '{"name": "fog", "arguments": {"port": "Cork"}}' in shown(tokenizer, made)
    assert set(made.outcomes) == {"calls_as_text", "tools_not_rendered"}


def test_turns_of_weight_0_are_not_trained_on(tmp_path):
    tokenizer = new_tokenizer(smollm2())
    template = training_template(tokenizer)
    messages = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Yes.", "weight": 0},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Yes.", "weight": 1},
    ]
    row = stored({"messages": messages}, tmp_path)
    made = encode_row(tokenizer, row["messages"], template)
    assert shown(tokenizer, made).count("Yes.") == 1
    _, (mask,) = encode(tokenizer, [row["messages"]], template)
    assert mask == made.mask
    (_, (whole,)) = encode(tokenizer, [[{"role": m["role"], "content": m["content"]} for m in messages]], template)
    assert sum(mask) * 2 == sum(whole) and mask.index(1) > whole.index(1)


def test_roles_that_a_template_refuses_are_folded_or_skipped_and_counted(caplog):
    tokenizer = tokenizer_with(STRICT)
    turns = {
        "system": [("system", "Be short."), ("user", "A race?"), ("assistant", "A channel.")],
        "two answers": [("user", "A weir?"), ("assistant", "A dam."), ("assistant", "It is low.")],
        "greeting": [("assistant", "Good day."), ("user", "A mill?"), ("assistant", "It grinds.")],
        "plain": [("user", "A sluice?"), ("assistant", "A gate.")],
    }
    rows = Dataset.from_dict({"messages": [[{"role": r, "content": c} for r, c in turns[name]] for name in turns]})
    kept, counts = tokenized(messages_only(rows), tokenizer, 512)
    texts = [tokenizer.decode(ids) for ids in kept["input_ids"]]
    assert counts == {"rows_too_long": 0, "rows_unusable": 0, "rows_folded": 3}
    assert texts[0] == "[user] Be short.\n\nA race?[end][assistant] A channel.[end]"
    assert "A dam.\n\nIt is low." in texts[1] and "Good day" not in texts[2]
    assert "3 of 4 rows: the chat template refuses their roles" in caplog.text
    kept, counts = tokenized(messages_only(rows), tokenizer, 512, fold=False)
    assert len(kept) == 1 and counts["rows_refused"] == 3 and counts["rows_unusable"] == 3
    with pytest.raises(InputError, match="the chat template refuses every row"):
        tokenized(rows.select([0]), tokenizer, 512, fold=False)
    assert [turn["role"] for turn in folded([{"role": "system", "content": "x"}])] == []


def test_a_tool_turn_that_a_template_refuses_costs_no_other_row():
    tokenizer = tokenizer_with(STRICT)
    tool = [("user", "Fog?"), ("assistant", "a"), ("tool", "none"), ("assistant", "No.")]
    plain = [("user", "A sluice?"), ("assistant", "A gate.")]
    talks = [[{"role": r, "content": c} for r, c in talk] for talk in (tool, plain)]
    ids, masks = encode(tokenizer, talks, STRICT)
    assert masks[0] == [0] and 1 in masks[1]
    assert tokenizer.decode(ids[1]) == "[user] A sluice?[end][assistant] A gate.[end]"


def test_rows_keep_their_fields_through_the_whole_purge(tmp_path):
    from entp_hf.pipeline.run import purge_rows

    raw = json.loads(json.dumps([USED, THOUGHT]))
    rows = as_dataset([normalise(one, "messages", source=f"a:{n}") for n, one in enumerate(raw)])
    kept, dropped, _ = purge_rows(rows, EntpConfig())
    assert len(dropped) == 0
    calls = kept[0]["messages"][1]["tool_calls"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"port": "Cork"}
    assert json.loads(kept[0]["tools"]) == TOOLS
    assert kept[1]["messages"][1]["reasoning"] == "8 + 7 is 15."
