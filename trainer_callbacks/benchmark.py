"""Benchmark figures in the training log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerState, TrainingArguments

from .periodic import PeriodicCallback

logger = logging.getLogger(__name__)


class BenchmarkCallback(PeriodicCallback):
    """Log what `evaluate(model, tokenizer)` returns, or the results of `tasks`: `state.log_history` and reporters.

    Figures come as a row of their own: {"step", "epoch", "benchmark_<name>": float}. `tasks` are names for
    `evaluation.evaluate.evaluate_items`: entp_quiz, mmlu, truthfulqa, gsm8k, bbh, tydiqa, or any of lm-eval's.
    `options` are its further arguments (limit, batch_size, benchmark_dir, files). Of a benchmark of many tasks only
    the mean is logged. `results` holds the latest figures: {task: {metric: value}}, or those of `evaluate`.
    """

    def __init__(
        self,
        evaluate: Callable[[Any, Any], Mapping[str, float]] | None = None,
        *,
        tasks: Sequence[str] = (),
        every_steps: int = 0,
        at_end: bool = True,
        every_epoch: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(every_steps, at_end, every_epoch)
        if (evaluate is None) == (not tasks):
            raise ValueError("give either evaluate, a function of model and tokenizer, or tasks, names of tasks")
        if evaluate and options:
            raise ValueError(f"{', '.join(options)}: options of tasks, but evaluate is given")
        self.evaluate, self.tasks, self.options = evaluate or self._run_tasks, list(tasks), options
        self.results: dict[str, Any] = {}

    def _run_tasks(self, model: Any, tokenizer: Any) -> dict[str, float]:
        from ..evaluation.benchmarks import parts_of
        from ..evaluation.evaluate import evaluate

        found = evaluate(model, tokenizer=tokenizer, tasks=self.tasks, **self.options)
        hidden = parts_of(self.tasks, list(found))
        self.results = {task: metrics for task, metrics in found.items() if task not in hidden}
        return {f"{task}_{name}": value for task, metrics in self.results.items() for name, value in metrics.items()}

    def look(self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any) -> dict[str, float]:
        """EvaluationSuite; the figures of the row."""
        found = {name: float(value) for name, value in self.evaluate(model, tokenizer).items()}
        if not self.tasks:
            self.results = found
        figures = {f"benchmark_{name}": value for name, value in found.items()}
        logger.info("step %d: %s", state.global_step, figures)
        return figures
