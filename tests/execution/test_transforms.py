"""The steps as `datasets.map` transforms, in one process and in two."""

import numpy as np
import pytest
from datasets import Dataset, load_dataset
from tiny import smollm2

from entp_hf import Embed, EntpConfig, Purge, Rate
from entp_hf.data import pool_files
from entp_hf.io.reader import read_rows
from entp_hf.llm.factory import make_client


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """120 rows with `messages` alone, as any chat dataset has."""
    read, _ = read_rows(pool_files(), EntpConfig(limit=120))
    return Dataset.from_dict(
        {"messages": [m for m in read["messages"]]}, features=read.select_columns("messages").features
    )


def test_the_embedder_adds_a_column(rows: Dataset) -> None:
    one = rows.map(Embed(), batched=True, batch_size=50)
    two = rows.map(Embed(), batched=True, batch_size=30, num_proc=2)
    vectors = np.array(one["embedding"][:], dtype=np.float32)
    assert vectors.shape == (120, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.abs(vectors - np.array(two["embedding"][:], dtype=np.float32)).max() < 1e-5


def test_the_purge_gives_the_same_in_two_processes(rows: Dataset) -> None:
    one = rows.map(Purge(), batched=True, features=Purge().features(rows.features))
    two = rows.map(Purge(), batched=True, num_proc=2, features=Purge().features(rows.features))
    assert one[:] == two[:]
    assert any(one["dropped_by"])
    assert one.features["findings"] == two.features["findings"]


def test_the_rater_appends_a_rating(rows: Dataset) -> None:
    smollm2()
    cached = make_client(EntpConfig())
    some = rows.select(range(12))
    rated = some.map(Rate(cached, "logits"), batched=True, batch_size=6)
    # Without the reply cache, so that the two workers, forked after the model was used, have to compute.
    two = some.map(Rate(cached.client, "logits"), batched=True, batch_size=6, num_proc=2)
    assert np.abs(np.array(rated["ratings"][:]) - np.array(two["ratings"][:])).max() < 1e-4
    assert all(0 <= r[-1] <= 9 for r in rated["ratings"])
    assert len({round(r[-1], 4) for r in rated["ratings"]}) > 6


def test_a_file_of_chats_goes_through_as_the_readme_shows() -> None:
    rows = load_dataset("json", data_files=pool_files()[1], split="train")
    rows = rows.map(Purge(), batched=True)
    assert {"findings", "dropped_by"} <= set(rows.column_names)
