"""Stop the training when a benchmark figure stops improving."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from ..evaluation.suite import metric_problem
from .benchmark import PREFIX, BenchmarkCallback

logger = logging.getLogger(__name__)


class StopOnBenchmarkCallback(BenchmarkCallback):
    """A benchmark callback that stops the training after `patience` evaluations in a row without an improvement.

    An evaluation that fails counts for nothing. With several processes the main one decides. A resumed training counts
    on from the figures in the checkpoint's log.

    Args:
        evaluate: function of model and tokenizer, as in `BenchmarkCallback`; or give `tasks`.
        metric: name of the figure, without `eval_`: "entp_quiz_acc_norm", say. With `tasks` it is checked at once.
        patience: evaluations in a row without an improvement, after which the training stops.
        least: an improvement is more than this above the best figure so far (below it, where lower is better).
        higher_is_better: False for losses.
        tasks: names of tasks, as in `BenchmarkCallback`.
        options: further arguments of `BenchmarkCallback`: every_steps, every_epoch, every_eval, limit, ...
    """

    def __init__(
        self,
        evaluate: Callable[[Any, Any], Mapping[str, float]] | None = None,
        *,
        metric: str,
        patience: int = 2,
        least: float = 0.0,
        higher_is_better: bool = True,
        tasks: Sequence[str] = (),
        **options: Any,
    ) -> None:
        if patience < 1 or least < 0:
            raise ValueError(f"patience is {patience}, least is {least}: give at least 1, and at least 0")
        super().__init__(evaluate, tasks=tasks, **options)
        if not (self.every_steps or self.every_epoch or self.every_eval):
            raise ValueError(
                "every_steps is 0: nothing could be stopped; give a number of steps, every_epoch or every_eval"
            )
        metric = metric.removeprefix(PREFIX)
        if tasks and (problem := metric_problem(metric, tasks)):
            raise ValueError(problem)
        self.metric, self.patience, self.least, self.sign = metric, patience, least, 1 if higher_is_better else -1
        self.best: float | None = None
        self.waited = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the evaluations of the log that a checkpoint holds; none in a new training."""
        self.best, self.waited = None, 0
        for row in state.log_history:
            if f"{PREFIX}{self.metric}" in row and "eval_runtime" not in row:
                self._count(float(row[f"{PREFIX}{self.metric}"]))
        super().on_train_begin(args, state, control, **kwargs)

    def _count(self, figure: float) -> None:
        value = self.sign * figure
        if self.best is None or value > self.best + self.least:
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    def look(self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any) -> dict[str, float]:
        """Evaluate, and count the evaluations without an improvement."""
        figures = super().look(args, state, model, tokenizer)
        if f"{PREFIX}{self.metric}" not in figures:
            known = ", ".join(name.removeprefix(PREFIX) for name in figures)
            raise ValueError(f"metric: {self.metric!r} is none of the benchmark's figures: {known}")
        self._count(float(figures[f"{PREFIX}{self.metric}"]))
        return figures

    def after(self, state: TrainerState, control: TrainerControl) -> None:
        """Ask the trainer to stop."""
        if self.agreed(self.waited >= self.patience):
            logger.info(
                "step %d: %s did not improve in %d evaluations; stopping",
                state.global_step,
                self.metric,
                self.patience,
            )
            control.should_training_stop = True
