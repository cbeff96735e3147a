"""Sample answers of the model while it trains."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from .periodic import TRACKERS, PeriodicCallback, reporters, track

COLUMNS = ("step", "prompt", "text")


class SampleGenerationsCallback(PeriodicCallback):
    """Answer prompts greedily; the answers go to a file in the output folder, and to W&B as a table.

    A sample is {"step", "prompt", "text"}; the file has one a line, and after a resumed training each step once. A
    tokenizer without a chat template gets the bare prompt. A running W&B or Trackio run gets the table `samples`.

    Args:
        prompts: texts, each a user's turn.
        every_steps: optimizer steps between two samplings; 0: none.
        at_end: whether to sample after the last step.
        every_epoch: whether to sample at the end of each epoch.
        max_new_tokens: longest answer.
        file: name of the file in the output folder.

    Attributes:
        samples: all samples so far.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        *,
        every_steps: int = 0,
        at_end: bool = True,
        every_epoch: bool = False,
        max_new_tokens: int = 64,
        file: str = "samples.jsonl",
    ) -> None:
        super().__init__(every_steps, at_end, every_epoch)
        if isinstance(prompts, str) or not prompts:
            raise ValueError("prompts: give a list with at least one prompt")
        self.prompts, self.max_new_tokens, self.file = list(prompts), max_new_tokens, file
        self.samples: list[dict[str, Any]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop samples of steps that this training takes again: those after the checkpoint, or of an earlier one."""
        file = Path(args.output_dir or ".") / self.file
        if state.is_world_process_zero:
            lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
            self.samples = [s for s in map(json.loads, lines) if 0 < s["step"] <= state.global_step]
            if len(self.samples) < len(lines):
                file.write_text("".join(map(_line, self.samples)), encoding="utf-8")
        super().on_train_begin(args, state, control, **kwargs)

    def look(self, args: TrainingArguments, state: TrainerState, model: Any, tokenizer: Any) -> None:
        """Generate, keep, and append to the file."""
        tokenizer.padding_side = "left"  # answers have to follow their prompts directly; restored by the caller
        inputs = tokenizer(
            [_rendered(tokenizer, p) for p in self.prompts],
            return_tensors="pt",
            padding=True,
            add_special_tokens=not tokenizer.chat_template,
        ).to(model.device)
        output = model.generate(
            **inputs,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=tokenizer.pad_token_id,
        )
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        new = [{"step": state.global_step, "prompt": p, "text": t} for p, t in zip(self.prompts, texts, strict=True)]
        self.samples += new
        folder = Path(args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / self.file).open("a", encoding="utf-8") as stream:
            stream.writelines(map(_line, new))
        for tracker in set(TRACKERS) & set(reporters(args)):
            track(tracker, {"samples": _table(tracker, self.samples)}, state.global_step)


def _line(sample: dict[str, Any]) -> str:
    return json.dumps(sample, ensure_ascii=False) + "\n"


def _table(tracker: str, samples: Sequence[dict[str, Any]]) -> Any:
    """The samples as the tracker's own table."""
    module = importlib.import_module(tracker)
    if tracker == "wandb":
        return module.Table(columns=list(COLUMNS), data=[[s[name] for name in COLUMNS] for s in samples])
    import pandas as pd

    return module.Table(dataframe=pd.DataFrame(list(samples), columns=list(COLUMNS)))


def _rendered(tokenizer: Any, prompt: str) -> str:
    if not tokenizer.chat_template:
        return prompt
    turns = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
