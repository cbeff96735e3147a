from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, concatenate_datasets, load_dataset

from entp_hf.errors import OutputError
from entp_hf.execution.tables import take
from entp_hf.io.output_folder import OutputFolder
from entp_hf.io.parquet import read_written, write_rows
from entp_hf.schema import FEATURES, new_row


def rows(start: int, stop: int, length: int = 1) -> Dataset:
    made = [
        new_row(
            [
                {"role": "user", "content": f"Question {n}"},
                {"role": "assistant", "content": f"Answer {n} " + "ü" * length},
            ],
            ratings=[n % 6, None],
            score=n % 6 if n % 3 else None,
        )
        for n in range(start, stop)
    ]
    return Dataset.from_list(made, features=FEATURES)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_the_folder_appears_at_the_end(tmp_path):
    with OutputFolder(tmp_path / "deep" / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["a.txt"]
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (tmp_path / "deep" / "out").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(tmp_path, error):
    with pytest.raises(error), OutputFolder(tmp_path / "deep" / "out") as folder:
        (folder / "a.txt").write_text("a")
        raise error
    assert names(tmp_path) == []


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with OutputFolder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a.txt"]


def test_a_full_folder_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="exists and is not empty"):
        OutputFolder(tmp_path).check()
    with pytest.raises(OutputError, match="exists and is not empty"), OutputFolder(tmp_path):
        pytest.fail("the body ran")
    assert names(tmp_path) == ["manifest.json"]


def test_overwrite_replaces_only_our_own(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious.txt").write_text("x")
    with pytest.raises(OutputError, match=r"holds no manifest\.json"):
        OutputFolder(out, overwrite=True).check()
    (out / "manifest.json").write_text("{}")
    with OutputFolder(out, overwrite=True) as folder:
        (folder / "new.txt").write_text("x")
        assert names(out) == ["manifest.json", "precious.txt"]
    assert names(out) == ["new.txt"]
    assert names(tmp_path) == ["out"]


def test_the_old_folder_stays_after_an_exception(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt), OutputFolder(out, overwrite=True):
        raise KeyboardInterrupt
    assert names(out) == ["manifest.json"]
    assert names(tmp_path) == ["out"]


def test_results_are_kept_where_the_place_was_taken_meanwhile(tmp_path):
    with pytest.raises(OutputError, match="can't be put in place.*holds it"), OutputFolder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs.txt").write_text("x")
    assert names(tmp_path / "out") == ["theirs.txt"]
    assert names(folder) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_rename_cut_short_puts_the_old_folder_back(tmp_path, monkeypatch, error):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    real = type(out).rename

    def rename(self, target):
        if self.name.endswith(".part"):
            raise error("disk gone")
        return real(self, target)

    monkeypatch.setattr(type(out), "rename", rename)
    raised = OutputError if error is OSError else error
    with pytest.raises(raised, match="disk gone"), OutputFolder(out, overwrite=True) as folder:
        (folder / "a.txt").write_text("a")
    assert names(out) == ["manifest.json"]
    assert names(tmp_path) == ([folder.name, "out"] if error is OSError else ["out"])


def test_places_that_can_not_be_a_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        OutputFolder(tmp_path / "file").check()
    with pytest.raises(OutputError, match="is not a folder that can be written to"):
        OutputFolder(tmp_path / "file" / "below").check()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for place in (".", ".."):
        with pytest.raises(OutputError, match="working directory"):
            OutputFolder(place, overwrite=True).check()


def test_the_same_rows_give_the_same_bytes(tmp_path):
    # long enough for several data pages in a row group
    whole = rows(0, 2500, 2000)
    parts = concatenate_datasets([rows(0, 700, 2000), rows(700, 2500, 2000)])
    picked = rows(0, 3000, 2000).select(range(2999, -1, -1)).select(range(2999, 499, -1))
    for name, dataset in {"a": whole, "b": parts, "c": picked}.items():
        write_rows(dataset, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    write_rows(rows(1, 2501, 2000), tmp_path / "d")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "d").read_bytes()
    meta = pq.read_metadata(tmp_path / "a")
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == [1000, 1000, 500]
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_rows_and_types_come_back(tmp_path):
    made = rows(0, 20)
    write_rows(made, tmp_path / "a.parquet")
    files = str(tmp_path / "a.parquet")
    back = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert back.features == FEATURES
    assert back.to_list() == made.to_list()


def test_no_rows_make_a_file_with_the_columns(tmp_path):
    write_rows(rows(0, 1).select([]), tmp_path / "a.parquet")
    assert pq.read_schema(tmp_path / "a.parquet").names == list(FEATURES)


def test_a_file_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="can't be written"):
        write_rows(rows(0, 1), tmp_path / "file" / "a.parquet")


def test_what_is_written_comes_back_on_disk_and_is_never_pickled_for_its_fingerprint(tmp_path, monkeypatch):
    def pickled(*_):
        raise AssertionError("datasets would hold all rows as one pickle")

    made = rows(0, 2500)
    monkeypatch.setattr("datasets.arrow_dataset.generate_fingerprint", pickled)
    write_rows(made, tmp_path / "a.parquet")
    back = read_written(tmp_path / "a.parquet")
    assert back.to_list() == made.to_list() and back.features == FEATURES
    assert read_written(tmp_path / "a.parquet")._fingerprint == back._fingerprint
    ids = read_written(tmp_path / "a.parquet", ["id"])
    assert ids.column_names == ["id"] and ids["id"][:] == made["id"][:]
    some = take(back, np.array([3, 2400]))
    assert some["id"][:] == [made["id"][3], made["id"][2400]]
    assert len({d._fingerprint for d in (back, ids, some, take(back, np.array([3, 2401])))}) == 4
