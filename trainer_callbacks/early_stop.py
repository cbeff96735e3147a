"""Stop where a benchmark no longer gets better."""

from __future__ import annotations

import logging
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from .benchmark import BenchmarkCallback

logger = logging.getLogger(__name__)


class StopOnBenchmarkCallback(BenchmarkCallback):
    """A benchmark callback that stops the training once `metric` has not got better for `patience` looks in a row.

    `metric` is a key of the figures without `benchmark_`: "entp_quiz_acc_norm", say. Better is more than `least`
    above the best so far, or below it where `higher_is_better` is False. A look that fails counts for nothing. With
    several processes the decision is made on the main one and told to the others.
    """

    def __init__(
        self,
        *arguments: Any,
        metric: str,
        patience: int = 2,
        least: float = 0.0,
        higher_is_better: bool = True,
        **options: Any,
    ) -> None:
        if patience < 1 or least < 0:
            raise ValueError(f"patience is {patience}, least is {least}: give at least 1, and at least 0")
        super().__init__(*arguments, **options)
        if not (self.every_steps or self.every_epoch):
            raise ValueError("every_steps is 0: nothing could be stopped; give a number of steps, or every_epoch")
        self.metric, self.patience, self.least, self.sign = metric, patience, least, 1 if higher_is_better else -1
        self.best: float | None = None
        self.waited = 0

    def look(self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any) -> dict[str, float]:
        """EvaluationSuite, and count the looks without a gain."""
        figures = super().look(args, state, model, tokenizer)
        if f"benchmark_{self.metric}" not in figures:
            known = ", ".join(name.removeprefix("benchmark_") for name in figures if name.startswith("benchmark_"))
            raise ValueError(f"metric: {self.metric!r} is none of the benchmark's figures: {known}")
        value = self.sign * float(figures[f"benchmark_{self.metric}"])
        if self.best is None or value > self.best + self.least:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return figures

    def after(self, state: TrainerState, control: TrainerControl) -> None:
        """Ask the trainer to stop."""
        if self.agreed(self.waited >= self.patience):
            logger.info(
                "step %d: %s did not get better for %d looks; stopping", state.global_step, self.metric, self.patience
            )
            control.should_training_stop = True
