"""Rows read from URLs and written to them: fsspec's file systems, and a Hub on localhost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_hub import LocalHub

from entp_hf.config import EntpConfig
from entp_hf.errors import InputError, OutputError
from entp_hf.io.output_folder import OutputFolder, RemoteFolder, output_folder
from entp_hf.io.paths import shown
from entp_hf.io.reader import read_rows

POOL = [{"instruction": f"Count to {n}.", "input": "", "output": f"1 ... {n}"} for n in range(1, 7)]


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def put(fs, path, rows):
    with fs.open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def read(*urls):
    return read_rows(list(urls), EntpConfig())


def test_files_folders_and_globs_of_a_url(memory, tmp_path):
    put(memory, "/pool/a.jsonl", POOL[:2])
    put(memory, "/pool/deep/b.jsonl", POOL[2:])
    put(memory, "/pool/manifest.json", [{}])
    rows, info = read("memory://pool")
    assert [file["path"] for file in info["files"]] == ["memory:///pool/a.jsonl", "memory:///pool/deep/b.jsonl"]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in POOL))
    assert rows["id"][:] == read(str(tmp_path / "all.jsonl"))[0]["id"][:]
    assert rows["source"][2] == "memory:///pool/deep/b.jsonl:1"
    assert read("memory://pool/deep/*.jsonl")[0]["id"][:] == rows["id"][2:]
    assert read((tmp_path / "all.jsonl").as_uri())[0]["id"][:] == rows["id"][:]


def test_parquet_of_a_url_is_fetched_and_its_copy_goes(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with memory.open("/pool/a.parquet", "wb") as file:
        pq.write_table(pa.Table.from_pylist(POOL), file)
    assert len(read("memory://pool/a.parquet")[0]) == len(POOL)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("entp-fetch")]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://pool/none.jsonl", "no such file or folder"),
        ("memory://pool/*.csv", "holds no data files"),
        ("memory://pool/broken.jsonl", "memory:///pool/broken.jsonl:2: broken JSON"),
        ("nosuch://bucket/a.jsonl", "Protocol not known"),
    ],
)
def test_what_is_wrong_is_said_with_the_url(memory, url, said):
    put(memory, "/pool/good.jsonl", POOL)
    with memory.open("/pool/broken.jsonl", "w") as file:
        file.write(json.dumps(POOL[0]) + "\n{\n")
    with pytest.raises(InputError) as caught:
        read(url)
    assert said in str(caught.value) and "entp-fetch" not in str(caught.value)


def test_the_same_url_twice_is_refused(memory):
    put(memory, "/pool/a.jsonl", POOL)
    with pytest.raises(InputError, match="given twice"):
        read("memory://pool/a.jsonl", "memory://pool")


def test_a_password_in_a_url_is_written_nowhere():
    assert shown("ftp://ann:secret@host/pool/a.jsonl") == "ftp://host/pool/a.jsonl"


def write(url, overwrite=False, **files):
    with output_folder(url, overwrite) as folder:
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)


def test_a_folder_is_sent_at_the_end_and_its_manifest_last(memory):
    sent = []
    memory.put_file, plain = lambda here, there: (sent.append(there), plain(here, there))[1], memory.put_file
    try:
        write("memory://out", manifest_json="{}", z_txt="z")
    finally:
        del memory.put_file
    assert sent == ["/out/z.txt", "/out/manifest.json"] and memory.cat("/out/z.txt") == b"z"
    with pytest.raises(OutputError, match="--overwrite"):
        write("memory://out", a_txt="a")
    write("memory://out", overwrite=True, manifest_json="{}")
    assert [path for path in memory.find("/out")] == ["/out/manifest.json"]


def test_a_folder_that_is_not_ours_is_not_replaced(memory):
    put(memory, "/out/theirs.jsonl", POOL)
    with pytest.raises(OutputError, match="was not written by entp-hf"):
        write("memory://out", overwrite=True, a_txt="a")
    assert memory.find("/out") == ["/out/theirs.jsonl"]


def test_nothing_is_sent_after_an_exception_and_files_stay_where_sending_failed(memory, monkeypatch):
    with pytest.raises(KeyError), output_folder("memory://out") as folder:
        (folder / "a.txt").write_text("a")
        raise KeyError
    assert not folder.exists() and not memory.exists("/out")

    def full(here, there):
        raise OSError("the disk is full")

    monkeypatch.setattr(memory, "put_file", full)
    with pytest.raises(OutputError, match="the disk is full") as caught, output_folder("memory://out") as folder:
        (folder / "a.txt").write_text("a")
    assert str(folder) in str(caught.value) and (folder / "a.txt").read_text() == "a"


def test_a_path_is_a_folder_of_this_machine(tmp_path):
    assert isinstance(output_folder(tmp_path / "s3:" / "x"), OutputFolder)
    assert isinstance(output_folder("s3://bucket/x"), RemoteFolder)


def test_the_command_line_reads_and_writes_the_hub(tmp_path):
    with LocalHub() as hub:
        repo = hub.add("dataset", "ann/rows", {"pool/a.jsonl": "".join(json.dumps(r) + "\n" for r in POOL).encode()})
        env = {**os.environ, **hub.env(), "HF_HOME": str(tmp_path / "hf"), "COLUMNS": "200"}
        command = [sys.executable, "-m", "entp_hf", "purge", "hf://datasets/ann/rows/pool/a.jsonl", "-o"]
        run = [*command, "hf://datasets/ann/rows/clean"]
        done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert {"clean/data/train.parquet", "clean/manifest.json", "pool/a.jsonl"} <= set(repo.files)
        assert len(repo.commits) == 3
        (tmp_path / "clean.parquet").write_bytes(repo.files["clean/data/train.parquet"])
        assert pq.read_table(tmp_path / "clean.parquet").num_rows == len(POOL)
        again = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
        assert again.returncode == 1 and "--overwrite" in again.stderr
