"""Keep the trained model for the caller of the training."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class KeepModel(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Holds the model after the last step, in eval mode, so that it need not be loaded again to be evaluated."""

    def __init__(self) -> None:
        self.model: Any = None

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep it."""
        self.model = kwargs["model"].eval()
