"""Open what a user names as input: files, folders, globs, Hub datasets, datasets in memory and streams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset
from datasets.utils import tqdm

from ..errors import InputError
from ..execution.tables import Streamed, blocks, spooled
from .conversations import dump_json
from .files import BATCH, RawRows, read_file, rows_of
from .json_csv import RawRow, check_names
from .paths import HUB_ID, find_files, is_file_url, is_hub_name
from .remote import find_remote, read_remote

Source: TypeAlias = str | Path | Dataset | DatasetDict | IterableDataset


def open_sources(
    sources: Sequence[Source], split: str, problems: list[str], *, subset: str = "", skip: bool = False
) -> Iterator[RawRows]:
    """Every source in turn, in the order given; an error goes to `problems`.

    Args:
        sources: paths, folders, globs, URLs, Hub ids, datasets in memory and streams.
        split: of datasets with several.
        problems: list that errors are appended to.
        subset: configuration of Hub datasets that have several; "": the default one.
        skip: skip lines of text files that can't be read.

    """
    found: list[Source] = []
    seen: set[str] = set()
    for item in sources:
        try:
            files = _files(item, split)
        except InputError as error:
            problems.append(str(error))
            continue
        keys = [str(file.resolve()) if isinstance(file, Path) else file for file in files]
        problems += [f"{file}: given twice" for file, key in zip(files, keys, strict=True) if key in seen]
        seen |= set(keys)
        found += files or [item]
    for item in tqdm(found, desc="read", unit="file", disable=len(found) < 2):
        try:
            if isinstance(item, Path) and item.is_file():
                yield read_file(item, skip)
            elif is_file_url(item):
                yield read_remote(str(item), skip)
            elif isinstance(item, (str, Path)):
                yield read_hub(str(item), split, subset)
            else:
                yield _read_memory(item, split)
        except InputError as error:
            problems.append(str(error))


def _files(item: Source, split: str) -> Sequence[Path | str]:
    if is_file_url(item):
        return find_remote(str(item))
    return find_files(str(item), split) if isinstance(item, (str, Path)) else []


def _read_memory(dataset: Any, split: str, name: str = "dataset in memory") -> RawRows:
    if isinstance(dataset, DatasetDict):
        if split not in dataset:
            raise InputError(f"{name}: no split {split!r}; there are {', '.join(map(repr, dataset))}")
        dataset = dataset[split]
    if isinstance(dataset, IterableDataset):
        return _read_stream(dataset, name)
    if not isinstance(dataset, Dataset):
        raise InputError(
            f"input of type {type(dataset).__name__}; give paths, Hub ids, a Dataset, DatasetDict or IterableDataset"
        )
    check_names(dataset.column_names, name)
    rows = Streamed(lambda: chain.from_iterable(map(rows_of, blocks(dataset))), len(dataset))
    digest = hashlib.sha256()
    for row in rows:
        digest.update(dump_json(row).encode() + b"\n")
    numbers = range(1, len(rows) + 1)
    return RawRows(name, name, dataset.column_names, rows, numbers, "row", sha256=digest.hexdigest(), filled=True)


class _StreamRows(Sequence[RawRow]):
    """Rows as JSON texts on disk."""

    def __init__(self, table: pa.Table) -> None:
        self.column = table["row"]

    def __len__(self) -> int:
        return len(self.column)

    def __iter__(self) -> Iterator[RawRow]:
        return (json.loads(text.as_py()) for text in self.column)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [json.loads(text) for text in self.column[at].to_pylist()]
        return json.loads(self.column[at].as_py())


def _read_stream(dataset: IterableDataset, name: str) -> RawRows:
    """The rows of a stream, read through once and kept on disk as JSON: their types need not be known beforehand."""
    digest, columns = hashlib.sha256(), dict.fromkeys(dataset.column_names or ())
    schema = pa.schema({"row": pa.large_string()})

    def batches() -> Iterator[pa.RecordBatch]:
        stream = iter(dataset)
        while chunk := list(islice(stream, BATCH)):
            texts = []
            for row in chunk:
                columns.update(dict.fromkeys(row))
                texts.append(dump_json(row))
                digest.update(texts[-1].encode() + b"\n")
            yield pa.record_batch([pa.array(texts, pa.large_string())], schema=schema)

    rows = _StreamRows(spooled(batches(), schema))
    check_names(list(columns), name)
    numbers = range(1, len(rows) + 1)
    return RawRows(name, name, list(columns), rows, numbers, "row", sha256=digest.hexdigest(), filled=True)


def read_hub(name: str, split: str, subset: str = "") -> RawRows:
    """One split of a dataset of the Hub, or one file of it.

    Args:
        name: OWNER/NAME[:SUBSET][@REVISION], or hf://OWNER/NAME[@REVISION]/PATH.
        split: the split.
        subset: configuration, where the name has none; "": the default one.

    Raises InputError with the reason where it can't be loaded.

    """
    remote, match = name.startswith("hf://"), HUB_ID.fullmatch(name)
    if match is None or not is_hub_name(name):
        raise InputError(f"{name}: no such file or folder")
    from datasets import load_dataset

    files = {split: match["path"]} if match["path"] else None
    try:
        dataset = load_dataset(
            match["repo"],
            name=match["subset"] or subset or None,
            data_files=files,
            split=split,
            revision=match["revision"],
        )
    except Exception as error:  # the Hub, the network, the cache and every builder raise their own kinds
        local = "" if remote else "no such file or folder; as a dataset of the Hub "
        reason = " ".join(str(error).split())[:300]
        message = f"{name}: {local}(split {split!r}) it can't be loaded: {reason} ({type(error).__name__})"
        if "onfig" in reason and not (match["subset"] or subset):
            message += f". Name one as {match['repo']}:SUBSET, or set subset"
        raise InputError(message) from error
    licence, languages = card_facts(match["repo"], match["revision"])
    return replace(_read_memory(dataset, split, name), license=licence, languages=languages)


def card_facts(repo: str, revision: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Licences (separated by commas) and languages that a Hub dataset's card states; "" and () where it can't be had.

    A licence that is "other" is given by its name.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    try:
        card = HfApi().dataset_info(repo, revision=revision).card_data
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError):  # the rows are there: the card is an extra
        card = None
    data: dict[str, Any] = card.to_dict() if card is not None else {}  # type: ignore[no-untyped-call]
    licences = data.get("license") or []
    licences = licences if isinstance(licences, list) else [licences]
    named = [str(data.get("license_name") or "") if text == "other" else str(text) for text in licences]
    spoken = data.get("language") or []
    return ",".join(filter(None, named)), tuple(map(str, spoken if isinstance(spoken, list) else [spoken]))
