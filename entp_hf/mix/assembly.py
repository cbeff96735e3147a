"""The hybrid dataset: made rows, purged rows and, on request, good rows, at the ratios asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..config import EntpConfig
from ..execution.stage import set_columns
from ..execution.tables import as_dataset, column, each, on_disk, pick, tables
from ..rules.selection import defects
from ..schema import FEATURES, DroppedBy, Origin, Row, is_single_turn, response_of
from .stage import MixResult, used

T = TypeVar("T")
PREFERENCE = ("prompt", "chosen", "rejected")


def assemble(mixed: MixResult, pool: Dataset, good: Dataset, config: EntpConfig) -> tuple[Dataset, Dataset, list[Row]]:
    """The rows of the dataset in a seeded order, the pool's rows left out, and the made ones left out.

    `mixed` has the rows of `pool` by number; rows left out have `dropped_by` set. Made rows fill up to `fusion_ratio`
    of `target_size`, `good` ones up to `high_quality_ratio`; the rest goes to representatives that could not be fused
    and then to the purged rows that no group used, best score first. Where one kind has too few, the dataset is
    smaller, not filled from another kind. A purged row with a defect that repair could not mend may feed a fusion,
    but is not passed through as it is.
    """
    target = config.target_size
    made, over = _take(mixed.made, round(target * config.fusion_ratio))
    high, _ = _take(_best(good, range(len(good))), round(target * config.high_quality_ratio))
    unsound = {i for i, row in enumerate(each(pool, "findings")) if defects(row)}
    sound = [i for i in [*mixed.passed, *_best(pool, mixed.unused)] if i not in unsound]
    room = target - round(target * config.fusion_ratio) - round(target * config.high_quality_ratio)
    passed, _ = _take(sound, room)
    places = [
        *((made, i, None) for i in range(len(made))),
        *((pool, i, Origin.PASSTHROUGH) for i in passed),
        *((good, i, Origin.HIGH_QUALITY) for i in high),
    ]
    shuffled = (places[i] for i in np.random.default_rng(config.seed).permutation(len(places)))
    kept = as_dataset({**rows[i], "origin": origin or rows[i]["origin"]} for rows, i, origin in shuffled)
    reasons = [DroppedBy.DEFECTIVE if i in unsound else DroppedBy.OVER_TARGET for i in range(len(pool))]
    notes = column(pool, "notes") if mixed.used else []
    for i, by in mixed.used.items():
        row = used({"notes": notes[i]}, by)
        reasons[i], notes[i] = row["dropped_by"], row["notes"]
    left = set_columns(pool, {"dropped_by": reasons} | ({"notes": notes} if notes else {}))
    out = np.ones(len(pool), bool)
    out[passed] = False
    return kept, pick(left, out), [*mixed.used_made, *_left_out(over, DroppedBy.OVER_TARGET)]


def _take(rows: Sequence[T], number: int) -> tuple[list[T], list[T]]:
    return list(rows[:number]), list(rows[number:])


def _left_out(rows: Sequence[Row], reason: str) -> list[Row]:
    return [{**row, "dropped_by": reason} for row in rows]


def _best(rows: Dataset, numbers: Iterable[int]) -> list[int]:
    """The row numbers by falling score, then by id."""
    score, key = column(rows, "expected_score"), column(rows, "id")
    return sorted(numbers, key=lambda i: (-score[i] if score[i] is not None else 0.0, key[i]))


def preference_pairs(kept: Iterable[Row], pool: Dataset) -> Dataset | None:
    """Pairs for TRL's DPOTrainer: a fused row's prompt, its answer as chosen, its representative's answer as rejected.

    Only rows that an LLM fused of rows of `pool` of one turn: a conversation's last answer answers no other
    conversation. None where there are none.
    """
    at = {key: i for i, key in enumerate(column(pool, "id"))}

    def pairs() -> Iterator[Row]:
        for row in kept:
            if row["origin"] == Origin.FUSED and is_single_turn(row) and row["parents"][0] in at:
                asked = [m for m in row["messages"] if m["role"] != "assistant"]
                texts = response_of(row), response_of(pool[at[row["parents"][0]]])
                chosen, rejected = ([{"role": "assistant", "content": text}] for text in texts)
                yield {"prompt": asked, "chosen": chosen, "rejected": rejected}

    schema = pa.schema([(name, FEATURES.arrow_schema.field("messages").type) for name in PREFERENCE])
    found = on_disk(tables(pairs(), schema), schema)
    return found if len(found) else None
