"""The hybrid dataset: made rows, purged rows and, on request, good rows, at the ratios asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..config import EntpConfig
from ..execution.stage import set_columns
from ..execution.tables import as_dataset, column, each, on_disk, pick, tables
from ..rules.selection import defects
from ..schema import DroppedBy, Origin, Row, is_single_turn, response_of, without_nulls
from .stage import MixResult, used

T = TypeVar("T")
PREFERENCE = ("prompt", "chosen", "rejected")


def assemble(mixed: MixResult, pool: Dataset, good: Dataset, config: EntpConfig) -> tuple[Dataset, Dataset, list[Row]]:
    """The rows of the dataset in a seeded order, the pool's rows left out, and the made ones left out.

    `mixed` has the rows of `pool` by number; rows left out have `dropped_by` set. `quotas` says how many rows of each
    kind are taken: generated rows in their order; representatives that could not be fused, then purged rows that no
    group used, best score first; good rows, best score first, all of them with `keep_good`. A purged row with a
    defect that repair could not mend may feed a fusion, but is not passed through as it is.
    """
    unsound = {i for i, row in enumerate(each(pool, "findings")) if defects(row)}
    sound = [i for i in [*mixed.passed, *_best(pool, mixed.unused)] if i not in unsound]
    asked = 0.0 if config.keep_good else config.high_quality_ratio
    numbers = quotas(
        config.target_size,
        wishes={"generated": config.fusion_ratio, "high_quality": asked},
        available={"passed": len(sound), "generated": len(mixed.made), "high_quality": len(good) if asked else 0},
    )
    made, over = _take(mixed.made, numbers["generated"])
    high, _ = _take(_best(good, range(len(good))), len(good) if config.keep_good else numbers["high_quality"])
    passed, _ = _take(sound, numbers["passed"])
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


def quotas(target: int, wishes: Mapping[str, float], available: Mapping[str, int]) -> dict[str, int]:
    """Rows to take of each kind, so that the dataset is filled as far as there are rows.

    Args:
        target: rows of the dataset.
        wishes: share of the dataset that each kind should have; kinds without one share what is left.
        available: rows there are of each kind, in the order in which they fill what the wishes leave open.

    Each kind first gets its wish as far as its rows reach; what is still open goes to the kinds in their order, so a
    share is exceeded only where the other kinds have no more rows.
    """
    taken = dict.fromkeys(available, 0)
    for limit in ({kind: round(target * wishes.get(kind, 0.0)) for kind in available}, available):
        for kind, rows in available.items():
            wanted = min(rows, limit[kind]) - taken[kind]
            taken[kind] += max(0, min(wanted, target - sum(taken.values())))
    return taken


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
                asked = [without_nulls(m) for m in row["messages"] if m["role"] != "assistant"]
                texts = response_of(row), response_of(pool[at[row["parents"][0]]])
                chosen, rejected = ([{"role": "assistant", "content": text}] for text in texts)
                yield {"prompt": asked, "chosen": chosen, "rejected": rejected}

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([(name, pa.list_(turn)) for name in PREFERENCE])
    found = on_disk(tables(pairs(), schema), schema)
    return found if len(found) else None
