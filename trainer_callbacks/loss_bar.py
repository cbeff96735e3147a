"""The training's progress bar."""

from __future__ import annotations

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback


class LossBarCallback(ProgressCallback):  # type: ignore[misc,unused-ignore]
    """transformers' progress bar with the last loss on it, where that one prints a dictionary at every log.

    Put it in its place: `trainer.remove_callback(ProgressCallback)`, then `trainer.add_callback(LossBarCallback)`.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Name the bar."""
        super().on_train_begin(args, state, control, **kwargs)  # type: ignore[no-untyped-call,unused-ignore]
        if self.training_bar is not None:
            self.training_bar.set_description("train")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        """Show the loss; the whole log is in `state.log_history`, and goes to `report_to` as ever."""
        if self.training_bar is not None and "loss" in (logs or {}):
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.4g}")
