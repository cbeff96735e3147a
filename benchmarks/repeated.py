"""Many rated rows out of few: real rows repeated with noise, so that no two are alike, and embeddings without a model.

python benchmarks/repeated.py ROWS OUT.parquet
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from entp_hf.data import pool_files

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
ALPACA, TULU = DATA / "alpaca_rated_40k.parquet", DATA / "tulu_300k_scores.parquet"
RATINGS = ["score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3"]
COLUMNS = ["instruction", "input", "output"]
NOISE = 0.2  # share of a repeated row's words that are replaced: far from a near-duplicate's 0.8 of 5-grams
BLOCK = 10_000
BUCKETS, WIDTH = 2**16, 384


def texts() -> pa.Table:
    """Alpaca where it lies beside the project, else the shipped pool."""
    if ALPACA.exists():
        return pq.read_table(ALPACA, columns=COLUMNS)
    lines = [json.loads(line) for line in Path(pool_files()[0]).read_text(encoding="utf-8").splitlines()]
    return pa.Table.from_pylist([{name: row.get(name) or "" for name in COLUMNS} for row in lines])


def ratings(rows: int) -> np.ndarray:
    """(rows, 3): real ratings where they lie beside the project, else three raters one off the truth at most."""
    if TULU.exists():
        table = pq.read_table(TULU, columns=RATINGS)
        return np.column_stack([table[name].to_numpy() for name in RATINGS])[np.arange(rows) % len(table)]
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 5, (rows, 1))
    return truth + rng.integers(-1, 2, (rows, 3))


def noisy(text: str, words: Sequence[str], rng: np.random.Generator) -> str:
    """The text with a share of its words replaced by words of other rows; line breaks stay."""
    parts = text.split(" ")
    hit = np.flatnonzero(rng.random(len(parts)) < NOISE)
    for at, new in zip(hit, rng.integers(0, len(words), len(hit)), strict=True):
        parts[at] = words[new]
    return " ".join(parts)


def write(rows: int, path: Path, seed: int = 0) -> None:
    """Rows with three ratings each as Parquet: the first pass as they are, further passes with noise."""
    source, scores, rng = texts(), ratings(rows), np.random.default_rng(seed)
    words = [w for text in source["output"].slice(0, 2000).to_pylist() for w in text.split() if w.isalpha()]
    writer = None
    for start in range(0, rows, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, rows))
        block = source.take(pa.array(numbers % len(source))).to_pydict()
        for name in COLUMNS:
            block[name] = [
                noisy(text, words, rng) if text and number >= len(source) else text
                for text, number in zip(block[name], numbers, strict=True)
            ]
        table = pa.table(block | {name: scores[numbers, r].astype(float) for r, name in enumerate(RATINGS)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


@functools.cache
def _directions() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((BUCKETS, WIDTH)).astype(np.float32)


def embed(given: Sequence[str]) -> np.ndarray:
    """Seeded stand-ins for a model's embeddings, (N, 384): a random direction for each word, weighted down as it is
    common in the language; rows that share words are near, as a static encoder has them.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = HashingVectorizer(n_features=BUCKETS, alternate_sign=False, norm=None, stop_words="english").transform(
        given
    )
    counts.data = np.sqrt(counts.data)
    vectors = (counts.astype(np.float32) @ _directions()) + 1e-3
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
