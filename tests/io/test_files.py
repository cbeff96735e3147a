from __future__ import annotations

import csv
import datetime as dt
import decimal
import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import POOL, error_of, lines, originals

from entp_hf.config import EntpConfig
from entp_hf.errors import InputError
from entp_hf.io import json_csv as text_files
from entp_hf.io.files import read_file
from entp_hf.io.paths import NOT_DATA
from entp_hf.io.reader import read_rows


def test_every_kind_of_file_gives_the_same_rows(here):
    text = lines(here / "a.jsonl", POOL)
    (here / "b.jsonl.gz").write_bytes(gzip.compress(Path(text).read_bytes()))
    (here / "c.json").write_text(json.dumps(POOL))
    (here / "d.json").write_text(json.dumps({"version": 1, "data": POOL}))
    lines(here / "e.json", POOL)  # JSON lines under the name .json
    pq.write_table(pa.Table.from_pylist(POOL), here / "f.parquet")
    for name, delimiter in (("g.csv", ","), ("h.tsv", "\t")):
        with (here / name).open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(POOL[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(POOL)
    (here / "i.csv.gz").write_bytes(gzip.compress((here / "g.csv").read_bytes()))
    (here / "j.JSONL").write_text(Path(text).read_text())
    names = sorted(p.name for p in here.iterdir())
    assert len(names) == 10
    for name in names:
        dataset, part = read_rows(name, EntpConfig())
        assert originals(dataset) == POOL, name
        assert dataset["source"][5] == f"{name}:6"
        assert part["files"][0]["path"] == name
    for given in (".", "*", names, [here / name for name in names], str(here)):
        dataset, part = read_rows(given, EntpConfig())
        assert originals(dataset) == POOL * 10
        assert [Path(entry["path"]).name for entry in part["files"]] == names
        assert part["rows"] == 60


def test_a_folder_is_read_through_and_what_is_no_data_is_passed_by(here):
    (here / "pool" / "sub").mkdir(parents=True)
    (here / "pool" / ".hidden").mkdir()
    lines(here / "pool" / "sub" / "a.jsonl", POOL)
    lines(here / "pool" / ".hidden" / "b.jsonl", POOL)
    for name in [*NOT_DATA, "README.md"]:
        (here / "pool" / name).write_text("{}")
    _, part = read_rows("pool", EntpConfig())
    assert [entry["path"] for entry in part["files"]] == ["pool/sub/a.jsonl"]


def test_dates_and_bytes_in_parquet_become_text(tmp_path):
    row = {**POOL[0], "made": dt.date(2025, 1, 2), "raw": b"\xff", "exact": decimal.Decimal("1.5")}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    dataset, _ = read_rows(str(tmp_path / "a.parquet"), EntpConfig())
    assert originals(dataset) == [{**POOL[0], "made": "2025-01-02", "raw": "/w==", "exact": "1.5"}]


def test_a_line_separator_inside_a_string_does_not_end_the_line(tmp_path):
    row = {"instruction": "a\u2028b\x85c", "output": "d"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\r\n\r\n", encoding="utf-8")
    assert originals(read_rows(str(tmp_path / "a.jsonl"), EntpConfig())[0]) == [row]


BAD_FILES = {
    "empty.jsonl": (b"", "the file is empty"),
    "blank.jsonl": (b"\n\n", "no rows"),
    "none.json": (b"[]", "no rows"),
    "header.csv": (b"instruction,output\n", "no rows"),
    "broken.parquet": (b"PAR1 not really PAR1", "not a readable Parquet file"),
    "notes.txt": (b"hello", "unknown extension '.txt'; known: .parquet, .arrow, .jsonl"),
    "line.jsonl": (b'{"a": 1}\n{"a": \n', ":2: broken JSON (Expecting value at character 7): '{\"a\": '"),
    "list.jsonl": (b"[1, 2]\n", ":1: not an object: '[1, 2]'"),
    "digits.jsonl": (b'{"a": ' + b"9" * 5000 + b"}\n", ":1: broken JSON (Exceeds the limit"),
    "deep.jsonl": (b"[" * 100_000, ":1: broken JSON (nested too deep)"),
    "deep.json": (b"[" * 100_000, "broken JSON (nested too deep)"),
    "cut.json": (b'[{"a": 1},\n {"a"', ":2: broken JSON"),
    "scalar.json": (b"3", "holds no rows; it must be an array of objects"),
    "object.json": (b'{"rows": {}}', "holds an object of 'rows'; it must be an array of objects"),
    "mixed.json": (b'[{"a": 1}, 2]', "row 2: not an object: '2'"),
    "latin.jsonl": ('{"a": 1}\n{"a": "é"}'.encode("latin-1"), ":2: not UTF-8 (byte 0xe9)"),
    "wide.csv": (b"instruction,output\nx,y\nx,y,z\n", ":3: 3 fields where the header has 2"),
    "quote.csv": (b'instruction,output\nx,"y\n', "broken CSV"),
    "twice.csv": (b"output,output\nx,y\n", "column names are empty or come twice: 'output'"),
    "bad.jsonl.gz": (b"not gzip", "can't be read: Not a gzipped file"),
    "cut.csv.gz": (gzip.compress(b"instruction,output\n" * 50)[:-9], "can't be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named(tmp_path, name):
    data, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    message = error_of(str(tmp_path / name))
    assert message.startswith(str(tmp_path / name))
    assert words in message


def test_duplicate_columns_of_parquet(tmp_path):
    pq.write_table(pa.table([["a"], ["b"]], names=["output", "output"]), tmp_path / "a.parquet")
    assert "come twice: 'output'" in error_of(str(tmp_path / "a.parquet"))


def test_fields_of_any_length_and_the_limit_is_put_back(tmp_path):
    csv.field_size_limit(131_072)  # the default
    (tmp_path / "a.csv").write_text(f"instruction,output\nx,{'y' * 200_000}\n")
    assert len(read_file(tmp_path / "a.csv").rows[0]["output"]) == 200_000
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"])
def test_a_file_is_never_held_whole(tmp_path, name):
    path, rows = tmp_path / name, [{"instruction": f"{n} " * 100, "output": "x" * 700} for n in range(5000)]
    if name.endswith(".csv"):
        path.write_text("instruction,output\n" + "".join(f"{row['instruction']},{row['output']}\n" for row in rows))
    else:
        text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    tracemalloc.start()
    found = read_file(path)
    assert sum(len(row["output"]) for row in found.rows) == 5000 * 700
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 2**20  # of 5.5 MB
    assert len(found.rows) == 5000 and found.rows[4999] == rows[4999]


@pytest.mark.parametrize("chunk", [1, 2, 5, 64])
def test_an_array_is_the_same_wherever_it_is_cut(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(text_files, "CHUNK", chunk)
    rows = [{"a": [1, {"b": "}],[{"}], "c": -1.5e3}, {}, {"d": "é\n\\", "e": None}, {"a": "late"}]
    for n, text in enumerate([json.dumps(rows), json.dumps(rows, indent=2, ensure_ascii=False), "\n" * 9 + "[ ] "]):
        (tmp_path / f"{n}.json").write_text(text, encoding="utf-8-sig")
        assert list(read_file(tmp_path / f"{n}.json").rows) == json.loads(text)
    bad = {
        "[{}, 12 ,{}, 3.25]": "row 2: not an object: '12'\n.* row 4: .* '3.25'",
        "[{}] {}": "Extra data",
        "[{},]": "broken JSON",
        "[{} {}]": "broken JSON",
        '[{"a": 1}': "broken JSON",
    }
    for text, words in bad.items():
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=words):
            read_file(tmp_path / "bad.json")


def test_a_type_may_change_late_and_lines_keep_their_numbers(tmp_path):
    rows = [{"instruction": "a", "output": "b", "n": n} for n in range(5000)] + [
        {"instruction": "a", "output": "b", "n": late} for late in ("text", None, [1], {"x": []})
    ]
    lines(tmp_path / "a.jsonl", rows)
    text = (tmp_path / "a.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text("\n\n" + text)
    dataset, _ = read_rows(str(tmp_path / "a.jsonl"), EntpConfig())
    assert originals(dataset) == rows
    assert dataset["source"][5003] == "a.jsonl:5006"
