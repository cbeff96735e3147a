"""Read JSON, JSON Lines and CSV files a row at a time; errors name the file and the line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from ..errors import InputError
from ..execution.tables import Streamed
from .paths import LINES, compression

RawRow = dict[str, Any]
SHOWN = 3  # problems shown of one file
EXCERPT = 10_000  # characters kept of a line that is skipped
CHUNK = 2**16  # characters of a JSON array read at once, or as many as one row has
_SPACE = re.compile(r"[ \t\n\r]*")  # JSON's own


@dataclass(frozen=True)
class Skipped:
    """A line or row of a file that could not be read and was skipped."""

    number: int  # line or row, from 1
    reason: str
    text: str  # the beginning of the line


class Problems(list[str]):
    """Problems of one source; the first few are shown and the others counted.

    Args:
        skip: whether broken rows are skipped and kept in `skipped`; else each is a problem.

    """

    def __init__(self, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.skipped: list[Skipped] = []

    def add(self, place: str, number: int, reason: str, text: str = "") -> None:
        """Note a broken row: skip it, or make it a problem.

        Args:
            place: file and line, for the message.
            number: line or row, from 1.
            reason: why it can't be read.
            text: what stands there.

        """
        if self.skip:
            self.skipped.append(Skipped(number, reason, text[:EXCERPT]))
        else:
            self.append(f"{place}: {reason}")

    def raise_any(self) -> None:
        """Raise InputError if there are any."""
        if self:
            more = [f"... and {len(self) - SHOWN} more of this file"] if len(self) > SHOWN else []
            raise InputError("\n".join([*self[:SHOWN], *more]))


Rows = Callable[[Path, Problems], Iterator[tuple[int, RawRow]]]  # with the number that messages call each row by
# Columns, rows, their numbers, what these count, rows skipped.
Read = tuple[list[str], Streamed, Sequence[int], str, list[Skipped]]


def read_text(path: Path, skip: bool = False) -> Read:
    """The rows of a text file, which is read through once: a file that is broken anywhere is refused.

    Args:
        path: ends with .jsonl, .ndjson, .jsonlines, .json, .csv or .tsv, then perhaps one of `paths.COMPRESSIONS`.
        skip: skip broken lines and rows instead, and give them back.

    Raises InputError with every problem found.

    """
    name = path.name.lower()
    kind = Path(name).stem if compression(path) else name
    if kind.endswith(LINES):
        return _checked(path, _lines, "line", skip)
    if kind.endswith(".json"):
        return _read_json(path, skip)
    return _checked(path, partial(_csv, "\t" if kind.endswith(".tsv") else ","), "row", skip)


def read_rows_of(path: Path) -> list[RawRow]:
    """All rows of a text file in memory, for small files such as benchmarks. Raises InputError as `read_text`."""
    return list(read_text(path)[1])


def check_names(names: Sequence[str | None], where: str) -> None:
    """Raise InputError where a column name is missing or comes twice: its values could not be told apart."""
    twice = sorted({str(name) for name in names if names.count(name) > 1 or not name})
    if twice:
        raise InputError(f"{where}: column names are empty or come twice: {', '.join(map(repr, twice))}")


def _checked(path: Path, rows: Rows, unit: str, skip: bool) -> Read:
    columns: dict[str, None] = {}
    numbers, problems = array("q"), Problems(skip)
    for number, row in rows(path, problems):
        columns |= dict.fromkeys(row)
        numbers.append(number)
    problems.raise_any()
    streamed = Streamed(lambda: (row for _, row in rows(path, Problems(skip))), len(numbers))
    return list(columns), streamed, numbers, unit, problems.skipped


def _opened(path: Path) -> BinaryIO:
    kind = compression(path)
    if kind == "zstd":
        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression="zstd")))
    opened: dict[str, Any] = {"gzip": gzip.open, "xz": lzma.open, "bz2": bz2.open}
    return cast(BinaryIO, opened[kind](path) if kind else path.open("rb"))


def _decoded(path: Path, problems: Problems | None = None) -> Iterator[str]:
    """The file's lines, with their ends; only a line feed ends one, for U+2028 may stand inside a JSON string.

    A line that is not UTF-8 is skipped where `problems` skips (a blank line stands for it); else InputError.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte {line[error.start]:#04x}"
                if problems is None or not problems.skip:
                    raise InputError(f"{path}:{number}: not UTF-8 ({byte}); convert the file") from error
                problems.add(f"{path}:{number}", number, f"not UTF-8 ({byte})", line.decode("utf-8", "replace"))
                yield "\n"


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, RawRow]]:
    for number, text in enumerate(_decoded(path, problems), 1):
        line = text.removesuffix("\n")
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(f"{path}:{number}", number, f"broken JSON ({_what(error)}): {_excerpt(line)}", line)
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            problems.add(f"{path}:{number}", number, f"not an object: {_excerpt(line)}", line)


def _read_json(path: Path, skip: bool) -> Read:
    """A JSON file that is an array is read a row at a time, and so are JSON lines under that name; others whole, those
    with an error too, which is named by its line then.
    """
    try:
        return _checked(path, _array, "row", skip)
    except (ValueError, RecursionError):
        pass
    if _is_lines(path):
        return _checked(path, _lines, "line", skip)
    problems = Problems(skip)
    rows = [row for _, row in _objects(path, _whole(path), problems)]
    problems.raise_any()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, Streamed(lambda: rows, len(rows)), range(1, len(rows) + 1), "row", problems.skipped


def _array(path: Path, problems: Problems) -> Iterator[tuple[int, RawRow]]:
    return _objects(path, _items(path), problems)


def _objects(path: Path, items: Iterable[Any], problems: Problems) -> Iterator[tuple[int, RawRow]]:
    for number, row in enumerate(items, 1):
        if isinstance(row, dict):
            yield number, row
        else:
            text = json.dumps(row)
            problems.add(f"{path}: row {number}", number, f"not an object: {_excerpt(text)}", text)


def _items(path: Path) -> Iterator[Any]:
    """The items of an array; ValueError or RecursionError, maybe after some of them, where the file isn't one.

    By the decoder of `json`, as JSON lines are: ijson's puts a question mark in place of half a surrogate pair.
    """
    decode = json.JSONDecoder().raw_decode
    with io.TextIOWrapper(_opened(path), "utf-8-sig", newline="") as file:
        text = file.read(CHUNK).lstrip(" \t\n\r")
        if text[:1] != "[":
            raise ValueError("no array")
        at, closed = 1, False
        while not closed:
            try:
                value, end = decode(text, _end_of_space(text, at))
                end = _end_of_space(text, end)
            except json.JSONDecodeError:
                end = len(text)
            if end == len(text):  # the item, or what follows it, is not all there yet, or never will be
                more = file.read(max(CHUNK, len(text) - at))
                if not more:
                    raise ValueError("broken JSON")
                text, at = text[at:] + more, 0
                continue
            if text[end] not in ",]":
                raise ValueError("broken JSON")
            yield value
            at, closed = end + 1, text[end] == "]"
        while text:
            if text[at:].strip(" \t\n\r"):
                raise ValueError("more than the array")
            text, at = file.read(CHUNK), 0


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _is_lines(path: Path) -> bool:
    """Whether the first line is JSON by itself and not the only one."""
    filled = (line for line in _decoded(path) if line.strip())
    try:
        json.loads(next(filled, ""))
    except (ValueError, RecursionError):
        return False
    return next(filled, None) is not None


def _whole(path: Path) -> list[Any]:
    text = "".join(_decoded(path))
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1]
        raise InputError(f"{path}:{error.lineno}: broken JSON ({_what(error)}): {_excerpt(line)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: broken JSON ({_what(error)})") from error
    if isinstance(value, dict):
        value = next(
            (value[name] for name in ("data", "examples", "rows") if isinstance(value.get(name), list)), value
        )
    if not isinstance(value, list):
        has = f"an object of {', '.join(map(repr, list(value)[:5]))}" if isinstance(value, dict) else "no rows"
        raise InputError(f'{path}: holds {has}; it must be an array of objects, or {{"data": [...]}}')
    return value


def _csv(delimiter: str, path: Path, problems: Problems) -> Iterator[tuple[int, RawRow]]:
    """Rows are counted, for one may have several lines; problems have the line."""
    lines = (part for line in _decoded(path) for part in io.StringIO(line, newline=""))  # a carriage return ends one
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 0
    try:
        names = _fields(reader) or []
        check_names(names, str(path))
        for fields in iter(partial(_fields, reader), None):
            if len(fields) == len(names):
                number += 1
                yield number, dict(zip(names, fields, strict=True))
            elif fields:
                reason = f"{len(fields)} fields where the header has {len(names)}"
                problems.add(f"{path}:{reader.line_num}", reader.line_num, reason, delimiter.join(fields))
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: broken CSV: {error}")


def _fields(reader: Any) -> list[str] | None:
    before = csv.field_size_limit(sys.maxsize)  # the default of 131,072 is less than some answers
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _what(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at character {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


def _excerpt(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
