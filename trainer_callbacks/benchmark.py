"""Benchmark figures in the training log."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerState, TrainingArguments

from ..evaluation.benchmarks import parts_of
from ..evaluation.suite import HELDOUT, EvaluationSuite, check_suite, measure
from .periodic import PeriodicCallback

logger = logging.getLogger(__name__)
PREFIX = "eval_"  # of logged figures: transformers shows such as eval/NAME in W&B, TensorBoard and Trackio


class BenchmarkCallback(PeriodicCallback):
    """Log benchmark figures while a model trains: a row {"step", "epoch", "eval_<name>": float} each time.

    The names of tasks and their options are checked when the callback is made, not when they are first run.

    Args:
        evaluate: function of model and tokenizer that gives {name: figure}; or give `tasks`.
        tasks: names of tasks: entp_quiz, heldout, mmlu, truthfulqa, gsm8k, bbh, tydiqa, or any of lm-eval's. Their
            figures are called TASK_METRIC; of a benchmark of many tasks only the mean is logged.
        every_steps: optimizer steps between two evaluations; 0: none.
        at_end: whether to evaluate after the last step.
        every_epoch: whether to evaluate at the end of each epoch.
        every_eval: whether to evaluate at each of the trainer's evaluations; see `PeriodicCallback`.
        at_start: whether to evaluate before the first step; None: where the trainer's `eval_on_start` is set.
        options: further fields of `evaluation.suite.EvaluationSuite` for `tasks`: limit, batch_size, benchmark_dir,
            num_fewshot, files, ...

    Attributes:
        results: the latest figures: {task: {metric: value}}, or those of `evaluate`.
    """

    def __init__(
        self,
        evaluate: Callable[[Any, Any], Mapping[str, float]] | None = None,
        *,
        tasks: Sequence[str] = (),
        every_steps: int = 0,
        at_end: bool = True,
        every_epoch: bool = False,
        every_eval: bool = False,
        at_start: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(every_steps, at_end, every_epoch, every_eval, at_start)
        if (evaluate is None) == (not tasks):
            raise ValueError("give either evaluate, a function of model and tokenizer, or tasks, names of tasks")
        if evaluate and options:
            raise ValueError(f"{', '.join(options)}: options of tasks, but evaluate is given")
        if isinstance(tasks, str):
            raise ValueError(f"tasks: {tasks!r} is a string; give a list, as [{tasks!r}]")
        self.tasks = list(tasks)
        self.suite: EvaluationSuite | None = None
        if tasks:
            known = [name for name in inspect.signature(EvaluationSuite).parameters if name != "tasks"]
            if wrong := [name for name in options if name not in known]:
                raise ValueError(f"{', '.join(wrong)}: no such option of tasks; known are {', '.join(known)}")
            self.suite = EvaluationSuite(self.tasks, **options)
            check_suite(self.suite)
        self.evaluate = evaluate or self._run_tasks
        self.results: dict[str, Any] = {}

    def _run_tasks(self, model: Any, tokenizer: Any) -> dict[str, float]:
        assert self.suite is not None  # else `evaluate` was given
        found = measure(model, None, self.suite, tokenizer).metrics
        hidden = parts_of(self.tasks, list(found))
        self.results = {task: metrics for task, metrics in found.items() if task not in hidden}
        return {f"{task}_{name}": value for task, metrics in self.results.items() for name, value in metrics.items()}

    def look(self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any) -> dict[str, float]:
        """Evaluate; returns the figures of the row."""
        found = {name: float(value) for name, value in self.evaluate(model, tokenizer).items()}
        if not self.tasks:
            self.results = found
        figures = {f"{PREFIX}{name}": value for name, value in found.items()}
        logger.info("step %d: %s", state.global_step, figures)
        return figures


__all__ = ["HELDOUT", "PREFIX", "BenchmarkCallback"]
