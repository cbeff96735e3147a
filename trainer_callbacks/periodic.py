"""What the callbacks share: when to look at the model, and leaving the training as if nobody had looked."""

from __future__ import annotations

import contextlib
import inspect
import logging
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)


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


def log_row(figures: dict[str, float], args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
    """A row of its own in `state.log_history`, and the same to the reporters (W&B, TensorBoard, Trackio, ...).

    Not by the trainer's log(): called from on_step_end, it resets control.should_log, and the step's loss row is lost.
    """
    figures = {**figures, "epoch": state.epoch or 0.0}
    state.log_history.append({**figures, "step": state.global_step})
    for reporter in reporters():
        reporter.on_log(args, state, control, logs=dict(figures))


def reporters() -> list[TrainerCallback]:
    """The trainer's reporting callbacks, from inside one of its calls.

    A callback is given neither the trainer nor its list of callbacks, so they are looked for among the callers.
    """
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
    from transformers.trainer_callback import CallbackHandler

    frame = inspect.currentframe()
    while frame is not None:
        handler = frame.f_locals.get("self")
        if isinstance(handler, CallbackHandler):
            known: tuple[type[TrainerCallback], ...] = tuple(INTEGRATION_TO_CALLBACK.values())
            return [c for c in handler.callbacks if isinstance(c, known)]
        frame = frame.f_back
    return []


class PeriodicCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Calls `look` every `every_steps` optimiser steps (0: never), at the end of epochs, and once after the last step.

    Steps are the optimiser's, however many passes each takes. Runs on the main process only while the others wait, so
    the model must be whole there: not with FSDP or DeepSpeed ZeRO-3. What `look` raises is logged and kept in
    `failures`; training goes on.
    """

    def __init__(self, every_steps: int = 0, at_end: bool = True, every_epoch: bool = False) -> None:
        if every_steps < 0 or not (every_steps or at_end or every_epoch):
            raise ValueError(f"every_steps is {every_steps}: give a positive number of steps, every_epoch or at_end")
        self.every_steps, self.at_end, self.every_epoch = every_steps, at_end, every_epoch
        self.failures: list[str] = []
        self._looked_at = -1

    def look(
        self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any
    ) -> dict[str, float] | None:
        """EvaluationSuite the model, which is in eval mode and without gradients; returns figures to be logged."""
        raise NotImplementedError(f"{type(self).__name__} has to define look()")

    def after(self, state: TrainerState, control: TrainerControl) -> None:
        """What follows a look, on every process."""

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
        self._looked_at = state.global_step
        if state.is_world_process_zero:
            model, tokenizer = kwargs["model"], kwargs.get("processing_class")
            try:
                with undisturbed(model, tokenizer):
                    figures = self.look(args, state, model, tokenizer)
                if figures:
                    log_row(figures, args, state, control)
            except Exception as error:
                self.failures.append(f"step {state.global_step}: {type(error).__name__}: {error}")
                logger.exception("%s failed at step %d; training goes on", type(self).__name__, state.global_step)
        if processes() > 1:
            torch.distributed.barrier()
        self.after(state, control)

    @staticmethod
    def agreed(decision: bool) -> bool:
        """The main process's decision, on every process."""
        if processes() == 1:
            return decision
        told = [decision]
        torch.distributed.broadcast_object_list(told, src=0)
        return told[0]


def processes() -> int:
    """How many processes train together."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1
