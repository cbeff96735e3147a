"""Per-row fingerprints for duplicate search: hashes that workers compute and one process compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from datasets import Dataset

from ...execution.ray_engine import BLOCK, RayEngine
from ...execution.stage import rows_of
from ...execution.tables import blocks
from ...schema import instruction_of, response_of
from ...text.words import digest_of, normalised
from ..ngrams import Hashes
from .minhash import band_keys, shingles

# Null where a row is dropped; `keys` also where it has no words, or near-duplicates are not looked for.
SKETCH = pa.schema({"whole": pa.binary(16), "prompt": pa.binary(16), "answer": pa.int64(), "keys": pa.binary()})


class Fingerprint(NamedTuple):
    """A row's prompt and its whole, normalised, and the characters of its response."""

    prompt: str
    whole: str
    answer: int


def fingerprint(row: Mapping[str, Any]) -> Fingerprint:
    """The texts of a row that has `messages` and perhaps `input`."""
    messages, given = row["messages"], row.get("input") or ""
    first = next((i + 1 for i, m in enumerate(messages) if m["role"] == "user"), 0)
    answers = "\x1e".join(normalised(f"{m['role']}:{m['content']}") for m in messages[first:])
    prompt = f"{normalised(instruction_of({**row, 'input': given}))}\x1f{normalised(given)}"
    return Fingerprint(prompt, f"{prompt}\x1e{answers}", len(normalised(response_of(row))))


@dataclass(frozen=True)
class Sketch:
    """A stage: rows become sketches, `SKETCH`. `near`: similarity that the bands are made for; None: no bands."""

    near: float | None = None

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Sketch a batch of rows."""
        looked = [None if row.get("dropped_by") else fingerprint(row) for row in rows_of(batch)]
        there = [one for one in looked if one is not None]
        sets = [None] * len(there) if self.near is None else shingles(one.whole for one in there)
        found = map(self.of, there, sets)
        sketched = [{} if one is None else next(found) for one in looked]
        return {name: [one.get(name) for one in sketched] for name in SKETCH.names}

    def of(self, looked: Fingerprint, grams: Hashes | None) -> dict[str, Any]:
        """The sketch of one row, by its texts and shingles."""
        keys = None if self.near is None or grams is None else band_keys(grams, self.near)
        return {
            "whole": digest_of(looked.whole),
            "prompt": digest_of(looked.prompt),
            "answer": looked.answer,
            "keys": None if keys is None else keys.tobytes(),
        }


def sketches(rows: Dataset, near: float | None, ray: RayEngine | None) -> Iterator[dict[str, Any]]:
    """The sketch of every row, in order, made here or by the workers of `ray`."""
    names = [name for name in ("messages", "input", "dropped_by") if name in rows.column_names]
    parts, sketch = blocks(rows, names, BLOCK), Sketch(near)
    tables = (
        (pa.Table.from_pydict(sketch(part.to_pydict()), SKETCH) for part in parts)
        if ray is None
        else ray.run(sketch, parts, SKETCH)
    )
    for table in tables:
        yield from table.to_pylist()
