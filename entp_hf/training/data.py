"""Rows for training: load them, and turn them into tokens with the labels to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, load_dataset

from ..errors import InputError
from ..execution.tables import on_disk, tables
from ..models.chat_template import OUTCOMES, encode_row, logger


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
    """The columns `messages` and, where it is there, `tools`."""
    if "messages" not in rows.column_names:
        raise InputError(
            f"the dataset has no column 'messages', only {', '.join(rows.column_names) or 'none'}; "
            "make one with `entp build`"
        )
    if len(rows) == 0:
        raise InputError("the dataset has no rows to train on")
    rows = rows.select_columns([name for name in ("messages", "tools") if name in rows.column_names])
    bad = [i for i, row in enumerate(rows) if not any(m["role"] == "assistant" for m in row["messages"] or [])]
    if bad:
        raise InputError(f"{len(bad)} of {len(rows)} rows have no assistant turn to train on; first: row {bad[0]}")
    return rows


def tokenized(
    rows: Dataset,
    tokenizer: Any,
    max_length: int,
    *,
    train_on_reasoning: bool = True,
    fold: bool = True,
) -> tuple[Dataset, dict[str, int]]:
    """The rows as `input_ids` and `labels` (-100: not trained on), cut at `max_length`, and counts of what was lost.

    Args:
        rows: columns `messages` and perhaps `tools`.
        tokenizer: `chat_template` must be a training template.
        max_length: tokens.
        train_on_reasoning: whether reasoning is trained on.
        fold: whether conversations whose roles the template refuses are folded; else they are left out.

    Counts: rows_too_long (cut), rows_unusable (no assistant token left; left out), and rows_OUTCOME for the keys of
    `chat_template.OUTCOMES` that came up. Raises InputError if no row is left.

    """
    counts: Counter[str] = Counter()
    fractions = sum(1 for row in rows for m in row["messages"] if (m.get("weight") or 0) not in (0, 1))

    def encoded() -> Iterator[dict[str, list[int]]]:
        for row in rows:
            found = encode_row(
                tokenizer,
                row["messages"],
                tokenizer.chat_template,
                row.get("tools"),
                train_on_reasoning=train_on_reasoning,
                fold=fold,
            )
            counts.update(f"rows_{outcome}" for outcome in found.outcomes)
            counts["rows_too_long"] += len(found.ids) > max_length
            ids, mask = found.ids[:max_length], found.mask[:max_length]
            if 1 not in mask:
                counts["rows_unusable"] += 1
                continue
            yield {"input_ids": ids, "labels": [i if one else -100 for i, one in zip(ids, mask, strict=True)]}

    schema = pa.schema({"input_ids": pa.list_(pa.int64()), "labels": pa.list_(pa.int64())})
    kept = on_disk(tables(encoded(), schema), schema)
    if not len(kept):
        refused = counts["rows_refused"] + counts["rows_weights_not_placed"]
        reason = (
            "; the chat template refuses every row" if refused == len(rows) else f"; raise max_length {max_length}"
        )
        raise InputError(f"no row has an assistant token within max_length {max_length}{reason}")
    if counts["rows_too_long"]:
        logger.warning(
            "%d of %d rows are longer than max_length %d and are cut; %d rows have no assistant token "
            "left and are not trained on. Raise max_length to keep them whole.",
            counts["rows_too_long"],
            len(rows),
            max_length,
            counts["rows_unusable"],
        )
    for outcome, words in OUTCOMES.items():
        if number := counts[f"rows_{outcome}"]:
            logger.warning("%d of %d rows: %s", number, len(rows), words)
    if fractions:
        logger.warning("%d turns have a weight that is neither 0 nor 1; they are trained on as with 1", fractions)
    always = {"rows_too_long": counts["rows_too_long"], "rows_unusable": counts["rows_unusable"]}
    return kept, always | {name: number for name, number in sorted(counts.items()) if number}
