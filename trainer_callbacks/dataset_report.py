"""Log size, diversity and provenance of the training data at the start of a training."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from .periodic import FigureCallback

logger = logging.getLogger(__name__)
SAMPLE = 2000  # rows whose diversity is measured: distances are quadratic in them (not in the paper)


class DatasetReportCallback(FigureCallback):
    """Log figures of the training data once, before the first step; a resumed training does not log them again.

    One row: data_rows, data_turns (mean), data_answer_characters (mean), data_origin_NAME (shares), data_parents
    (mean), data_novelsum and data_vendi of a seeded sample of 2,000 rows. An error is logged and kept in `failures`;
    training goes on.

    Args:
        rows: dataset with `messages`; columns of `entp build` are used where they are there.
        embedder: sentence-transformers model for novelsum and Vendi; "": both are left out.
        seed: seed of the sample.
        cache_dir: folder of embeddings and converted models; "": $ENTP_CACHE or ~/.cache/entp.
    """

    def __init__(self, rows: Any, embedder: str = "", seed: int = 0, cache_dir: str = "") -> None:
        self.rows, self.embedder, self.seed, self.cache_dir = rows, embedder, seed, cache_dir
        self.failures = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Compute and log the figures, on the main process."""
        if not state.is_world_process_zero or any("data_rows" in row for row in state.log_history):
            return
        try:
            figures = self.figures()
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            logger.exception("the report on the training data failed; training goes on")
            return
        self.log_row(figures, args, state, control)
        logger.info("training data: %s", figures)

    def figures(self) -> dict[str, float]:
        """The figures of the report."""
        rows = list(self.rows)
        return {**provenance(rows), **(self._diversity(rows) if self.embedder else {})}

    def _diversity(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        import numpy as np

        from ..embedding.diversity import novelsum, vendi_score
        from ..embedding.embed import Embed
        from ..schema import text_of

        picked = np.random.default_rng(self.seed).permutation(len(rows))[:SAMPLE]
        embed = Embed(self.embedder, cache_dir=self.cache_dir)
        vectors = embed.encode([text_of(rows[i]) for i in picked])
        found = {"data_vendi": vendi_score(vectors)}
        return {"data_novelsum": novelsum(vectors), **found} if len(vectors) > 1 else found


def provenance(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sizes, and the shares of the rows' origins where they say them."""
    from ..schema import response_of

    count = max(len(rows), 1)
    found = {
        "data_rows": float(len(rows)),
        "data_turns": sum(len(row["messages"]) for row in rows) / count,
        "data_answer_characters": sum(len(response_of(row)) for row in rows) / count,
    }
    origins = Counter(str(row["origin"]) for row in rows if row.get("origin"))
    found |= {f"data_origin_{name}": number / count for name, number in sorted(origins.items())}
    if any(row.get("parents") for row in rows):
        found["data_parents"] = sum(len(row.get("parents") or []) for row in rows) / count
    return found
