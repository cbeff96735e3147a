"""Test items of benchmarks, read from JSONL, JSON and CSV files: GSM8K, MMLU, BBH, TruthfulQA and the like."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError

LONG = 13  # words from which a text that is no question counts as an item
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")
_QUESTION = re.compile(r"(?i)^(?:question|input|prompt|query|problem|instruction|ctx|sentence)(?:_\w+)?$")
_IGNORED = re.compile(r"(?i)^(?:id|source|url|type|category|language|subject|title|canary|split|index|task)$")


def words_of(text: str) -> list[str]:
    """Words in NFKC and lower case, marks left out; each Han or kana character is a word."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def files_in(path: Path) -> list[Path]:
    """The file itself, or the benchmark files of a folder; raises InputError for other kinds, and for none."""
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix in (".jsonl", ".json", ".csv"))
        if not found:
            raise InputError(f"benchmark folder {path} holds no .jsonl, .json or .csv file")
        return found
    if path.suffix not in (".jsonl", ".json", ".csv"):
        raise InputError(
            f"benchmark file {path} is {path.suffix or 'without a suffix'}; it must be .jsonl, .json or .csv"
        )
    return [path]


def items_of(name: str | Path) -> Iterator[tuple[str, str]]:
    """(name of the item, its text) of a file, a folder, or the split "test" of a dataset of the Hub."""
    from ...io.paths import is_hub_name
    from ...io.sources import read_hub

    if not Path(name).exists() and is_hub_name(str(name)):
        rows = read_hub(str(name), "test").rows
        yield from ((f"{name}:{number}", text) for number, text in _texts(rows, str(name)))
        return
    for file in files_in(Path(name)):
        yield from ((f"{file.name}:{number}", text) for number, text in texts_of(file))


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """(row number from 1, text) of each question in a file, and the texts of rows that have no question."""
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise InputError(f"benchmark file {path}: {error}; it must be UTF-8 JSONL, JSON or CSV") from error
    yield from _texts(rows, f"benchmark file {path}")


def _texts(rows: Sequence[Any], name: str) -> Iterator[tuple[int, str]]:
    texts = [(number, text) for number, row in enumerate(rows, 1) for text in _strings(row)]
    if not texts:  # no column is called a question: every text is one
        texts = [(number, text) for number, row in enumerate(rows, 1) for text in _every(row)]
    if not texts:
        raise InputError(f"{name} holds no text; its rows need string fields such as question or input")
    yield from texts


def _rows(path: Path) -> Iterator[Any]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        yield from csv.DictReader(text.splitlines(keepends=True))
    elif path.suffix == ".jsonl":
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
    else:
        loaded = json.loads(text)
        if isinstance(loaded, dict):
            loaded = next((v for v in (loaded.get("examples"), loaded.get("data"), loaded.get("rows")) if v), [loaded])
        yield from loaded


def _strings(row: Any, question: bool = True) -> Iterator[str]:
    """A row's texts: its question, and whatever else is 13 words long. Short choices and answers are no items."""
    if isinstance(row, str):
        if question or len(words_of(row)) >= LONG:
            yield row
    elif isinstance(row, Mapping):
        for name, value in row.items():
            if name is not None and not _IGNORED.match(str(name)):
                yield from _strings(value, bool(_QUESTION.match(str(name))))
    elif isinstance(row, list):
        for value in row:
            yield from _strings(value, question and not isinstance(value, str))


def _every(row: Any) -> Iterator[str]:
    values = row.values() if isinstance(row, Mapping) else row if isinstance(row, list) else ()
    for value in values:
        if isinstance(value, str):
            yield value
        else:
            yield from _every(value)
