from __future__ import annotations

import decimal
import hashlib
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, IterableDataset
from reading import POOL, error_of, lines, originals

from entp_hf.config import EntpConfig
from entp_hf.correction.stage import trusted
from entp_hf.io.reader import read_rows
from entp_hf.schema import FEATURES

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
RATINGS = ["score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3"]


@pytest.mark.parametrize(
    ("name", "form", "rows", "settings"),
    [
        ("alpaca_rated_40k.parquet", "alpaca", 40_000, {"rating_columns": RATINGS, "raters": ["column"]}),
        ("dolly_3k.parquet", "dolly", 2_996, {}),
        ("alpaca_zh_3k.parquet", "alpaca", 3_000, {}),
        ("sharegpt_toolcall_300.json", "sharegpt", 300, {}),
    ],
)
def test_real_files(name, form, rows, settings):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not there")
    dataset, part = read_rows(str(path), EntpConfig(**settings))
    [entry] = part["files"]
    assert (part["rows"], len(dataset), entry["form"], entry["rows"]) == (rows, rows, form, rows)
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset.features == FEATURES
    assert len(set(dataset["id"])) == rows
    assert sum(part["marked"].values()) == sum(reason is not None for reason in dataset["dropped_by"]) < rows / 100
    raw = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else json.loads(path.read_text("utf-8"))
    assert [json.loads(text) for text in dataset["original"]] == raw
    if settings:
        assert list(dataset["ratings"]) == [[float(row[column]) for column in RATINGS] for row in raw]
    if form == "sharegpt":
        assert {m["role"] for talk in dataset["messages"] for m in talk} == {"user", "assistant", "tool"}
        assert sum(tools is not None for tools in dataset["tools"]) == sum(bool(row["tools"]) for row in raw)


def test_files_of_different_forms_are_mixed(here):
    lines(here / "a.jsonl", POOL[:1])
    lines(here / "b.jsonl", [{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]}])
    lines(here / "c.jsonl", [{"question": "Why?", "answer": "So."}])
    dataset, part = read_rows(".", EntpConfig(columns=["instruction=question", "output=answer"]))
    assert [entry["form"] for entry in part["files"]] == ["alpaca", "sharegpt", "alpaca"]
    assert [talk[1]["content"] for talk in dataset["messages"]] == ["1 ... 1", "Yes?", "So."]
    assert originals(dataset)[2] == {"question": "Why?", "answer": "So."}


def test_datasets_in_memory():
    pool = Dataset.from_list(POOL)
    dataset, part = read_rows(pool.select([4, 2]), EntpConfig())
    assert originals(dataset) == [POOL[4], POOL[2]]
    assert part["files"][0]["path"] == "dataset in memory"
    assert len(part["files"][0]["sha256"]) == 64
    splits = DatasetDict(train=pool, test=pool.select([0]))
    assert len(read_rows(splits, EntpConfig())[0]) == 6
    assert len(read_rows([splits, pool], EntpConfig(split="test"))[0]) == 7
    assert "no split 'dev'; there are 'train', 'test'" in error_of(splits, split="dev")
    assert "input of type list" in error_of([[1]])


def test_a_stream_gives_what_the_dataset_gives_and_needs_no_types() -> None:
    pool = Dataset.from_list(POOL)
    stream, part = read_rows(pool.to_iterable_dataset(), EntpConfig())
    plain, known = read_rows(pool, EntpConfig())
    assert stream[:] == plain[:] and part["files"][0]["sha256"] == known["files"][0]["sha256"]
    late = IterableDataset.from_generator(lambda: iter([*POOL, POOL[0] | {"rating": 4.5}]))  # a column of the last row
    dataset, part = read_rows(late, EntpConfig())
    assert part["rows"] == len(POOL) + 1 and originals(dataset)[-1]["rating"] == 4.5
    assert len(read_rows(late, EntpConfig(limit=3))[0]) == 3
    assert "no rows" in error_of(IterableDataset.from_generator(lambda: iter([])))
    assert "no input given" in error_of([])


def test_unusable_rows_are_marked_and_counted(tmp_path):
    bad = [{"instruction": "", "output": "x"}, {"instruction": "x", "output": None}, {"instruction": 1, "output": "x"}]
    dataset, part = read_rows(lines(tmp_path / "a.jsonl", [*POOL, *bad]), EntpConfig())
    assert part["marked"] == {"input:empty_instruction": 1, "input:not_text": 1, "input:null_response": 1}
    assert dataset["dropped_by"][6:] == ["input:empty_instruction", "input:null_response", "input:not_text"]
    assert dataset["notes"][7] == "column output: null"


def test_where_no_row_is_usable_the_input_is_refused(tmp_path):
    message = error_of(lines(tmp_path / "a.jsonl", [{"instruction": "x", "output": ""}] * 3))
    assert "no row of 3 has both an instruction and a response; first: " in message
    assert "a.jsonl: line 1: column output: empty" in message


def test_ids_are_unique_and_the_same_each_time(tmp_path):
    path = lines(tmp_path / "a.jsonl", [POOL[0], POOL[1], POOL[0], POOL[0]])
    ids = read_rows(path, EntpConfig())[0]["id"][:]
    assert ids == [ids[0], ids[1], f"{ids[0]}-2", f"{ids[0]}-3"]
    assert ids == read_rows(path, EntpConfig())[0]["id"][:]


def test_limit_takes_a_seeded_sample_in_file_order(tmp_path):
    pool = [{"instruction": str(n), "output": "x"} for n in range(200)]
    paths = [lines(tmp_path / "a.jsonl", pool[:50]), lines(tmp_path / "b.jsonl", pool[50:])]

    def taken(**settings):
        dataset, part = read_rows(paths, EntpConfig(**settings))
        assert part["rows"] == len(dataset)
        assert [entry["rows"] for entry in part["files"]] == [50, 150]
        return [int(row["instruction"]) for row in originals(dataset)]

    first = taken(limit=40)
    assert len(first) == 40
    assert first == sorted(first) == taken(limit=40)
    assert first != taken(limit=40, seed=1)
    assert min(first) < 50 < max(first)
    assert taken(limit=500) == list(range(200))


def test_the_fingerprint_follows_content_and_settings(tmp_path):
    path = lines(tmp_path / "a.jsonl", POOL)

    def fingerprint(**settings):
        return read_rows(path, EntpConfig(**settings))[0]._fingerprint

    first = fingerprint()
    assert first == fingerprint()
    assert first != fingerprint(limit=3)
    lines(tmp_path / "a.jsonl", POOL[::-1])
    assert first != fingerprint()


def test_ratings_of_all_kinds(tmp_path):
    rated = [{**POOL[0], "a": 0, "b": 4.5}, {**POOL[1], "a": None, "b": 5}, {**POOL[2], "b": None}]
    dataset, _ = read_rows(lines(tmp_path / "a.jsonl", rated), EntpConfig(rating_columns=["b", "a"]))
    assert dataset["ratings"][:] == [[4.5, 0.0], [5.0, None], [None, None]]
    (tmp_path / "b.csv").write_text("instruction,output,a\nx,y,3\nx,y,\nx,y,2.5\n")
    dataset, _ = read_rows(str(tmp_path / "b.csv"), EntpConfig(rating_columns=["a"]))
    assert dataset["ratings"][:] == [[3.0], [None], [2.5]]
    exact = pa.table({"instruction": ["x"], "output": ["y"], "a": [decimal.Decimal("2.50")]})
    assert read_rows(Dataset(exact), EntpConfig(rating_columns=["a"]))[0]["ratings"][:] == [[2.5]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (6, "6 is out of range; a rating is from 0 to 5"),
        (-1, "-1 is out of range"),
        (10**400, "1000"),
        (float("nan"), "nan is out of range"),
        ("3", "'3' is not a number"),
        (True, "True is not a number"),
        ([3], "[3] is not a number"),
    ],
)
def test_a_wrong_rating_is_named_by_file_line_and_column(tmp_path, value, words):
    path = tmp_path / "a.jsonl"
    path.write_text("\n" + "".join(json.dumps({**POOL[0], "mark": mark}) + "\n" for mark in (1, value)))
    message = error_of(str(path), rating_columns=["mark"])
    assert f"{path}: line 3, column 'mark': " in message
    assert words in message


def test_many_wrong_ratings_are_counted(tmp_path):
    (tmp_path / "a.csv").write_text("instruction,output,a\n" + "x,y,high\n" * 10)
    message = error_of(str(tmp_path / "a.csv"), rating_columns=["a"])
    assert "row 1, column 'a': 'high' is not a number" in message
    assert message.endswith("... and 7 more of this file")


def test_missing_rating_column_lists_the_columns(tmp_path):
    message = error_of(lines(tmp_path / "a.jsonl", POOL), rating_columns=["score"])
    assert "a.jsonl: no rating column 'score'; its columns: 'instruction', 'input', 'output'" in message


def test_a_form_or_name_that_does_not_fit(tmp_path):
    path = lines(tmp_path / "a.jsonl", POOL)
    message = error_of(path, input_format="sharegpt")
    assert (
        "not of the form sharegpt (conversations or conversation or dialogue or" in message
        and "optional tools, system, system_prompt, system_message): no conversations" in message
    )
    assert "its columns: 'instruction', 'input', 'output'" in message
    assert "columns: no input has 'answr'" in error_of(path, columns=["output=answr"])
    message = error_of(lines(tmp_path / "b.jsonl", [{"questions": "a", "reply_to": "b"}]))
    assert "columns 'questions', 'reply_to' are of no known form" in message


def test_all_problems_come_together(here):
    lines(here / "good.jsonl", POOL)
    (here / "bad.jsonl").write_text("{\n" * 5)
    (here / "folder").mkdir()
    message = error_of(["missing.jsonl", "bad.jsonl", "good.jsonl", "folder", "*.csv", "./good.jsonl"])
    assert message.startswith("several problems with the input:\n")
    assert "missing.jsonl: no such file or folder" in message
    assert message.count("bad.jsonl:") == 3
    assert "... and 2 more of this file" in message
    assert "folder: the folder holds no data files (known: .parquet, " in message
    assert "*.csv: matches 0 files" in message
    assert "good.jsonl: given twice" in message


@pytest.mark.parametrize(
    ("name", "repo", "files", "revision"),
    [
        ("user/pool", "user/pool", None, None),
        ("hf://user/pool", "user/pool", None, None),
        ("hf://datasets/user/pool@v1", "user/pool", None, "v1"),
        ("hf://datasets/user/pool@v1/data/a.jsonl", "user/pool", {"test": "data/a.jsonl"}, "v1"),
    ],
)
def test_names_of_the_hub(monkeypatch, name, repo, files, revision):
    def load(path, **given):
        assert (path, given) == (repo, {"name": None, "data_files": files, "split": "test", "revision": revision})
        return Dataset.from_list(POOL)

    monkeypatch.setattr(datasets, "load_dataset", load)
    dataset, part = read_rows(name, EntpConfig(split="test"))
    assert originals(dataset) == POOL
    assert part["files"][0]["path"] == name


def test_an_absent_hub_dataset_says_what_was_tried(here, monkeypatch):
    def load(path, **given):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    message = error_of("user/pool")
    assert message.startswith("user/pool: no such file or folder; as a dataset of the Hub (split 'train')")
    assert "Couldn't reach the Hub (ConnectionError)" in message
    assert error_of("hf://user/pool").startswith("hf://user/pool: (split 'train') it can't be loaded")
    assert error_of("user/data/pool") == "user/data/pool: no such file or folder"


def test_trusted_scores_are_checked_at_the_door_and_are_no_ratings(tmp_path):
    rated = [{**POOL[0], "a": 1, "true": 2}, {**POOL[1], "a": 2, "true": None}, {**POOL[2], "a": 3}]
    config = {"rating_columns": ["a"], "raters": ["column"], "gold_column": "true"}
    dataset, _ = read_rows(lines(tmp_path / "a.jsonl", rated), EntpConfig(**config))
    assert dataset["ratings"][:] == [[1.0], [2.0], [3.0]]
    known = trusted(dataset, "true")
    assert known[0] == 2 and np.isnan(known[1:]).all() and trusted(dataset, "") is None
    (tmp_path / "b.csv").write_text("instruction,output,a,true\nx,y,3,4.5\nx,z,1,\n")
    assert trusted(read_rows(str(tmp_path / "b.csv"), EntpConfig(**config))[0], "true")[0] == 4.5
    assert "no rating column 'gold'" in error_of(str(tmp_path / "b.csv"), **{**config, "gold_column": "gold"})
    (tmp_path / "c.csv").write_text("instruction,output,a,true\nx,y,3,seven\n")
    assert "row 1, column 'true': 'seven' is not a number" in error_of(str(tmp_path / "c.csv"), **config)
