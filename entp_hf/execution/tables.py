"""Rows on disk: tables in mapped files that are gone with their last user, read and written block by block.

The files are unnamed (removed as soon as they are mapped, where the system allows it) and lie in the system's folder
for temporary files, $TMPDIR.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from ..schema import FEATURES, Row

BLOCK = 4096  # rows held as Python objects at once (ours)


class TableWriter:
    """A context in which batches are written to a file; `table` maps what was written. Without it, the file goes."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema, self.rows = schema, 0

    def __enter__(self) -> TableWriter:
        handle, self.path = tempfile.mkstemp(prefix="entp-", suffix=".arrow")
        self._file = os.fdopen(handle, "wb")
        self._writer = pa.ipc.new_stream(self._file, self.schema)
        return self

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Append rows of the schema."""
        self._writer.write(batch)
        self.rows += batch.num_rows

    def table(self) -> pa.Table:
        """All rows as one table whose columns are mapped from disk; nothing more can be written."""
        self._writer.close()
        self._file.close()
        return pa.ipc.open_stream(pa.memory_map(self.path)).read_all()

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with contextlib.suppress(PermissionError):  # Windows keeps the files of mapped tables
            os.unlink(self.path)


def spooled(batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> pa.Table:
    """The batches as one table whose columns are mapped from disk, not held in memory."""
    with TableWriter(schema) as spool:
        for batch in batches:
            spool.write(batch)
        return spool.table()


def on_disk(batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> Dataset:
    """The batches as a Dataset whose columns are mapped from disk, with a fingerprint of their bytes.

    Without one, `datasets` would pickle all of them in memory to make it.
    """
    with TableWriter(schema) as spool:
        for batch in batches:
            spool.write(batch)
        table = spool.table()
        with open(spool.path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8))
    return Dataset(table, fingerprint=digest.hexdigest())


def tables(rows: Iterable[Row], schema: pa.Schema, size: int = BLOCK) -> Iterator[pa.Table]:
    """The rows as tables of at most `size` rows."""
    source = iter(rows)
    while some := list(islice(source, size)):
        yield pa.Table.from_pylist(some, schema)


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
        yield from table_rows(block)


def column(rows: Dataset, name: str) -> list[Any]:
    """All values of one column: for those that are small."""
    return [value for block in blocks(rows, [name]) for value in block[name].to_pylist()]


def pick(rows: Dataset, mask: NDArray[np.bool_]) -> Dataset:
    """The rows where `mask` (n,) is true, on disk."""
    return rows if mask.all() else take(rows, np.flatnonzero(mask))


def take(rows: Dataset, at: NDArray[np.int64]) -> Dataset:
    """The rows at the rising places `at` (m,), on disk."""

    def taken() -> Iterator[pa.Table]:
        begin = 0
        for block in blocks(rows):
            here = at[np.searchsorted(at, begin) : np.searchsorted(at, begin + len(block))] - begin
            begin += len(block)
            if len(here):
                yield block.take(pa.array(here)).cast(schema)

    schema = rows.features.arrow_schema
    digest = hashlib.blake2b(rows._fingerprint.encode() + at.tobytes(), digest_size=8)
    return Dataset(spooled(taken(), schema), info=rows.info, fingerprint=digest.hexdigest())


class Streamed(Sequence[Row]):
    """Rows that are read anew each time they are gone through, so that they are never all held.

    `opened` begins anew; one row, or a slice, is found by going through those before it.
    """

    def __init__(self, opened: Callable[[], Iterable[Row]], rows: int) -> None:
        self.opened, self.rows = opened, rows

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self.opened())

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return list(islice(iter(self), start, stop, step))
        return next(islice(iter(self), range(len(self))[at], None))


def table_rows(table: pa.Table | pa.RecordBatch) -> Iterator[Row]:
    """Rows as dicts, converted column by column."""
    names = table.schema.names
    columns = [column.to_pylist() for column in table.columns]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def set_aside(rows: Dataset) -> tuple[Dataset, Dataset]:
    """Rows that go on, and rows that a stage dropped."""
    out = np.array([reason is not None for reason in column(rows, "dropped_by")], bool)
    return pick(rows, ~out), pick(rows, out)


def as_dataset(rows: Iterable[Row]) -> Dataset:
    """Rows with the columns and types of `schema.FEATURES`, on disk."""
    schema = FEATURES.arrow_schema
    return on_disk(tables(({name: row[name] for name in FEATURES} for row in rows), schema), schema)
