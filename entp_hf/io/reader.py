"""The door: files, folders, Hub datasets and datasets in memory become rows of `schema.FEATURES`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nsmallest
from itertools import chain
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo
from datasets.fingerprint import Hasher

from ..config import EntpConfig
from ..errors import InputError
from ..execution.source_hash import source_hash
from ..execution.tables import TableWriter
from ..schema import FEATURES, LEVELS, Row
from .files import RawRows
from .formats import FORMS, detect_form, missing_columns, normalise, renamed
from .json_csv import Problems, RawRow
from .manifest import InputSection, SourceFile
from .paths import EXTENSIONS
from .sources import Source, open_sources

CHUNK = 4096  # rows held as Python objects at once


def read_rows(inputs: Source | Sequence[Source], config: EntpConfig) -> tuple[Dataset, InputSection]:
    """Read all inputs into one dataset of `FEATURES`, and the manifest's `input` part.

    Inputs are files (see `files.EXTENSIONS`), folders and globs of them, Hub ids or hf:// paths, datasets in memory
    and streams (IterableDataset); their forms may differ. Rows are written to disk as they come, and only a block of
    them is held. Rows that can't be used stay, marked by `dropped_by`. Raises InputError with the
    problems of all inputs together.
    """
    given: Sequence[Any] = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    if not given:
        raise InputError(f"no input given; name files ({', '.join(EXTENSIONS)}), a folder, or a Hub dataset")
    with TableWriter(FEATURES.arrow_schema) as spool:
        door = Reader(config, spool)
        for source in open_sources(given, config.split, door.problems):
            door.take(source)
        return door.close()


@dataclass
class _Known:
    """What is known of a source once its columns were looked at."""

    source: RawRows
    form: str
    columns: dict[str, str]  # renames that apply: ours to theirs
    problems: Problems = field(default_factory=Problems)


class Reader:
    """Collects rows and problems of all sources."""

    def __init__(self, config: EntpConfig, spool: TableWriter) -> None:
        self.config, self.spool = config, spool
        self.problems: list[str] = []
        self.files: list[SourceFile] = []
        self._scores = [*config.rating_columns, *filter(None, [config.gold_column])]  # columns of numbers 0..5
        self.renames = dict(entry.split("=", 1) for entry in config.columns)
        self.unseen = set(self.renames.values())
        self.sample: list[tuple[float, int, _Known, int, RawRow]] = []
        self.random = random.Random(config.seed)
        self.read = 0
        self.marked: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.first_mark = ""

    def take(self, source: RawRows) -> None:
        """Look at the columns of a source and take its rows, or those of them that the sample falls on."""
        known = self._look(source)
        if known is None:
            return
        self.read += len(source.rows)
        entry: SourceFile = {
            "path": source.path,
            "rows": len(source.rows),
            "form": known.form,
            "sha256": source.sha256,
        }
        if source.license:
            entry["license"] = source.license
        if source.languages:
            entry["languages"] = list(source.languages)
        self.files.append(entry)
        rows = zip(source.numbers, source.rows, strict=True)
        if self.config.limit:
            start = self.read - len(source.rows)
            drawn = ((self.random.random(), n, known, *row) for n, row in enumerate(rows, start))
            self.sample = nsmallest(self.config.limit, chain(self.sample, drawn), key=lambda entry: entry[:2])
        else:
            self._add((known, number, row) for number, row in rows)

    def _look(self, source: RawRows) -> _Known | None:
        seen = ", ".join(map(repr, source.columns))
        columns = {ours: theirs for ours, theirs in self.renames.items() if theirs in source.columns}
        self.unseen -= set(columns.values())
        names = list(renamed(dict.fromkeys(source.columns), columns))
        found = []
        lacking = [name for name in self._scores if name not in source.columns]
        form = self.config.input_format
        if not source.rows:
            found.append("no rows")
        elif lacking:
            found.append(f"no rating column {', '.join(map(repr, lacking))}; its columns: {seen}")
        elif form == "auto":
            try:
                form = detect_form(names, [renamed(row, columns) for row in source.rows[:20]])
            except InputError as error:
                found.append(str(error))
        elif missing := missing_columns(form, names):
            needs = FORMS[form].describe()
            found.append(f"not of the form {form} ({needs}): no {', '.join(missing)}; its columns: {seen}")
        self.problems += [f"{source.name}: {problem}" for problem in found]
        return None if found else _Known(source, form, columns)

    def _add(self, rows: Iterator[tuple[_Known, int, RawRow]]) -> None:
        chunk: list[Row] = []
        last: dict[int, _Known] = {}
        for known, number, raw in rows:
            last[id(known)] = known
            chunk.append(self._row(known, number, raw))
            if len(chunk) == CHUNK:
                self._store(chunk)
                chunk = []
        self._store(chunk)
        for known in last.values():
            try:
                known.problems.raise_any()
            except InputError as error:
                self.problems.append(str(error))

    def _row(self, known: _Known, number: int, raw: RawRow) -> Row:
        ratings = []
        for column in self._scores:
            try:
                ratings.append(_rating(raw.get(column), known.source.text_only))
            except InputError as error:
                known.problems.append(f"{known.source.name}: {known.source.unit} {number}, column {column!r}: {error}")
        ratings = ratings[: len(self.config.rating_columns)]  # trusted scores are no rater's: read from `original`
        row = normalise(raw, known.form, known.columns, source=f"{known.source.path}:{number}", ratings=ratings)
        self.ids[row["id"]] += 1
        if self.ids[row["id"]] > 1:
            row["id"] += f"-{self.ids[row['id']]}"
        if row["dropped_by"]:
            self.marked[row["dropped_by"]] += 1
            self.first_mark = self.first_mark or f"{known.source.name}: {known.source.unit} {number}: {row['notes']}"
        return row

    def _store(self, chunk: list[Row]) -> None:
        if chunk and not self.problems:
            self.spool.write(pa.RecordBatch.from_pylist(chunk, schema=FEATURES.arrow_schema))

    def close(self) -> tuple[Dataset, InputSection]:
        """The dataset and the manifest's part; raises InputError if anything stood against it."""
        if self.sample:
            self._add((known, number, row) for _, _, known, number, row in sorted(self.sample, key=lambda e: e[1]))
        if self.unseen and self.files:
            columns = ", ".join(map(repr, sorted(self.unseen)))
            self.problems.append(f"columns: no input has {columns}; check the names after the =")
        if self.problems:
            head = "several problems with the input:\n" if len(self.problems) > 1 else ""
            raise InputError(head + "\n".join(self.problems))
        rows, marked = self.spool.rows, sum(self.marked.values())
        if rows == marked:
            raise InputError(
                f"no row of {rows} has both an instruction and a response; first: {self.first_mark}. If the columns "
                "were misread, set input_format or columns"
            )
        config = self.config
        settings = (config.input_format, config.columns, self._scores, config.limit, config.seed)
        table = self.spool.table()
        fingerprint = Hasher.hash((self.files, settings, source_hash()))
        dataset = Dataset(table, info=DatasetInfo(features=FEATURES.copy()), fingerprint=fingerprint)
        return dataset, {"files": self.files, "rows": rows, "marked": dict(sorted(self.marked.items()))}


def _rating(value: Any, is_text: bool) -> float | None:
    """A raw rating as a float, null where there is none; InputError unless it is a number from 0 to 5."""
    if value is None or (is_text and value.strip() == ""):
        return None
    number = value
    if is_text:
        try:
            number = float(value)
        except ValueError:
            number = value
    if isinstance(number, bool) or not isinstance(number, (int, float, Decimal)):
        raise InputError(f"{ascii(value)[:40]} is not a number; a rating is from 0 to {LEVELS - 1}, or null")
    if not 0 <= number <= LEVELS - 1:  # NaN is not either
        raise InputError(f"{str(value)[:40]} is out of range; a rating is from 0 to {LEVELS - 1}, or null")
    return float(number)
