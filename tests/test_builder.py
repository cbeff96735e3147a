"""`load_dataset("entp", ...)`: found, cached, rebuilt when a setting, a file or the code changes."""

import json
from pathlib import Path

import pytest
from datasets import load_dataset
from entp_hf.builders import registration

import entp_hf
from entp_hf.data import pool_files
from entp_hf.errors import ConfigError, EntpError
from entp_hf.execution import source_hash

SETTINGS = {"raters": [], "pool": "all", "fuser": "mosaic", "target_size": 6, "limit": 120}


def load(files: str, cache: Path, **settings):
    return load_dataset("entp", data_files=files, split="train", cache_dir=str(cache), **{**SETTINGS, **settings})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the pipeline ran."""
    from entp_hf.pipeline import run as pipeline

    count: list[int] = []
    real = pipeline.run
    monkeypatch.setattr(pipeline, "run", lambda *a, **k: count.append(1) or real(*a, **k))
    return count


def test_cached_on_the_second_call_and_rebuilt_for_knobs_and_files(tmp_path: Path, runs: list[int]) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text(Path(pool_files()[0]).read_text(encoding="utf-8"), encoding="utf-8")
    rows = load(str(pool), tmp_path)
    assert 4 <= len(rows) <= 6
    assert rows.features == entp_hf.schema.FEATURES
    assert len(runs) == 1
    assert load(str(pool), tmp_path)["id"][:] == rows["id"][:]
    load(str(pool), tmp_path, rounds=2)  # a default spelt out
    load(str(pool), tmp_path, num_proc=None)
    assert len(runs) == 1
    load(str(pool), tmp_path, target_size=4)
    assert len(runs) == 2
    with open(pool, "a", encoding="utf-8") as file:
        file.write("\n" + json.dumps({"instruction": "Name a metal.", "input": "", "output": "Iron is a metal."}))
    load(str(pool), tmp_path)
    assert len(runs) == 3


def test_rebuilt_when_the_code_changes(tmp_path: Path, runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    load(pool_files()[0], tmp_path)
    source_hash.source_hash.cache_clear()
    monkeypatch.setattr(
        Path, "read_bytes", lambda self, real=Path.read_bytes: real(self) + b"# edited" * (self.suffix == ".py")
    )
    try:
        registration.register()
        load(pool_files()[0], tmp_path)
    finally:
        monkeypatch.undo()
        source_hash.source_hash.cache_clear()
        registration.register()
    assert len(runs) == 2


def test_wrong_knobs_are_reported_together_and_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 problems") as error:
        load(pool_files()[0], tmp_path, fuser="blender", rounds=0)
    assert "blender" in str(error.value)
    assert "rounds: 0 is out of range" in str(error.value)


def test_unknown_file_types_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ConfigError, match=r"notes\.txt is none of \.parquet"):
        load(str(tmp_path / "notes.txt"), tmp_path)


def test_a_list_of_splits_and_a_stream_read_twice(tmp_path: Path, runs: list[int]) -> None:
    first, second = (
        load_dataset("entp", data_files=pool_files()[0], split=split, cache_dir=str(tmp_path), **SETTINGS)
        for split in (["train[:50%]", "train[50%:]"], "train")
    )
    assert [len(part) for part in first] == [3, 3]
    assert [type(part).__name__ for part in first] == ["Made", "Made"]
    assert [*first[0]["id"], *first[1]["id"]] == list(second["id"])
    assert second.run_folder() is not None
    assert first[0].run_folder() is None  # half the rows are not those of the run
    stream = load(pool_files()[0], tmp_path, streaming=True)
    assert [row["id"] for row in stream] == [row["id"] for row in stream] == list(second["id"])
    splits = load_dataset("entp", data_files=pool_files()[0], streaming=True, cache_dir=str(tmp_path), **SETTINGS)
    assert [row["id"] for row in splits["train"]] == list(second["id"])
    assert len(runs) == 1


def test_rebuilt_when_an_own_rule_or_a_prompt_is_edited(tmp_path: Path, runs: list[int], monkeypatch) -> None:
    (tmp_path / "own_rule_of_the_builder.py").write_text("def never(fields, threshold):\n    return []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    settings = {"purge_rules": ["default", "own_rule_of_the_builder:never"], "prompt_dir": str(prompts)}
    load(pool_files()[0], tmp_path, **settings)
    load(pool_files()[0], tmp_path, **settings)
    assert len(runs) == 1
    (tmp_path / "own_rule_of_the_builder.py").write_text("def never(fields, threshold):\n    return [][:1]\n")
    load(pool_files()[0], tmp_path, **settings)
    assert len(runs) == 2
    (prompts / "README.md").write_text("none yet")
    load(pool_files()[0], tmp_path, **settings)
    assert len(runs) == 3


def test_unknown_settings_and_wrong_columns_are_told_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="targetsize: no such setting; did you mean target_size"):
        load(pool_files()[0], tmp_path, targetsize=3)
    with pytest.raises(EntpError, match="grade") as error:
        load(pool_files()[0], tmp_path, raters=["column"], rating_columns=["grade"])
    assert "generating the dataset" not in str(error.value)
