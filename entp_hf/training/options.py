"""Every setting of a fine-tuning run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ..config import SMOLLM2


def _setting(default: Any, text: str, trl: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"help": text, "trl": trl})


def trl_name(field: dataclasses.Field[Any]) -> str:
    """The name of an option in TRL's SFTConfig or ModelConfig; its own name where TRL has the same, or none."""
    return str(field.metadata.get("trl") or field.name)


@dataclass(frozen=True)
class SFTOptions:
    """Settings of a fine-tuning run. `entp train` takes them under TRL's names, and every further one of TRL in `trl`.

    Defaults suit LoRA on a small model (not in the paper).
    """

    model: str = _setting(SMOLLM2, "chat model: Hub id or local folder", "model_name_or_path")
    chat_template: str = _setting(
        "", "for a model without one: a .jinja file with {% generation %} marks, or tulu", "chat_template_path"
    )
    dataset: str = _setting("", "folder of `entp build`, Parquet or JSONL file with `messages`, or Hub id")
    output_dir: str = _setting("sft", "folder for the adapter (or model), tokenizer, training.json, card")
    overwrite: bool = _setting(False, "replace what an earlier run left in output_dir")
    max_steps: int = _setting(0, "optimiser steps; 0: as many as `epochs` needs")
    epochs: float = _setting(1.0, "passes over the rows, where max_steps is 0", "num_train_epochs")
    batch_size: int = _setting(4, "rows in one forward pass", "per_device_train_batch_size")
    gradient_accumulation: int = _setting(1, "forward passes in one optimiser step", "gradient_accumulation_steps")
    learning_rate: float = _setting(2e-4, "peak learning rate; 2e-5 is usual with --full")
    warmup_steps: int = _setting(0, "steps of linear warm-up")
    scheduler: str = _setting(
        "linear", "learning rate schedule of transformers: linear, cosine, constant, ...", "lr_scheduler_type"
    )
    max_length: int = _setting(512, "longest row in tokens; longer rows are cut, and their count is reported")
    train_on_reasoning: bool = _setting(True, "train on the reasoning of the turns, not on their answers alone")
    refused_roles: str = _setting("fold", "rows whose roles the chat template refuses: fold (join turns) | skip")
    packing: bool = _setting(False, "put several short rows into one sequence")
    lora_r: int = _setting(8, "rank of the LoRA matrices")
    lora_alpha: int = _setting(16, "LoRA's scale is lora_alpha / lora_r")
    lora_dropout: float = _setting(0.0, "dropout in front of LoRA's matrices")
    lora_targets: str = _setting(
        "all-linear", "modules with LoRA: all-linear, or names with commas between", "lora_target_modules"
    )
    full: bool = _setting(False, "train all weights instead of an adapter")
    merge: bool = _setting(False, "also write the model with the adapter merged in, to output_dir/merged")
    gradient_checkpointing: bool = _setting(False, "less memory, a third more time")
    save_steps: int = _setting(0, "write a checkpoint every so many steps; 0: none")
    resume: bool = _setting(False, "go on from the last checkpoint in output_dir", "resume_from_checkpoint")
    logging_steps: int = _setting(1, "steps between two logged losses")
    report_to: str = _setting("none", "none, tensorboard, wandb, trackio, ...")
    device: str = _setting("auto", "auto | cpu | cuda | mps; a GPU trains in bf16 where it can")
    eval_tasks: str = _setting("", "tasks to evaluate the trained model on, for its card: entp_quiz,mmlu,...")
    eval_limit: int = _setting(0, "only the first items of each of them; 0: all")
    benchmark_dir: str = _setting("", "folder with the benchmarks' items; else they come from the Hub")
    push_to: str = _setting(
        "", "Hub repository OWNER/NAME that the output folder is pushed to at the end", "hub_model_id"
    )
    private: bool = _setting(False, "make that repository private if it has to be made", "hub_private_repo")
    cache_dir: str = _setting("", "converted models; empty: $ENTP_CACHE or ~/.cache/entp")
    seed: int = _setting(0, "seed of LoRA's initial weights and of the order of rows")
    trl: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata={"help": "further fields of TRL's SFTConfig and ModelConfig, by name"}
    )

    def tasks(self) -> list[str]:
        """`eval_tasks` as a list."""
        return [name.strip() for name in self.eval_tasks.split(",") if name.strip()]

    def problems(self) -> list[str]:
        """Every problem of these values, in words; [] if there are none."""
        least: dict[str, float] = {
            "batch_size": 1,
            "gradient_accumulation": 1,
            "max_length": 8,
            "lora_r": 1,
            "lora_alpha": 1,
            "max_steps": 0,
            "lora_dropout": 0,
            "save_steps": 0,
            "logging_steps": 1,
            "warmup_steps": 0,
            "seed": 0,
            "eval_limit": 0,
        }
        found = [
            f"{k}: {getattr(self, k)} is out of range; it must be at least {v}"
            for k, v in least.items()
            if not getattr(self, k) >= v
        ]
        for name in ("learning_rate", "epochs"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                found.append(f"{name}: {value} is out of range; it must be above 0")
        if self.refused_roles not in ("fold", "skip"):
            found.append(f"refused_roles: {self.refused_roles!r} is neither fold nor skip")
        if self.push_to and self.push_to.count("/") != 1:
            found.append(f"push_to: {self.push_to!r} is not OWNER/NAME")
        if self.full and self.merge:
            found.append("merge: there is no adapter to merge with full")
        return found
