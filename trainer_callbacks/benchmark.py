"""Benchmark figures in the training log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerState, TrainingArguments

from .periodic import PeriodicCallback

logger = logging.getLogger(__name__)


class BenchmarkCallback(PeriodicCallback):
    """Put what `evaluate(model, tokenizer)` returns, or the results of `tasks`, into `state.log_history`.

    Figures come as a row of their own: {"step", "epoch", "benchmark_<name>": float}. `tasks` are names for
    `entp_hf.evals.evaluate_items`: ours, mmlu, truthfulqa, gsm8k, bbh, tydiqa, or lm-eval's own. `options` are its
    further arguments (limit, batch_size, benchmark_dir, files). Of a benchmark of many tasks only the mean is logged.
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

    def _run_tasks(self, model: Any, tokenizer: Any) -> dict[str, float]:
        from ..benchmarks import parts_of
        from ..evals import evaluate

        found = evaluate(model, tokenizer=tokenizer, tasks=self.tasks, **self.options)
        hidden = parts_of(self.tasks, list(found))
        shown = {task: metrics for task, metrics in found.items() if task not in hidden}
        return {f"{task}_{name}": value for task, metrics in shown.items() for name, value in metrics.items()}

    def look(self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any) -> None:
        """Append the figures to the log."""
        figures = {f"benchmark_{name}": float(value) for name, value in self.evaluate(model, tokenizer).items()}
        # Not trainer.log(): called from on_step_end, it resets control.should_log and the step's loss row is lost.
        state.log_history.append({**figures, "epoch": state.epoch, "step": state.global_step})
        logger.info("step %d: %s", state.global_step, figures)
