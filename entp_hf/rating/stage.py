"""Rating stage: run the raters over the rows, mark rows that no rater could rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real

from datasets import Dataset

from ..config import RATERS, EntpConfig
from ..errors import StageError
from ..execution.ray_engine import RayEngine
from ..execution.stage import Batch, Stage, apply, resolve, rows_of, set_columns
from ..execution.tables import column
from ..llm.batch import end_of_stage
from ..llm.factory import make_client
from ..schema import LEVELS, DroppedBy, row_id
from .rate import Rate, to_levels

# Not in the paper:
RATED = 4096  # rows rated at once; a server's calls end together at the end of each such block
RAY_RATED = 2**16  # rows rated at once where the model is in Ray's workers: each time they may have to load it


def mark_unrated(rows: Dataset) -> Dataset:
    """Drop rows that no rater could rate; StageError if that is every row."""
    rated = [any(value is not None for value in ratings) for ratings in column(rows, "ratings")]
    if not any(rated):
        notes = next((note for note in rows["notes"] if note), "no rater gave a number")
        raise StageError("rate", f"no row could be rated: {notes}. Set another rater, or pool to all", rows["id"][:])
    return set_columns(rows, {"dropped_by": [None if r else DroppedBy.UNRATED for r in rated]})


def rate_rows(rows: Dataset, config: EntpConfig) -> tuple[Dataset, list[str]]:
    """Run every rater of the configuration; returns rows with `ratings` (one entry a rater) and the raters' names.

    The rater `column` was read with the rows: one entry for each rating column. A rater of one's own, given by dotted
    path, takes rows (list of dict) and returns as many numbers 0..5 or None; it gets `RATED` rows at a time.
    """
    names = list(config.rating_columns)
    for path in config.raters:
        if path not in RATERS:
            resolve(path, "raters", RATERS)  # before another rater has cost anything
    for rater in config.raters:
        if rater == "column":
            continue
        names.append(rater)
        host, at_once = None, RATED
        if rater in RATERS:  # this process asks, and keeps the replies; on Ray the model is in the workers
            # A server gives no probabilities, so that `logits` always reads a model in this process.
            place = replace(config, endpoint="", rater_endpoint="", provider="") if rater == "logits" else config
            client = make_client(place, "rater")
            stage: Stage = Rate(client, rater, config.prompt_dir, config.rate_tokens)
            if config.engine == "ray" and not (place.endpoint or place.rater_endpoint or place.provider):
                at_once = RAY_RATED
        else:
            stage, host = OwnRater(rater), RayEngine.from_config(config)
        rows = apply(rows, stage, desc=f"rate ({rater})", batch_size=at_once, ray=host)
        end_of_stage()
        if rater == "logits":
            ratings = column(rows, "ratings")
            levels = to_levels([r[-1] for r in ratings])
            rows = set_columns(rows, {"ratings": [[*r[:-1], v] for r, v in zip(ratings, levels, strict=True)]})
    return rows, names


@dataclass(frozen=True)
class OwnRater:
    """A rater of the user's own, by dotted path; its values are checked."""

    path: str

    def __call__(self, batch: Batch) -> Batch:
        """Append its rating to each row's `ratings`."""
        rows = rows_of(batch)
        values: Sequence[float | None] = resolve(self.path, "raters", RATERS)(rows)
        if len(values) != len(rows):
            raise StageError("rate", f"{self.path} returned {len(values)} ratings for {len(rows)} rows")
        bad = [i for i, v in enumerate(values) if v is not None and not (isinstance(v, Real) and 0 <= v <= LEVELS - 1)]
        if bad:
            raise StageError(
                "rate",
                f"{self.path} returned {values[bad[0]]!r}; a rating is a number from 0 to {LEVELS - 1}, or None",
                [row_id(rows[i]["messages"]) for i in bad],
            )
        return {**batch, "ratings": [[*(row.get("ratings") or []), v] for row, v in zip(rows, values, strict=True)]}
