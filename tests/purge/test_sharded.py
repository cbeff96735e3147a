"""A pool purged file by file: the rows that stay are those of the pool as one, here and on Ray."""

from __future__ import annotations

import importlib.util
import json

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from entp_hf.config import EntpConfig
from entp_hf.data import pool_files
from entp_hf.errors import InputError, OutputError
from entp_hf.io.reader import read_rows
from entp_hf.pipeline.run import purge_rows
from entp_hf.purge.sharded import purge_files

MOVES = "There are many ways to get moving in the morning, and the best one is the one that you keep to every day"


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Three files: rows of the demo, then the same ones in part again, then near-copies and a shared prompt."""
    folder = tmp_path_factory.mktemp("pool")
    lines = [json.loads(line) for line in open(pool_files()[0], encoding="utf-8")][:60]
    lines = [{key: line[key] for key in ("instruction", "input", "output")} for line in lines]
    near = [
        {"instruction": "How do I move?", "input": "", "output": f"{MOVES}, {end}."} for end in ("ok", "so", "yes")
    ]
    files = {"a": lines[:40] + near[:1], "b": lines[20:60] + near[1:2], "c": lines[::-7] + near[2:]}
    for name, some in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return folder


def rows_of(folder, kind):
    """What a row is, ids aside: those are told apart within a file only."""
    names = sorted((folder / kind).glob("*.parquet"))
    assert [name.name for name in names] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    found = [row for name in names for row in pq.read_table(name).to_pylist()]
    return sorted(map(without_ids, found), key=str)


def without_ids(row):
    findings = [{k: v for k, v in f.items() if k != "detail"} for f in row["findings"]]
    return {**row, "id": "", "findings": findings}


@pytest.fixture(scope="module")
def whole(pool):
    rows, _ = read_rows(str(pool), EntpConfig())
    kept, dropped, report = purge_rows(rows, EntpConfig())
    return sorted(map(without_ids, kept), key=str), sorted(map(without_ids, dropped), key=str), report


def engines():
    yield EntpConfig()
    if importlib.util.find_spec("ray") is not None:
        yield EntpConfig(engine="ray", ray_workers=2)


@pytest.mark.parametrize("config", engines(), ids=lambda config: config.engine)
def test_files_give_what_the_pool_gives(pool, whole, tmp_path, config):
    kept, dropped, report = whole
    made = purge_files([str(pool)], (tmp_path / "out").as_uri(), config)
    assert rows_of(tmp_path / "out", "data") == kept and rows_of(tmp_path / "out", "dropped") == dropped
    assert {"purge:exact_duplicate", "purge:near_duplicate"} <= {row["dropped_by"] for row in dropped}
    counts = {name: {k: v for k, v in rule.items() if k != "seconds"} for name, rule in report["rules"].items()}
    ours = {name: {k: v for k, v in rule.items() if k != "seconds"} for name, rule in made["purge"]["rules"].items()}
    assert ours == counts
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "data", "dropped", "manifest.json"]
    assert made["dataset"] == {"rows": len(kept), "dropped": len(dropped)}
    assert "length_pileup: not run, for it must see all rows at once" in made["warnings"]
    assert [file["rows"] for file in made["input"]["files"]] == [41, 41, 10]
    loaded = load_dataset("parquet", data_files=str(tmp_path / "out" / "data" / "*.parquet"), split="train")
    assert len(loaded) == len(kept)


def test_an_output_that_is_there_is_replaced_only_if_ours_and_asked_for(pool, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.txt").write_text("a")
    with pytest.raises(OutputError, match="--overwrite"):
        purge_files([str(pool)], str(tmp_path / "theirs"), EntpConfig())
    with pytest.raises(OutputError, match="was not written by entp-hf"):
        purge_files([str(pool)], str(tmp_path / "theirs"), EntpConfig(), overwrite=True)
    with pytest.raises(InputError, match="no such file"):
        purge_files([str(tmp_path / "none")], str(tmp_path / "out"), EntpConfig())
    with pytest.raises(InputError, match="limit"):
        purge_files([str(pool)], str(tmp_path / "out"), EntpConfig(limit=3))
    with pytest.raises(InputError, match="off_topic must see all rows"):
        purge_files([str(pool)], str(tmp_path / "out"), EntpConfig(purge_rules=["default", "off_topic"]))
