"""Contamination on real test sets: planted leaks of every kind are found, and pools that hold none raise no alarm."""

from __future__ import annotations

import json
import re
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from sample_rows import row

from entp_hf import EntpConfig
from entp_hf.errors import ConfigError
from entp_hf.pipeline.run import check_inputs
from entp_hf.purge import Contamination
from entp_hf.purge.contamination.benchmark_items import files_in, texts_of, words_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BENCHMARKS = DATA / "benchmarks"
needs_data = pytest.mark.skipif(
    not BENCHMARKS.exists(), reason="no benchmark files beside the project (../shared/data)"
)


# How a test item may come into a pool.
KINDS = {
    "exact": lambda item: row(item, "It is B."),
    "re-cased": lambda item: row(item.swapcase(), "It is B."),
    "marks changed": lambda item: row(re.sub(r"[^\w\s]", " — ", item), "It is B."),
    "marks taken out": lambda item: row(re.sub(r"[^\w\s]", "", item), "It is B."),
    "question only": lambda item: row(item, ""),
    "in a longer prompt": lambda item: row(f"Here is one more question for you. {item}", "It is B."),
    "question and answer in the answer": lambda item: row("Make up a quiz.", f"1. {item}\nAnswer: B, since it is so."),
}
SHORT_TOO = ("exact", "re-cased", "marks changed", "question only")


def files():
    return [path for path in files_in(BENCHMARKS) if path.name != "gsm8k_train_200.jsonl"]


@pytest.fixture(scope="module")
def index():
    return Contamination.from_files(files())


@pytest.fixture(scope="module")
def items():
    """Up to nine items of every file, of 5 words or more."""
    found = []
    for path in files():
        texts = [text for _, text in texts_of(path) if len(words_of(text)) >= 5]
        found += texts[:: max(1, len(texts) // 8)]
    assert len(found) > 1000
    return found


@needs_data
@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_leak_is_found(index, items, kind):
    least = 5 if kind in SHORT_TOO else 8  # a question of five to seven words counts only where it is the prompt
    planted = [item for item in items if len(words_of(item)) >= least]
    assert [item for item in planted if not index.find(KINDS[kind](item))] == []


@needs_data
def test_train_rows_and_a_pool_raise_hardly_an_alarm(index):
    lines = (BENCHMARKS / "gsm8k_train_200.jsonl").read_text(encoding="utf-8").splitlines()
    train = [row(item["question"], item["answer"]) for item in map(json.loads, lines)]
    assert [hits for r in train if (hits := index.find(r))] == []
    pool = pq.read_table(DATA / "alpaca_rated_40k.parquet").slice(0, 4000).to_pylist()
    found = [r for r in pool if index.find(row(f"{r['instruction']}\n\n{r['input']}", r["output"]))]
    assert len(found) <= 2


def test_a_users_own_file_and_a_dataset_of_the_hub_are_indexed(tmp_path, monkeypatch):
    mine, theirs = (
        "How many loaves can be baked from ten kilos of " + grain for grain in ("rye flour", "spelt flour")
    )
    (tmp_path / "mine.jsonl").write_text(json.dumps({"question": mine}) + "\n")

    def load(path, **given):
        assert (path, given["split"]) == ("someone/quiz", "test")
        return datasets.Dataset.from_list([{"id": 1, "question": theirs, "choices": ["a", "b"]}])

    monkeypatch.setattr(datasets, "load_dataset", load)
    config = EntpConfig(benchmark_files=[str(tmp_path / "mine.jsonl"), "someone/quiz"]).validate()
    index = Contamination.from_config(config)
    assert index is not None
    assert index.find(row(mine + "?", "Nine."))[0].detail == "mine.jsonl:1, 100% of it"
    assert index.find(row(theirs + "?", "Nine."))[0].detail == "someone/quiz:1, 100% of it"
    with pytest.raises(ConfigError, match="nowhere.jsonl does not exist"):
        check_inputs(EntpConfig(benchmark_files=["nowhere.jsonl"]), embeds=False)
