"""Data files as plain rows: finds them, reads them, and says by file and line what is wrong with them."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import InputError
from .spool import Streamed, table_rows

RawRow = dict[str, Any]
EXTENSIONS = (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".json.gz", ".csv.gz", ".tsv.gz")
NOT_DATA = {"manifest.json", "dataset_info.json", "dataset_infos.json", "state.json"}  # lie beside data files
BATCH = 4096  # rows of a Parquet file held at once
SHOWN = 3  # problems shown of one file


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


class Problems(list[str]):
    """Problems of one source; the first few are shown and the others counted."""

    def raise_any(self) -> None:
        """Raise InputError if there are any."""
        if self:
            more = [f"... and {len(self) - SHOWN} more of this file"] if len(self) > SHOWN else []
            raise InputError("\n".join([*self[:SHOWN], *more]))


def extension(path: Path) -> str:
    """The known extension that the name ends with, or ""."""
    return next((e for e in sorted(EXTENSIONS, key=len, reverse=True) if path.name.lower().endswith(e)), "")


def find_files(given: str) -> list[Path]:
    """Files that a path, folder or glob stands for, sorted. [] for a name with nothing at all on disk.

    Raises InputError for a folder or glob without data files and for an unknown extension.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if is_data(p.relative_to(path)) and p.is_file()]
        if not found:
            raise InputError(f"{given}: the folder holds no data files (known: {', '.join(EXTENSIONS)})")
        return found
    if path.is_file():
        if not extension(path):
            raise InputError(f"{given}: unknown extension {path.suffix!r}; known: {', '.join(EXTENSIONS)}")
        return [path]
    if glob.has_magic(given):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        found = [p for p in matches if p.is_file() and extension(p)]
        if not found:
            raise InputError(f"{given}: matches {len(matches)} files, none of them data ({', '.join(EXTENSIONS)})")
        return found
    return []


def is_data(path: Path) -> bool:
    """Whether a file of a folder, by its path in there, holds rows: neither hidden nor figures beside them."""
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return bool(extension(path)) and not hidden and path.name not in NOT_DATA


def read_file(path: Path) -> RawRows:
    """All rows of a data file. Raises InputError with every problem found in it."""
    shown = (path.name if path.is_absolute() else path.as_posix()).encode("utf-8", "replace").decode()
    kind = extension(path)
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        if kind == ".parquet":
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            columns, streamed = _read_parquet(path)
            return RawRows(str(path), shown, columns, streamed, range(1, len(streamed) + 1), "row", sha256=digest)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if kind.endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    text = _decoded(data, path)
    kind = kind.removesuffix(".gz")
    numbers: Sequence[int]
    if kind in (".csv", ".tsv"):
        columns, rows, numbers = _read_csv(text, path, "\t" if kind == ".tsv" else ",")
        return RawRows(str(path), shown, columns, rows, numbers, "row", True, digest)
    rows, numbers, unit = _read_lines(text, path) if kind == ".jsonl" else _read_json(text, path)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return RawRows(str(path), shown, columns, rows, numbers, unit, False, digest)


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8 (byte {data[error.start]:#04x}); convert the file") from error


def _read_parquet(path: Path) -> tuple[list[str], Streamed]:
    """Column names, and the rows, which were gone through once: a file that is broken anywhere is refused."""

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
        return names, Streamed(batches, file.metadata.num_rows)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())[:200]}") from error


def check_names(names: Sequence[str | None], where: str) -> None:
    """Raise InputError where a column name is missing or comes twice: its values could not be told apart."""
    twice = sorted({str(name) for name in names if names.count(name) > 1 or not name})
    if twice:
        raise InputError(f"{where}: column names are empty or come twice: {', '.join(map(repr, twice))}")


def _read_lines(text: str, path: Path) -> tuple[list[RawRow], list[int], str]:
    rows, numbers, problems = [], [], Problems()
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines(): U+2028 may stand inside a JSON string
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}:{number}: broken JSON ({_what(error)}): {_excerpt(line)}")
            continue
        if isinstance(row, dict):
            rows.append(row)
            numbers.append(number)
        else:
            problems.append(f"{path}:{number}: not an object: {_excerpt(line)}")
    problems.raise_any()
    return rows, numbers, "line"


def _read_json(text: str, path: Path) -> tuple[list[RawRow], Sequence[int], str]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and "\n" in text.strip():  # JSON lines under the name .json
            return _read_lines(text, path)
        line = text.split("\n")[error.lineno - 1]
        raise InputError(f"{path}:{error.lineno}: broken JSON ({_what(error)}): {_excerpt(line)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: broken JSON ({_what(error)})") from error
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        has = f"an object of {', '.join(map(repr, list(value)[:5]))}" if isinstance(value, dict) else "no rows"
        raise InputError(f'{path}: holds {has}; it must be an array of objects, or {{"data": [...]}}')
    problems = Problems(
        f"{path}: row {number}: not an object: {_excerpt(json.dumps(row))}"
        for number, row in enumerate(value, 1)
        if not isinstance(row, dict)
    )
    problems.raise_any()
    return value, range(1, len(value) + 1), "row"


def _read_csv(text: str, path: Path, delimiter: str) -> tuple[list[str], list[RawRow], Sequence[int]]:
    rows: list[RawRow] = []
    problems = Problems()
    before = csv.field_size_limit(sys.maxsize)  # the default of 131,072 is less than some answers
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = next(reader, [])
        check_names(names, str(path))
        for fields in reader:
            if len(fields) == len(names):
                rows.append(dict(zip(names, fields, strict=True)))
            elif fields:
                problems.append(f"{path}:{reader.line_num}: {len(fields)} fields where the header has {len(names)}")
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: broken CSV: {error}")
    finally:
        csv.field_size_limit(before)
    problems.raise_any()
    return names, rows, range(1, len(rows) + 1)


def _what(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


def _excerpt(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
