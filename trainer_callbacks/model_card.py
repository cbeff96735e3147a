"""Write the model card at the end of a training, from the trainer's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..cards.replaceable import is_replaceable
from .benchmark import PREFIX

logger = logging.getLogger(__name__)


class ModelCardCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Write the model card, README.md in the output folder, at the end of a training.

    TRL writes a stub of its own at each checkpoint and on a push; it is replaced, and so is a card of this package. A
    README.md of anybody else stays, and a warning says that no card was written.

    `trainer.push_to_hub()` writes the stub once more before it uploads: where the trainer pushes, add the callback by
    `add_to(trainer)`, after which that trainer's `create_model_card()` writes this card instead.

    Args:
        render: gives the text of the card from facts: `facts` of the caller with `steps`, `epochs`, `losses` [(step,
            loss)], `loss_first`, `loss_last` and `benchmarks` {name: last value} of the trainer's log. As in
            `lambda facts: model_card(facts, facts["benchmarks"])` of entp_hf.cards.
        facts: what the caller knows: model, dataset, manifest, license, ...

    Attributes:
        written: whether README.md is the card of this callback.
    """

    def __init__(self, render: Callable[[Mapping[str, Any]], str], facts: Mapping[str, Any] | None = None) -> None:
        self.render, self.facts = render, dict(facts or {})
        self.failures: list[str] = []
        self.written = False

    def add_to(self, trainer: Any) -> Self:
        """Add this callback to `trainer`, and let its `create_model_card()` write this card; returns itself."""

        def create_model_card(*_: Any, **__: Any) -> None:
            """Write the card of `ModelCardCallback`."""
            if trainer.is_world_process_zero():
                self.write(Path(trainer.args.output_dir or "."), trainer.state)

        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        trainer.create_model_card = create_model_card
        return self

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Render and write, on the main process."""
        if state.is_world_process_zero:
            self.write(Path(args.output_dir or "."), state)

    def write(self, folder: Path, state: TrainerState) -> None:
        """Write the card into a folder, unless a README.md there is somebody's own; errors are logged and kept."""
        file = folder / "README.md"
        self.written = False
        if not is_replaceable(file):
            logger.warning("%s is not of this package or TRL and stays; no model card was written", file)
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.render({**self.facts, **happened(state)}), encoding="utf-8")
            self.written = True
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            logger.exception("the model card could not be written; the model is saved all the same")


def happened(state: TrainerState) -> dict[str, Any]:
    """Steps, epochs, losses and the last benchmark figures of a trainer's log."""
    benchmarks: dict[str, float] = {}
    for row in state.log_history:
        if "eval_runtime" not in row:  # rows of the trainer's own evaluations have their speed
            benchmarks |= {k.removeprefix(PREFIX): v for k, v in row.items() if k.startswith(PREFIX)}
    losses = [(row["step"], row["loss"]) for row in state.log_history if "loss" in row]
    ends = {"loss_first": losses[0][1], "loss_last": losses[-1][1]} if losses else {}
    return {"steps": state.global_step, "epochs": state.epoch, "losses": losses, **ends, "benchmarks": benchmarks}
