"""The hybrid dataset: made rows, purged rows and, on request, good rows, at the ratios asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from .config import EntpConfig
from .groups import defects
from .mix import Mixed
from .schema import FEATURES, Row, is_single_turn, response_of

PREFERENCE = ("prompt", "chosen", "rejected")
OVER = "mix:over_target"  # `dropped_by` of rows that are fit for the dataset, but over its size


def assemble(mixed: Mixed, good: Sequence[Row], config: EntpConfig) -> tuple[list[Row], list[Row]]:
    """The rows of the dataset in a seeded order, and those left out, each with `dropped_by` set.

    Made rows fill up to `fusion_ratio` of `target_size`, good rows up to `high_quality_ratio`; the rest goes to
    representatives that could not be fused and then to the purged rows that no group used, best score first. Where
    one kind has too few, the dataset is smaller, not filled from another kind. A purged row with a defect that
    repair could not mend may feed a fusion, but is not passed through as it is.
    """
    target = config.target_size
    made, over = _take(mixed.made, round(target * config.fusion_ratio))
    best = sorted(good, key=_worth)
    high, unused_high = _take(best, round(target * config.high_quality_ratio))
    rest = [*mixed.passed, *sorted(mixed.unused, key=_worth)]
    sound = [row for row in rest if not defects(row)]
    sound_ids = {row["id"] for row in sound}
    room = target - round(target * config.fusion_ratio) - round(target * config.high_quality_ratio)
    passed, unused = _take(sound, room)
    kept = [
        *made,
        *({**row, "origin": "passthrough"} for row in passed),
        *({**row, "origin": "high_quality"} for row in high),
    ]
    order = np.random.default_rng(config.seed).permutation(len(kept))
    dropped = [
        *mixed.used,
        *_left_out([row for row in rest if row["id"] not in sound_ids], "mix:defective"),
        *_left_out([*over, *unused], OVER),
        *_left_out(unused_high, "pool:high_quality"),
    ]
    return [kept[i] for i in order], dropped


def _take(rows: Sequence[Row], number: int) -> tuple[list[Row], list[Row]]:
    return list(rows[:number]), list(rows[number:])


def _left_out(rows: Sequence[Row], reason: str) -> list[Row]:
    return [{**row, "dropped_by": reason} for row in rows]


def _worth(row: Row) -> tuple[float, str]:
    score = row["expected_score"]
    return (-score if score is not None else 0.0, row["id"])


def preference_pairs(kept: Sequence[Row], originals: dict[str, Row]) -> Dataset | None:
    """Pairs for TRL's DPOTrainer: a fused row's prompt, its answer as chosen, its representative's answer as rejected.

    Only rows that an LLM fused from rows of one turn: a conversation's last answer answers no other conversation. None
    where there are none.
    """
    pairs: dict[str, list[Any]] = {name: [] for name in PREFERENCE}
    for row in kept:
        if row["origin"] != "fused" or not is_single_turn(row) or row["parents"][0] not in originals:
            continue
        pairs["prompt"].append([m for m in row["messages"] if m["role"] != "assistant"])
        pairs["chosen"].append([{"role": "assistant", "content": response_of(row)}])
        pairs["rejected"].append([{"role": "assistant", "content": response_of(originals[row["parents"][0]])}])
    return Dataset.from_dict(pairs) if pairs["prompt"] else None


def as_dataset(rows: Sequence[Row]) -> Dataset:
    """Rows with the columns and types of `schema.FEATURES`."""
    return Dataset.from_dict({name: [row[name] for row in rows] for name in FEATURES}, features=FEATURES)
