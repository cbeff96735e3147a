"""Data files as plain rows: finds them, reads them, and says by file and line what is wrong with them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError
from ..execution.tables import Streamed, table_rows
from .json_csv import RawRow, Read, check_names, read_text
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


def read_file(path: Path) -> RawRows:
    """All rows of a data file. Raises InputError with every problem found in it."""
    shown = (path.name if path.is_absolute() else path.as_posix()).encode("utf-8", "replace").decode()
    kind = extension(path)
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        columns, rows, numbers, unit = _read_parquet(path) if kind == ".parquet" else read_text(path)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    return RawRows(str(path), shown, columns, rows, numbers, unit, kind.startswith((".csv", ".tsv")), digest)


def _read_parquet(path: Path) -> Read:
    """As `text_files.read_text`."""

    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH)

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_names(names, str(path))
        for batch in batches():
            for _ in table_rows(batch):  # some types have values that Python has none for
                pass
        count = file.metadata.num_rows
        rows = Streamed(lambda: chain.from_iterable(map(table_rows, batches())), count)
        return names, rows, range(1, count + 1), "row"
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())[:200]}") from error
