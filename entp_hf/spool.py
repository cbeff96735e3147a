"""Rows on disk: tables in mapped files that are gone with their last user, read and written block by block.

The files are unnamed (removed as soon as they are mapped, where the system allows it) and lie in the system's folder
for temporary files, $TMPDIR.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from .schema import Row

BLOCK = 4096  # rows held as Python objects at once (ours)


def spooled(batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> pa.Table:
    """The batches as one table whose columns are mapped from disk, not held in memory."""
    handle, path = tempfile.mkstemp(prefix="entp-", suffix=".arrow")
    os.close(handle)
    try:
        write_stream(path, batches, schema)
        return pa.ipc.open_stream(pa.memory_map(path)).read_all()
    finally:
        with contextlib.suppress(PermissionError):  # Windows keeps the files of mapped tables
            os.unlink(path)


def write_stream(path: str, batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> None:
    """Write the batches as an Arrow stream, the format of `datasets`' own files."""
    with open(path, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write(batch)


def matrix(rows: int, width: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """A matrix of zeros (rows, width) that is mapped from disk; written pages are the system's to evict."""
    if not rows or not width:
        return np.zeros((rows, width), dtype)
    with tempfile.TemporaryFile(prefix="entp-") as file:
        return np.memmap(file, dtype, "w+", shape=(rows, width)).view(np.ndarray)


def gathered(vectors: NDArray[np.float32], at: NDArray[np.int64], fresh: bool = False) -> NDArray[np.float32]:
    """The rows `at` of a matrix as one that is mapped from disk; the matrix itself where that is all of it, unless a
    `fresh` one is asked for.
    """
    if not fresh and len(at) == len(vectors) and (at == np.arange(len(at))).all():
        return vectors
    out: NDArray[np.float32] = matrix(len(at), vectors.shape[1])
    for start in range(0, len(at), BLOCK):
        out[start : start + BLOCK] = vectors[at[start : start + BLOCK]]
    return out


def blocks(rows: Dataset, names: Sequence[str] | None = None, size: int = BLOCK) -> Iterator[pa.Table]:
    """The rows, or their columns `names`, as tables of at most `size` rows."""
    some = rows if names is None else rows.select_columns(list(names))
    return some.with_format("arrow").iter(size) if len(rows) else iter(())


def each(rows: Dataset, *names: str) -> Iterator[Row]:
    """The rows as dicts of the columns `names` (none: all), one block at a time: some ten times quicker than a loop
    over a Dataset.
    """
    for block in blocks(rows, names or None):
        columns = [column.to_pylist() for column in block.columns]
        yield from (dict(zip(block.column_names, values, strict=True)) for values in zip(*columns, strict=True))


def column(rows: Dataset, name: str) -> list[Any]:
    """All values of one column: for those that are small."""
    return [value for block in blocks(rows, [name]) for value in block[name].to_pylist()]


def pick(rows: Dataset, mask: NDArray[np.bool_]) -> Dataset:
    """The rows where `mask` (n,) is true, on disk."""
    if mask.all():
        return rows
    at = np.flatnonzero(mask)
    digest = hashlib.blake2b(rows._fingerprint.encode() + np.packbits(mask).tobytes(), digest_size=8)
    return take(rows, at, digest.hexdigest())


def take(rows: Dataset, at: NDArray[np.int64], fingerprint: str | None = None) -> Dataset:
    """The rows at the rising places `at` (m,), on disk."""

    def taken() -> Iterator[pa.Table]:
        begin = 0
        for block in blocks(rows):
            here = at[np.searchsorted(at, begin) : np.searchsorted(at, begin + len(block))] - begin
            begin += len(block)
            if len(here):
                yield block.take(pa.array(here)).cast(schema)

    schema = rows.features.arrow_schema
    return Dataset(spooled(taken(), schema), info=rows.info, fingerprint=fingerprint)
