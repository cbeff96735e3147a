"""Turn a user's input (shipped sample, upload or Hub dataset) into one file in a folder."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import pool_files
from ..errors import EntpError, InputError
from ..io.files import read_file
from ..io.formats import detect_form
from ..io.json_csv import RawRow
from ..io.sources import card_facts
from ..pipeline.publish import in_words
from .security.limits import KINDS, Limits, Refused
from .security.requests import PLAIN, REPO, check_upload

SHOWN = 5  # rows of a preview
FOUND = 15  # names that a search shows
BUILDERS = ("parquet", "json", "csv", "arrow", "text")  # of `datasets`: those that only read data
CHAT = ("messages", "conversations", "conversation", "chat", "turns", "dialog", "dialogue")
GUESSES = {
    "instruction": ("instruction", "prompt", "question", "query"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer", "completion"),
    "messages": CHAT,
    "conversations": CHAT,
    "prompt": ("prompt", "instruction", "question", "query"),
    "completion": ("completion", "response", "output", "answer"),
}


@dataclass(frozen=True)
class PoolInput:
    """An input that was looked at. `form` is "" where it is of none that is known; `guesses` are ours to theirs."""

    id: str
    paths: list[str]
    name: str
    columns: list[str]
    rows: int
    first: list[RawRow]
    form: str
    license: str = ""
    guesses: dict[str, str] = field(default_factory=dict)
    ratings: list[str] = field(default_factory=list)


def sample(key: str) -> PoolInput:
    """The pool that comes with the package: made-up rows with defects put in."""
    path = pool_files()[0]
    raw = read_file(Path(path))
    return _given(key, [path], "the shipped sample", raw.columns, raw.rows, "apache-2.0")


def uploaded(key: str, folder: Path, path: str, area: Path, limits: Limits) -> PoolInput:
    """An uploaded file, checked and copied to the run's folder."""
    found = check_upload(path, area, limits)
    copy = folder / f"input{found.suffix.lower()}"
    handle = os.open(found, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as source, copy.open("xb") as target:
        shutil.copyfileobj(source, target)
    if limits.hosted:  # where it lies, anyone who knows its address can fetch it
        found.unlink()
    try:
        raw = read_file(copy)
    except InputError as error:  # the message names our own copy
        raise InputError(str(error).replace(str(copy), found.name)) from error
    return _given(key, [str(copy)], found.name, raw.columns, raw.rows)


def search(words: str, token: str | bool | None) -> list[tuple[str, str]]:
    """(what is shown, name) of datasets on the Hub, most downloaded first."""
    from huggingface_hub import HfApi

    with in_words(words):
        found = HfApi().list_datasets(search=words.strip()[:96], sort="downloads", limit=FOUND, token=token)
        return [(f"{one.id} ({one.downloads or 0:,} downloads)", one.id) for one in found]


def check_repo(name: str) -> str:
    """The name if it can only be one on the Hub: `datasets` takes what lies on the disk for a dataset, too."""
    if not REPO.fullmatch(name or "") or ".." in name or Path(name).exists():
        raise Refused(f"{(name or '')[:80]!r} is no dataset on the Hub; give it as OWNER/NAME")
    return name


def choices(name: str, config: str | None, token: str | bool | None) -> tuple[list[str], list[str]]:
    """(configs, splits of `config` or of the first) of a dataset on the Hub."""
    from datasets import get_dataset_config_names, get_dataset_split_names

    name = check_repo(name)
    with _hub_words(name):
        configs = get_dataset_config_names(name, token=token)
        chosen = config if config in configs else configs[0]
        return configs, get_dataset_split_names(name, chosen, token=token)


def from_hub(
    key: str, folder: Path, name: str, config: str, split: str, limits: Limits, token: str | bool | None
) -> PoolInput:
    """The first rows of a split, up to the limit, written to the run's folder."""
    from datasets import Dataset, load_dataset, load_dataset_builder

    name = check_repo(name)
    if not PLAIN.fullmatch(config) or not PLAIN.fullmatch(split):
        raise Refused("choose a config and a split from the lists")
    with _hub_words(name):
        builder = load_dataset_builder(name, config, token=token)
        _check_builder(builder, name)
        stream = load_dataset(name, config, split=split, streaming=True, token=token)
        rows = list(itertools.islice(stream, limits.rows))
        licence, _ = card_facts(name)
    if not rows:
        raise InputError(f"{name}: the split {split!r} has no rows")
    path = folder / "input.parquet"
    Dataset.from_list(rows).to_parquet(path)
    if path.stat().st_size > limits.bytes:
        path.unlink()
        raise Refused(f"{name}: its rows come to more than {limits.bytes / 1e6:,.0f} MB, which is the bound here")
    return _given(key, [str(path)], name, list(rows[0]), rows, licence)


def _check_builder(builder: Any, name: str) -> None:
    kind = type(builder).__module__.split(".")[-1]
    files = [str(url) for urls in (builder.config.data_files or {}).values() for url in urls]
    wrong = [url for url in files if not url.split("?")[0].lower().endswith((*KINDS, ".arrow", ".txt"))]
    if kind not in BUILDERS or wrong:
        what = f"the file {wrong[0].split('/')[-1]}" if wrong else f"the format {kind}"
        raise Refused(f"{name} is not taken, because of {what}; known: {', '.join(KINDS)}")


def _hub_words(name: str) -> Any:
    return _HubWords(name)


class _HubWords:
    """Whatever `datasets` and the Hub's client raise, as an InputError in words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, EntpError) or not isinstance(error, Exception):
            return
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{self.name} can't be read from the Hub: {reason}") from error


def _given(
    key: str, paths: list[str], name: str, columns: Sequence[str], rows: Sequence[RawRow], licence: str = ""
) -> PoolInput:
    total, rows = len(rows), list(rows[:50])
    try:
        form = detect_form(list(columns), rows[:20])
    except InputError:
        form = ""
    by_name = {column.lower(): column for column in reversed(columns)}
    guesses = {ours: next((by_name[n] for n in names if n in by_name), "") for ours, names in GUESSES.items()}
    ratings = [c for c in columns if rows and all(_is_rating(row.get(c)) for row in rows)]
    return PoolInput(key, paths, name, list(columns), total, list(rows[:SHOWN]), form, licence, guesses, ratings)


def _is_rating(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 5
