"""Rows for training: load them, keep `messages` alone, check their lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset

from ..errors import InputError
from ..models.chat_template import encode, logger


def load_rows(dataset: str, split: str = "train") -> Dataset:
    """Load a split of a dataset: an `entp build` folder, a Parquet or JSON(L) file, or a Hub id."""
    place = Path(dataset)
    if dataset and place.is_dir():
        files = [place / "data" / f"{split}.parquet", place / f"{split}.parquet"]
        place = next((file for file in files if file.is_file()), place)
        if place.is_dir():
            raise InputError(
                f"{dataset}: holds no data/{split}.parquet or {split}.parquet; give a folder of entp build"
            )
    if place.is_file() and split != "train" and place.stem != split:
        raise InputError(f"{dataset}: is one file and has no split {split!r}; give a folder or a Hub id that has one")
    form = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}.get(place.suffix)
    if place.is_file() and not form:
        raise InputError(f"{dataset}: is no .parquet, .jsonl or .json file")
    try:
        if place.is_file():
            return load_dataset(form, data_files=str(place), split="train")
        return load_dataset(dataset, split=split)
    except Exception as error:  # datasets wraps what goes wrong in a dozen types, Hub transport errors among them
        what = "can't be read" if place.is_file() else "is no folder or file, and no dataset of the Hub"
        raise InputError(f"dataset {dataset!r}: {what}: {type(error).__name__}: {error}") from error


def messages_only(rows: Dataset) -> Dataset:
    """The column `messages` alone; TRL would take `tools` and others of a row's columns for its own."""
    if "messages" not in rows.column_names:
        raise InputError(
            f"the dataset has no column 'messages', only {', '.join(rows.column_names) or 'none'}; "
            "make one with `entp build`"
        )
    if len(rows) == 0:
        raise InputError("the dataset has no rows to train on")
    rows = rows.select_columns(["messages"])
    bad = [i for i, row in enumerate(rows) if not any(m["role"] == "assistant" for m in row["messages"] or [])]
    if bad:
        raise InputError(f"{len(bad)} of {len(rows)} rows have no assistant turn to train on; first: row {bad[0]}")
    return rows


def check_lengths(rows: Dataset, tokenizer: Any, max_length: int) -> dict[str, int]:
    """Count the rows that max_length cuts, and those that it leaves no assistant token; warn of both.

    `tokenizer.chat_template` must be a training template. Raises InputError if no row is left.
    """
    too_long = unusable = 0
    for start in range(0, len(rows), 256):
        _, masks = encode(tokenizer, rows[start : start + 256]["messages"], tokenizer.chat_template)
        too_long += sum(len(mask) > max_length for mask in masks)
        unusable += sum(1 not in mask[:max_length] for mask in masks)
    if unusable == len(rows):
        raise InputError(f"no row has an assistant token within max_length {max_length}; raise max_length")
    if too_long:
        logger.warning(
            "%d of %d rows are longer than max_length %d and are cut; %d of them have no assistant token "
            "left and are not trained on. Raise max_length to keep them whole.",
            too_long,
            len(rows),
            max_length,
            unusable,
        )
    return {"rows_too_long": too_long, "rows_unusable": unusable}
