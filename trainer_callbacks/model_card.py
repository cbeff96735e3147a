"""The model's card, written when the training ends, from what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)


class ModelCardCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Write README.md into the output folder at the end: `render(facts)` gives its text.

    `facts`: what the caller knows (model, dataset, manifest, license, ...) with `steps`, `epochs`, `losses` [(step,
    loss)], the first and the last of them, and `benchmarks` {name: last value} of the trainer's log added, so that
    `lambda facts: model_card(facts, facts["benchmarks"])` of entp_hf.cards will do. A README.md that is there stays.
    """

    def __init__(self, render: Callable[[Mapping[str, Any]], str], facts: Mapping[str, Any] | None = None) -> None:
        self.render, self.facts = render, dict(facts or {})
        self.failures: list[str] = []

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Render and write, on the main process."""
        file = Path(args.output_dir or ".") / "README.md"
        if not state.is_world_process_zero or file.exists():
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.render({**self.facts, **happened(state)}), encoding="utf-8")
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            logger.exception("the model card could not be written; the model is saved all the same")


def happened(state: TrainerState) -> dict[str, Any]:
    """Steps, epochs, losses and the last benchmark figures of a trainer's log."""
    benchmarks: dict[str, float] = {}
    for row in state.log_history:
        benchmarks |= {k.removeprefix("benchmark_"): v for k, v in row.items() if k.startswith("benchmark_")}
    losses = [(row["step"], row["loss"]) for row in state.log_history if "loss" in row]
    ends = {"loss_first": losses[0][1], "loss_last": losses[-1][1]} if losses else {}
    return {"steps": state.global_step, "epochs": state.epoch, "losses": losses, **ends, "benchmarks": benchmarks}
