"""Read a data file into plain rows; errors name the file and the line."""

from __future__ import annotations

import hashlib
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError
from ..execution.tables import Streamed, table_rows
from .json_csv import RawRow, Read, Skipped, check_names, read_text
from .paths import extension

BATCH = 4096  # rows of a Parquet file held at once


@dataclass(frozen=True)
class RawRows:
    """The rows of one source as they came in."""

    name: str  # for messages: the path as given
    path: str  # for the manifest: without the folders of an absolute path
    columns: list[str]
    rows: Sequence[RawRow]
    numbers: Sequence[int]  # what messages call each row, from 1
    unit: str  # "line" | "row": what `numbers` count
    text_only: bool = False  # CSV: numbers come as text, a null as ""
    sha256: str = ""
    license: str = ""  # as the Hub's card says, with several parted by commas; "": nothing known
    languages: tuple[str, ...] = ()  # as the Hub's card says
    filled: bool = False  # Arrow: every object has the keys of all, with nulls
    skipped: Sequence[Skipped] = ()  # lines and rows that can't be read


def read_file(path: Path, skip: bool = False) -> RawRows:
    """All rows of a data file.

    Args:
        path: a file with one of `paths.EXTENSIONS`.
        skip: skip lines and rows of text files that can't be read, and give them back as `skipped`.

    Raises InputError with every problem found in it.

    """
    shown = (path.name if path.is_absolute() else path.as_posix()).encode("utf-8", "replace").decode()
    kind = extension(path)
    binary = kind in (".parquet", ".arrow")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        columns, rows, numbers, unit, skipped = _read_binary(path, kind) if binary else read_text(path, skip)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    return RawRows(
        name=str(path),
        path=shown,
        columns=columns,
        rows=rows,
        numbers=numbers,
        unit=unit,
        text_only=kind.startswith((".csv", ".tsv")),
        sha256=digest,
        filled=binary,
        skipped=skipped,
    )


def _read_binary(path: Path, kind: str) -> Read:
    """As `json_csv.read_text`, for Parquet and Arrow."""
    batches, schema_of = (_parquet, _parquet_schema) if kind == ".parquet" else (_arrow, _arrow_schema)
    try:
        names = schema_of(path).names
        check_names(names, str(path))
        count = 0
        for batch in batches(path):
            for _ in rows_of(batch):  # some types have values that Python has none for
                count += 1
        rows = Streamed(lambda: chain.from_iterable(map(rows_of, batches(path))), count)
        return names, rows, range(1, count + 1), "row", []
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        name = "Parquet" if kind == ".parquet" else "Arrow"
        raise InputError(f"{path}: not a readable {name} file: {' '.join(str(error).split())[:200]}") from error


def _parquet_schema(path: Path) -> pa.Schema:
    with pq.ParquetFile(path) as file:
        return file.schema_arrow


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH)


def _arrow_schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        return _opened_arrow(source).schema


def _arrow(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow stream, as `save_to_disk` writes it, or of an Arrow file (Feather)."""
    with pa.memory_map(str(path)) as source:
        opened = _opened_arrow(source)
        if isinstance(opened, pa.RecordBatchFileReader):
            yield from (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            yield from opened


def _opened_arrow(source: Any) -> Any:
    try:
        return pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source)


def rows_of(table: pa.Table | pa.RecordBatch) -> Iterable[RawRow]:
    """Rows as dicts; values of Arrow's JSON type, which datasets 5 gives to columns of mixed types, are decoded."""
    decoders = {field.name: found for field in table.schema if (found := _decoder(field.type)) is not None}
    if not decoders:
        return table_rows(table)
    return ({n: decoders[n](v) if n in decoders else v for n, v in row.items()} for row in table_rows(table))


def _decoder(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """A function that decodes the JSON texts inside values of an Arrow type; None where it holds none."""
    if getattr(kind, "extension_name", "") == "arrow.json":
        return _loads
    if pa.types.is_struct(kind):
        inner = {field.name: found for field in kind if (found := _decoder(field.type)) is not None}
        if inner:
            return lambda value: value and {n: inner[n](v) if n in inner else v for n, v in value.items()}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        item = _decoder(kind.value_type)
        if item is not None:
            return lambda value: value and [item(one) for one in value]
    return None


def _loads(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value
