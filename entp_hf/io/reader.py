"""Read files, folders, Hub datasets and in-memory datasets into rows of `schema.FEATURES`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from ..schema import FEATURES, LEVELS, DroppedBy, Row, new_row, row_id
from .conversations import dump_json, looks_like_turns
from .files import RawRows
from .formats import (
    FORMS,
    case_names,
    detect_form,
    form_of_row,
    missing_columns,
    normalise,
    renamed,
    used_columns,
)
from .json_csv import Problems, RawRow, Skipped
from .manifest import InputSection, SourceFile
from .paths import EXTENSIONS
from .sources import Source, open_sources

CHUNK = 4096  # rows held as Python objects at once
LISTED = 100  # skipped lines that the manifest lists; all are in the dropped rows


def read_rows(inputs: Source | Sequence[Source], config: EntpConfig) -> tuple[Dataset, InputSection]:
    """Read all inputs into one dataset of `FEATURES`, and the manifest's `input` part.

    Rows are written to disk as they come, and only a block of them is held. Rows that can't be used stay, marked by
    `dropped_by`.

    Args:
        inputs: files (see `paths.EXTENSIONS`), folders and globs of them, Hub ids or hf:// paths, datasets in memory
            and streams (IterableDataset), one or several; their formats may differ.
        config: the settings of the section Input, and the rating columns.

    Raises InputError with the problems of all inputs together.

    """
    sources: Sequence[Any] = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    if not sources:
        raise InputError(f"no input given; name files ({', '.join(EXTENSIONS)}), a folder, or a Hub dataset")
    skip = config.bad_rows == "skip"
    with TableWriter(FEATURES.arrow_schema) as writer:
        reader = Reader(config, writer)
        for source in open_sources(sources, config.split, reader.problems, subset=config.subset, skip=skip):
            reader.take(source)
        return reader.close()


@dataclass
class _Known:
    """A source with its format."""

    source: RawRows
    form: str
    columns: dict[str, str]  # renames that apply: known name to column
    entry: SourceFile  # the manifest's figures of this source
    problems: Problems = field(default_factory=Problems)
    forms: Counter[str] = field(default_factory=Counter)  # rows by format
    unused: Counter[str] = field(default_factory=Counter)  # rows by column that has a value which is not read
    turns: set[str] = field(default_factory=set)  # such columns that look like conversations


class Reader:
    """Collects rows and problems of all sources."""

    def __init__(self, config: EntpConfig, writer: TableWriter) -> None:
        self.config, self.writer = config, writer
        self.problems: list[str] = []
        self.files: list[SourceFile] = []
        self._scores = [*config.rating_columns, *filter(None, [config.gold_column])]  # columns of numbers 0..5
        self.renames = dict(entry.split("=", 1) for entry in config.columns)
        self.roles = {old.strip().lower(): new for new, old in (entry.split("=", 1) for entry in config.roles)}
        self.unseen = set(self.renames.values())
        self.sample: list[tuple[float, int, _Known, int, RawRow]] = []
        self.random = random.Random(config.seed)
        self.read = 0
        self.marked: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.unknown_roles: Counter[str] = Counter()
        self.skipped: list[tuple[RawRows, Skipped]] = []
        self.known: list[_Known] = []
        self.ids: Counter[str] = Counter()
        self.first_mark = ""

    def take(self, source: RawRows) -> None:
        """Look at the columns of a source and take its rows, or those of them that the sample falls on."""
        known = self._look(source)
        if known is None:
            return
        self.read += len(source.rows)
        self.known.append(known)
        self.files.append(known.entry)
        self.skipped += [(source, one) for one in source.skipped]
        rows = zip(source.numbers, source.rows, strict=True)
        if self.config.limit:
            start = self.read - len(source.rows)
            drawn = ((self.random.random(), n, known, *row) for n, row in enumerate(rows, start))
            self.sample = nsmallest(self.config.limit, chain(self.sample, drawn), key=lambda entry: entry[:2])
        else:
            self._add((known, number, row) for number, row in rows)

    def _look(self, source: RawRows) -> _Known | None:
        seen = ", ".join(map(repr, source.columns))
        columns = {new: old for new, old in self.renames.items() if old in source.columns}
        self.unseen -= set(columns.values())
        columns = {**case_names([name for name in source.columns if name not in columns.values()]), **columns}
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
        entry: SourceFile = {"path": source.path, "rows": len(source.rows), "form": form, "sha256": source.sha256}
        if source.license:
            entry["license"] = source.license
        if source.languages:
            entry["languages"] = list(source.languages)
        return None if found else _Known(source, form, columns, entry)

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
        ratings: list[float | None] = []
        fault = ""
        for column in self._scores:
            try:
                ratings.append(_rating(raw.get(column), known.source.text_only))
            except InputError as error:
                ratings.append(None)
                fault = f"column {column!r}: {error}"
                if self.config.bad_rows == "refuse":
                    known.problems.append(f"{known.source.name}: {known.source.unit} {number}, {fault}")
        ratings = ratings[: len(self.config.rating_columns)]  # trusted scores are no rater's: read from `original`
        seen = renamed(raw, known.columns)
        form = known.form if self.config.input_format != "auto" else form_of_row(seen, known.form)
        known.forms[form] += 1
        self._count_unused(known, seen, form)
        row = normalise(
            raw,
            form,
            known.columns,
            roles=self.roles,
            filled=known.source.filled,
            left_out=self.left_out,
            source=f"{known.source.path}:{number}",
            ratings=ratings,
        )
        if fault and not row["dropped_by"]:
            row |= {"dropped_by": DroppedBy.unreadable("bad_rating"), "notes": fault}
        return self._counted(row, f"{known.source.name}: {known.source.unit} {number}")

    def _counted(self, row: Row, place: str) -> Row:
        """The row with an id of its own, and counted where it can't be used."""
        self.ids[row["id"]] += 1
        if self.ids[row["id"]] > 1:
            row["id"] += f"-{self.ids[row['id']]}"
        if row["dropped_by"]:
            self.marked[row["dropped_by"]] += 1
            self.first_mark = self.first_mark or f"{place}: {row['notes']}"
            if row["dropped_by"] == DroppedBy.unreadable("unknown_role"):
                self.unknown_roles[row["notes"].partition("role ")[2].partition(";")[0]] += 1
        return row

    def _count_unused(self, known: _Known, row: Mapping[str, Any], form: str) -> None:
        used = used_columns(form, row)
        for name, value in row.items():
            if name in used or name in self._scores or value is None or value in ("", [], {}):
                continue
            known.unused[name] += 1
            if known.unused[name] <= 20 and name != "rejected" and looks_like_turns(value):
                known.turns.add(name)

    def _skipped_row(self, source: RawRows, line: Skipped) -> Row:
        """A row without messages for a line that can't be read."""
        name = f"{source.path}:{line.number}"
        row = new_row(
            [],
            source=name,
            original=dump_json({"line": line.text}),
            dropped_by=DroppedBy.unreadable("broken_line"),
            notes=line.reason,
        )
        row["id"] = row_id([{"role": "", "content": f"{name} {line.text}"}])
        return self._counted(row, f"{source.name}: line {line.number}")

    def _store(self, chunk: list[Row]) -> None:
        if chunk and not self.problems:
            self.writer.write(pa.RecordBatch.from_pylist(chunk, schema=FEATURES.arrow_schema))

    def close(self) -> tuple[Dataset, InputSection]:
        """The dataset and the manifest's part; raises InputError with every problem of the inputs."""
        if self.sample:
            self._add((known, number, row) for _, _, known, number, row in sorted(self.sample, key=lambda e: e[1]))
        self._store([self._skipped_row(source, line) for source, line in self.skipped])
        if self.unseen and self.files:
            columns = ", ".join(map(repr, sorted(self.unseen)))
            self.problems.append(f"columns: no input has {columns}; check the names after the =")
        if self.problems:
            head = "several problems with the input:\n" if len(self.problems) > 1 else ""
            raise InputError(head + "\n".join(self.problems))
        rows, marked = self.writer.rows, sum(self.marked.values())
        if rows == marked:
            raise InputError(
                f"no row of {rows} has both an instruction and a response; first: {self.first_mark}. If the columns "
                "were misread, set input_format or columns"
            )
        config = self.config
        settings = (config.input_format, config.columns, config.roles, self._scores, config.limit, config.seed)
        table = self.writer.table()
        fingerprint = Hasher.hash((self.files, settings, config.bad_rows, source_hash()))
        dataset = Dataset(table, info=DatasetInfo(features=FEATURES.copy()), fingerprint=fingerprint)
        return dataset, self._figures(rows)

    def _figures(self, rows: int) -> InputSection:
        """The manifest's `input`: files, rows, and counts of everything that the rows' messages don't hold."""
        for known in self.known:
            if set(known.forms) - {known.form}:
                known.entry["forms"] = dict(known.forms)
            if known.unused:
                known.entry["unused_columns"] = {name: known.unused[name] for name in sorted(known.unused)}
            if known.turns:
                known.entry["unused_turns"] = sorted(known.turns)
        figures: InputSection = {"files": self.files, "rows": rows, "marked": dict(sorted(self.marked.items()))}
        if self.unknown_roles:
            figures["unknown_roles"] = dict(self.unknown_roles.most_common(20))
        if self.left_out:
            figures["left_out"] = dict(sorted(self.left_out.items()))
        if self.skipped:
            figures["skipped"] = len(self.skipped)
            figures["skipped_lines"] = [
                {"file": source.path, "line": one.number, "reason": one.reason}
                for source, one in self.skipped[:LISTED]
            ]
        return figures


def input_notes(figures: Mapping[str, Any]) -> list[str]:
    """What reading left out, in words, for the screen and for pages.

    Args:
        figures: the manifest's `input`.

    """
    notes = []
    if roles := figures.get("unknown_roles"):
        told = ", ".join(f"{name} in {count:,} rows" for name, count in roles.items())
        notes.append(f"unknown roles: {told}; read them with roles, such as assistant=narrator")
    if skipped := figures.get("skipped"):
        first = figures["skipped_lines"][0]
        notes.append(f"{skipped:,} lines skipped; first: {first['file']}:{first['line']}: {first['reason']}")
    for kind, count in (figures.get("left_out") or {}).items():
        notes.append(f"left out of the messages, kept in `original`: {kind} ({count:,})")
    for entry in figures["files"]:
        forms = entry.get("forms") or {}
        if forms:
            told = ", ".join(f"{count:,} {name}" for name, count in forms.items())
            notes.append(f"{entry['path']}: rows of several formats: {told}")
        unused = entry.get("unused_columns") or {}
        if unused:
            told = ", ".join(f"{name} ({count:,})" for name, count in list(unused.items())[:12])
            more = f" and {len(unused) - 12} more" if len(unused) > 12 else ""
            notes.append(f"{entry['path']}: columns not read, kept in `original`: {told}{more}")
        notes += [
            f"{entry['path']}: the column {name!r} looks like a conversation and is not read; read it with "
            f"columns, as messages={name}"
            for name in entry.get("unused_turns") or ()
        ]
    return notes


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
