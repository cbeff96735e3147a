from __future__ import annotations

import bz2
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from entp_hf.config import EntpConfig
from entp_hf.errors import ConfigError, InputError
from entp_hf.io.conversations import ROLES
from entp_hf.io.formats import normalise
from entp_hf.io.paths import HUB_ID, find_files
from entp_hf.io.reader import input_notes, read_rows

ASKED, SAID = "Which wood suits oars?", "Ash."
EXCHANGE = [("user", ASKED), ("assistant", SAID)]


def lines(path: Path, rows: list) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read_one(tmp_path: Path, raw: dict, **settings):
    rows, figures = read_rows(lines(tmp_path / "a.jsonl", [raw]), EntpConfig(**settings))
    return rows[0], figures


def said(row) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in row["messages"]]


@pytest.mark.parametrize(
    "raw",
    [
        {"Question": ASKED, "Answer": SAID},
        {"QUERY": ASKED, "Response": SAID},
        {"problem": ASKED, "solution": SAID},
        {"inputs": ASKED, "targets": SAID},
        {"input": ASKED, "output": SAID},
        {"Instruction": "", "Input": ASKED, "Output": SAID},
        {"human": ASKED, "assistant": SAID},
        {"prompt": ASKED, "chosen": SAID, "rejected": "Oak."},
        {"chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {SAID}", "rejected": "x"},
        {"prompt": ASKED, "chosen": [{"role": "assistant", "content": SAID}], "rejected": []},
        {"chosen": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}], "rejected": "x"},
        {"conversation": [{"Human": ASKED, "Assistant": SAID}]},
        {"conversation": [{"prompt": ASKED, "response": SAID}]},
        {"chat": {"turn_1": {"Human": f"<|Human|>: {ASKED}<eoh>\n", "MOSS": f"<|MOSS|>: {SAID}<eom>\n"}}},
        {"dialogue": [ASKED, SAID]},
        {"data": [ASKED, SAID]},
        {"conversations": [[ASKED, SAID]]},
        {"conversations": [["human", ASKED], ["gpt", SAID]]},
        {"conversations": {"from": ["human", "gpt"], "value": [ASKED, SAID]}},
        {"conversations": str([{"from": "human", "value": ASKED}, {"from": "gpt", "value": SAID}])},
        {"messages": "[{'role': 'user', 'content': '" + ASKED + "'}\n {'role': 'assistant', 'content': 'Ash.'}]"},
        {"messages": [{"role": "user", "content": {"content_type": "text", "parts": [ASKED]}}, ["assistant", SAID]]},
        {"messages": [{"speaker": "Customer", "text": ASKED}, {"speaker": "Agent", "text": SAID}]},
    ],
    ids=lambda raw: json.dumps(raw)[:50],
)
def test_layouts_of_well_known_sets(tmp_path, raw):
    row, _ = read_one(tmp_path, raw)
    assert row["dropped_by"] is None, row["notes"]
    assert said(row) == EXCHANGE
    assert json.loads(row["original"]) == raw


@pytest.mark.parametrize("name", [*ROLES, "gpt-4o", "claude-3.5", " Function-Response ", "Tool Output"])
def test_roles_of_dialects_in_any_case(name):
    turns = [
        {"from": "human", "value": ASKED},
        {"from": name.upper(), "value": "x"},
        {"from": "gpt", "value": SAID},
    ]
    row = normalise({"conversations": turns}, "sharegpt")
    assert row["dropped_by"] is None, name


def test_own_roles_are_read_or_left_out(tmp_path):
    raw = {"messages": [{"role": "Narrator", "content": "Night."}, {"role": "captain", "content": ASKED}]}
    raw["messages"].append({"role": "assistant", "content": SAID})
    row, figures = read_one(tmp_path, raw, roles=["ignore=narrator", "user=captain"])
    assert said(row) == EXCHANGE
    assert figures["left_out"] == {"turns of ignored roles": 1}
    with pytest.raises(ConfigError, match="roles: 'boss=x' must be NEW=OLD"):
        EntpConfig(roles=["boss=x"]).validate()
    both = [raw, {"messages": raw["messages"][2:] + [{"role": "user", "content": "x"}]}]
    _, figures = read_rows(lines(tmp_path / "b.jsonl", [both[0], {"question": ASKED, "answer": SAID}]), EntpConfig())
    assert figures["unknown_roles"] == {"'Narrator'": 1}
    assert any("unknown roles: 'Narrator' in 1 rows" in note for note in input_notes(figures))


def test_two_formats_in_one_file_are_both_read_and_counted(tmp_path):
    raw = [{"instruction": ASKED, "output": SAID}, {"messages": [{"role": r, "content": c} for r, c in EXCHANGE]}]
    rows, figures = read_rows(lines(tmp_path / "a.jsonl", raw), EntpConfig())
    assert [said(row) for row in rows] == [EXCHANGE, EXCHANGE]
    assert figures["files"][0]["forms"] == {"alpaca": 1, "messages": 1}


def test_columns_that_are_not_read_are_counted_and_conversations_among_them_named(tmp_path):
    raw = {"instruction": ASKED, "output": SAID, "category": "x", "log": [{"role": "user", "content": "Hi"}]}
    _, figures = read_one(tmp_path, raw)
    assert figures["files"][0]["unused_columns"] == {"category": 1, "log": 1}
    assert figures["files"][0]["unused_turns"] == ["log"]
    assert any("messages=log" in note for note in input_notes(figures))


def test_reasoning_of_all_kinds(tmp_path):
    turn = {"role": "assistant", "content": SAID}
    user = {"role": "user", "content": ASKED}
    cases = [
        {"messages": [user, {**turn, key: "Think."}]}
        for key in ("reasoning", "reasoning_content", "thinking", "thought")
    ]
    cases += [
        {"messages": [user, {**turn, "content": f"<think>\nThink.\n</think>\n\n{SAID}"}]},
        {"messages": [user, {**turn, "content": [{"type": "thinking", "thinking": "Think."}, SAID]}]},
        {"Question": ASKED, "Complex_CoT": "Think.", "Response": SAID},
    ]
    for raw in cases:
        row, _ = read_one(tmp_path, raw)
        assert said(row) == EXCHANGE and row["messages"][1]["reasoning"] == "Think.", raw


def test_calls_results_and_weights_are_kept(tmp_path):
    call = {"type": "tool_use", "id": "c1", "name": "tide", "input": {"port": "Cork"}}
    raw = {
        "messages": [
            {"role": "user", "content": "When?"},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, call], "weight": 0},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "06:10"}]},
            {"role": "assistant", "content": "At six."},
        ]
    }
    row, _ = read_one(tmp_path, raw)
    assert said(row)[1:3] == [("assistant", "I look."), ("tool", "06:10")]
    assert row["messages"][1]["weight"] == 0 and row["messages"][2]["tool_call_id"] == "c1"
    [made] = row["messages"][1]["tool_calls"]
    assert (made["id"], made["function"]) == ("c1", {"name": "tide", "arguments": '{"port": "Cork"}'})
    objects = {"messages": [*raw["messages"][:2], {"role": "tool", "content": {"at": 6}}, raw["messages"][3]]}
    assert said(read_one(tmp_path, objects)[0])[2] == ("tool", '{"at": 6}')


def test_a_column_of_mixed_types_keeps_its_texts(tmp_path):
    kind = pa.json_()
    texts = [json.dumps(value) for value in ('A "channel".\nFor water.', 42, True, ["part"])]
    column = pa.ExtensionArray.from_storage(kind, pa.array(texts, pa.string()))
    table = pa.table({"instruction": pa.array(["a", "b", "c", "d"]), "output": column})
    pq.write_table(table, tmp_path / "a.parquet")
    for source in (str(tmp_path / "a.parquet"), Dataset(table)):
        rows, _ = read_rows(source, EntpConfig())
        assert [row["messages"][1]["content"] for row in rows] == ['A "channel".\nFor water.', "42", "true", "part"]


def test_shards_of_all_kinds_are_read_and_unreadable_ones_refused(tmp_path):
    row = json.dumps({"instruction": ASKED, "output": SAID}).encode() + b"\n"
    (tmp_path / "a.jsonl").write_bytes(row)
    (tmp_path / "b.ndjson").write_bytes(row)
    (tmp_path / "c.jsonlines.xz").write_bytes(lzma.compress(row))
    (tmp_path / "d.jsonl.bz2").write_bytes(bz2.compress(row))
    with pa.CompressedOutputStream(str(tmp_path / "e.jsonl.zst"), "zstd") as file:
        file.write(row)
    (tmp_path / "README.md").write_text("x")
    assert len(read_rows(str(tmp_path), EntpConfig())[0]) == 5
    assert len(read_rows(str(tmp_path / "*"), EntpConfig())[0]) == 5
    (tmp_path / "f.jsonl.lz4").write_bytes(b"x")
    (tmp_path / "g.zip").write_bytes(b"x")
    for name in (str(tmp_path), str(tmp_path / "*")):
        with pytest.raises(InputError, match=r"f.jsonl.lz4, .*g.zip can't be read"):
            read_rows(name, EntpConfig())


def test_folders_of_save_to_disk(tmp_path):
    rows = Dataset.from_list([{"instruction": ASKED, "output": SAID}])
    rows.save_to_disk(str(tmp_path / "one"))
    (tmp_path / "one" / "cache-1.arrow").write_bytes(b"left by a map")
    assert len(read_rows(str(tmp_path / "one"), EntpConfig())[0]) == 1
    DatasetDict(train=rows, test=rows).save_to_disk(str(tmp_path / "two"))
    assert len(read_rows(str(tmp_path / "two"), EntpConfig())[0]) == 1
    with pytest.raises(InputError, match="no split 'dev'; there are 'train', 'test'"):
        read_rows(str(tmp_path / "two"), EntpConfig(split="dev"))


def test_a_folder_of_ours_gives_the_rows_that_were_kept(tmp_path):
    for name in ("data", "dropped", "preference"):
        (tmp_path / "ours" / name).mkdir(parents=True)
        pq.write_table(pa.table({"a": [1]}), tmp_path / "ours" / name / "train.parquet")
    (tmp_path / "ours" / "manifest.json").write_text("{}")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "ours" / "scores.parquet")
    for name in ("ours", "."):
        found = find_files(str(tmp_path / name))
        assert [path.relative_to(tmp_path).as_posix() for path in found] == ["ours/data/train.parquet"]


def test_broken_lines_are_refused_or_skipped_with_a_count(tmp_path):
    good = json.dumps({"instruction": ASKED, "output": SAID, "score": 9})
    (tmp_path / "a.jsonl").write_bytes(f'{good}\n{{"a": \n[1]\n'.encode() + b"\xff\n" + good.encode() + b"\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_rows(str(tmp_path / "a.jsonl"), EntpConfig())
    rows, figures = read_rows(str(tmp_path / "a.jsonl"), EntpConfig(bad_rows="skip"))
    assert list(rows["dropped_by"]) == [None, None, *["input:broken_line"] * 3]
    assert figures["skipped"] == 3 and [line["line"] for line in figures["skipped_lines"]] == [2, 3, 4]
    assert json.loads(rows[2]["original"])["line"] == '{"a": '
    settings = {"raters": ["column"], "rating_columns": ["score"]}
    with pytest.raises(InputError, match="out of range"):
        read_rows(lines(tmp_path / "b.jsonl", [json.loads(good)]), EntpConfig(**settings))
    more = [json.loads(good), {**json.loads(good), "score": 3}]
    rows, _ = read_rows(lines(tmp_path / "b.jsonl", more), EntpConfig(**settings, bad_rows="skip"))
    assert list(rows["dropped_by"]) == ["input:bad_rating", None]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ann/tides", ("ann/tides", None, None, None)),
        ("ann/tides:few", ("ann/tides", "few", None, None)),
        ("ann/tides@refs/convert/parquet", ("ann/tides", None, "refs/convert/parquet", None)),
        ("ann/tides:few@refs/pr/3", ("ann/tides", "few", "refs/pr/3", None)),
        ("hf://datasets/ann/tides@v1/a/b.jsonl", ("ann/tides", None, "v1", "a/b.jsonl")),
        ("hf://datasets/ann/tides@refs/pr/1/b.jsonl", ("ann/tides", None, "refs/pr/1", "b.jsonl")),
    ],
)
def test_subsets_and_revisions_of_hub_names(name, parts):
    match = HUB_ID.fullmatch(name)
    assert match and (match["repo"], match["subset"], match["revision"], match["path"]) == parts
