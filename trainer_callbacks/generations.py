"""What the model answers while it trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerState, TrainingArguments

from .periodic import PeriodicCallback


class SampleGenerationsCallback(PeriodicCallback):
    """Answer `prompts` (one user turn each) greedily; the answers go to `samples` and to a file in the output folder.

    A sample is {"step", "prompt", "text"}; the file has one a line. A tokenizer without a chat template gets the bare
    prompt.
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
            stream.writelines(json.dumps(sample, ensure_ascii=False) + "\n" for sample in new)


def _rendered(tokenizer: Any, prompt: str) -> str:
    if not tokenizer.chat_template:
        return prompt
    turns = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
