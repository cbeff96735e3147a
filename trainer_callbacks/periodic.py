"""Base classes of the callbacks: a schedule, evaluation without side effects, figures of their own in the log."""

from __future__ import annotations

import contextlib
import logging
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)
Value = TypeVar("Value")


@contextlib.contextmanager
def undisturbed(model: Any, tokenizer: Any) -> Iterator[None]:
    """Eval mode without gradients inside; after it, the train flag of each module (frozen ones may differ from the
    rest), random states, padding side and use_cache are what they were, whatever went wrong inside.
    """
    flags = [(module, module.training) for module in model.modules()]
    use_cache = getattr(model.config, "use_cache", None)
    padding_side = getattr(tokenizer, "padding_side", None)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training
        if use_cache is not None:
            model.config.use_cache = use_cache
        if padding_side is not None:
            tokenizer.padding_side = padding_side
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


class FigureCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """A callback with figures of its own to log.

    transformers gives a callback neither the trainer nor the other callbacks. `callback.add_to(trainer)` adds it and
    remembers the trainer, so that its figures reach every other callback: the console and all reporters. Passed in
    `callbacks=[...]`, its figures are rows of `state.log_history`, and go to a running W&B or Trackio run; a warning
    names the reporters of `report_to` that they do not reach.
    """

    trainer: Any = None
    failures: list[str]

    def add_to(self, trainer: Any) -> Self:
        """Add this callback to `trainer` (a `transformers.Trainer`), and log through its callbacks; returns itself."""
        self.trainer = trainer
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        return self

    def log_row(
        self,
        figures: Mapping[str, float],
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
    ) -> None:
        """Append `figures` to `state.log_history` as a row of their own, and hand them to the other callbacks.

        Not by the trainer's log(): called from on_step_end, it resets control.should_log, and the step's loss row is
        lost.
        """
        row = {**figures, "epoch": state.epoch or 0.0}
        state.log_history.append({**row, "step": state.global_step})
        if self.trainer is not None:
            wanted = control.should_log
            self.trainer.callback_handler.on_log(args, state, control, dict(row))
            control.should_log = wanted
            return
        for name in reporters(args):
            if name in TRACKERS:
                track(name, {_shown(key): value for key, value in row.items()}, state.global_step)
            elif name not in self._unreached():
                self._unreached().add(name)
                logger.warning(
                    "%s: its figures are in state.log_history, but do not reach %s: add it by "
                    "callback.add_to(trainer) instead of callbacks=[...]",
                    type(self).__name__,
                    name,
                )

    def _unreached(self) -> set[str]:
        """Names of reporters that were warned of."""
        found: set[str] = self.__dict__.setdefault("_warned_of", set())
        return found


TRACKERS = ("wandb", "trackio")  # a run of these is reached through their modules, as TRL's callbacks do it


def reporters(args: TrainingArguments) -> list[str]:
    """The names in `report_to`."""
    names = args.report_to or []
    return [names] if isinstance(names, str) else list(names)


def _shown(figure: str) -> str:
    """The name under which transformers shows a figure to trackers: eval/... or train/..."""
    return f"eval/{figure.removeprefix('eval_')}" if figure.startswith("eval_") else f"train/{figure}"


def track(name: str, values: Mapping[str, Any], step: int) -> None:
    """Log values to the running W&B or Trackio run; nothing where that package is not imported or has no run.

    Args:
        name: "wandb" or "trackio".
        values: figures by name, or tables.
        step: optimizer steps so far.
    """
    module = sys.modules.get(name)
    if module is None or (name == "wandb" and module.run is None):
        return
    if name == "wandb":
        module.log({**values, "train/global_step": step})  # the x axis that transformers defines for all figures
    else:
        module.log(dict(values), step=step)


class PeriodicCallback(FigureCallback):
    """Calls `look` at chosen steps, at the end of epochs, at the trainer's evaluations, and after the last step.

    Runs on the main process only while the others wait, so the model must be whole there: not with FSDP or DeepSpeed
    ZeRO-3. An error of `look` is logged and kept in `failures`; training goes on.

    Args:
        every_steps: optimizer steps between two looks, however many passes each takes; 0: never.
        at_end: whether to look after the last step.
        every_epoch: whether to look at the end of each epoch.
        every_eval: whether to look at each evaluation of the trainer (`eval_strategy`). The figures join its metrics,
            so `metric_for_best_model` and `load_best_model_at_end` can name one of them.
        at_start: whether to look before the first step; None: where the trainer's `eval_on_start` is set.
    """

    def __init__(
        self,
        every_steps: int = 0,
        at_end: bool = True,
        every_epoch: bool = False,
        every_eval: bool = False,
        at_start: bool | None = None,
    ) -> None:
        if every_steps < 0 or not (every_steps or at_end or every_epoch or every_eval or at_start):
            raise ValueError(
                f"every_steps is {every_steps}: give a positive number of steps, every_epoch, every_eval, at_start or "
                "at_end"
            )
        self.every_steps, self.at_end, self.every_epoch = every_steps, at_end, every_epoch
        self.every_eval, self.at_start = every_eval, at_start
        self.failures = []
        self._looked_at = -1
        self._figures: dict[str, float] = {}

    def look(
        self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any
    ) -> dict[str, float] | None:
        """Evaluate the model, which is in eval mode and without gradients; returns figures to be logged."""
        raise NotImplementedError(f"{type(self).__name__} has to define look()")

    def after(self, state: TrainerState, control: TrainerControl) -> None:
        """Called after each look, on every process."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look before the first step, where that is asked for; not again when a training is resumed."""
        self._looked_at, self._figures = -1, {}
        wanted = args.eval_on_start if self.at_start is None else self.at_start
        if wanted and state.global_step == 0:
            self._guarded(args, state, control, kwargs)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look where `every_eval` asks for it, and add the figures to the trainer's metrics."""
        if not self.every_eval:
            return
        if self._looked_at != state.global_step:
            self._guarded(args, state, control, kwargs)
        figures = shared(self._figures)
        if metrics is not None:
            metrics.update(figures)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look if this step is one of `every_steps`, or the last one."""
        # The last look is here where it can be: in on_train_end the reporters have closed their files already.
        last = self.at_end and state.global_step >= state.max_steps > 0 and not args.load_best_model_at_end
        if last or (self.every_steps and state.global_step % self.every_steps == 0):
            self._guarded(args, state, control, kwargs)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look, unless this step was looked at already."""
        if self.every_epoch and self._looked_at != state.global_step:
            self._guarded(args, state, control, kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at the final model, unless the last step was looked at already: a stop, or the best one was loaded."""
        if self.at_end and self._looked_at != state.global_step:
            self._guarded(args, state, control, kwargs)

    def _guarded(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, kwargs: dict[str, Any]
    ) -> None:
        self._looked_at, self._figures = state.global_step, {}
        if state.is_world_process_zero:
            model, tokenizer = kwargs["model"], kwargs.get("processing_class")
            try:
                with undisturbed(model, tokenizer):
                    figures = self.look(args, state, model, tokenizer)
                if figures:
                    self._figures = dict(figures)
                    self.log_row(figures, args, state, control)
            except Exception as error:
                self.failures.append(f"step {state.global_step}: {type(error).__name__}: {error}")
                logger.exception("%s failed at step %d; training goes on", type(self).__name__, state.global_step)
        if processes() > 1:
            torch.distributed.barrier()
        self.after(state, control)

    @staticmethod
    def agreed(decision: bool) -> bool:
        """The main process's decision, on every process."""
        return shared(decision)


def shared(value: Value) -> Value:
    """The main process's value, on every process."""
    if processes() == 1:
        return value
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]


def processes() -> int:
    """How many processes train together."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1
