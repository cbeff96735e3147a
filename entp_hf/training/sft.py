"""Fine-tune a chat model on a dataset's `messages` with TRL, on the assistant's tokens only.

`entp train` and `python -m entp_hf.training` are its command line.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from datasets.utils import are_progress_bars_disabled

from ..cards.replaceable import is_replaceable
from ..config import EntpConfig
from ..errors import ConfigError, EntpError, ModelNotFound, OutputError, memory_advice, require
from ..evaluation.evaluate import heldout_loss
from ..models.chat_template import given_template, training_template
from ..models.loading import new_causal_lm, new_tokenizer, pick_device, pick_dtype, resolve
from .artifacts import push, write_record
from .data import load_rows, messages_only, tokenized
from .options import SFTOptions

if TYPE_CHECKING:
    from transformers import TrainerCallback

__all__ = ["SFTOptions", "heldout_loss", "load_rows", "train"]

logger = logging.getLogger(__name__)
OUT_OF_MEMORY = (
    "Lower per_device_train_batch_size and raise gradient_accumulation_steps by as much, lower max_length, or turn on "
    "gradient_checkpointing"
)
LORA = ("lora_", "use_rslora", "use_dora")  # beginnings of ModelConfig's fields that are PEFT's
LORA_NAMES = {  # TRL's name: PEFT's
    "lora_task_type": "task_type",
    "lora_modules_to_save": "modules_to_save",
    "lora_target_parameters": "target_parameters",
}
_OURS = ("adapter_*", "checkpoint-*", "merged", "model*.safetensors*", "training.json")  # what `overwrite` removes


def train(
    options: SFTOptions, rows: Dataset | None = None, callbacks: Sequence[TrainerCallback] = ()
) -> dict[str, Any]:
    """Train, save to `options.output_dir` with a model card, return the figures that training.json holds too.

    Keys: rows, rows_too_long (cut at max_length), rows_unusable (no assistant token left by the cut; not trained on),
    steps, loss_first, loss_last, seconds, trainable_parameters, model, adapter (folder; "" with full), card (whether
    the model card was written).
    Raises ConfigError, InputError, OutputError, ModelNotFound or MissingExtra before any training.
    """
    if problems := options.problems():
        raise ConfigError(problems)
    for package in ("trl", "peft"):
        require(package, "train", "fine-tuning")
    checkpoint = _check_output(options)
    callbacks = [*callbacks, *_evaluation(options)]
    rows = messages_only(load_rows(options.dataset) if rows is None else rows)
    eval_rows = None
    if options.trl.get("eval_strategy", "no") != "no" or options.trl.get("eval_on_start"):
        eval_rows = messages_only(load_rows(options.dataset, "test"))
    path = resolve(options.model, options.cache_dir or str(EntpConfig().cache_path()))
    tokenizer = new_tokenizer(path)
    if options.chat_template:
        tokenizer.chat_template = given_template(options.chat_template)
    own_template, tokenizer.chat_template = tokenizer.chat_template, training_template(tokenizer)
    how = {"train_on_reasoning": options.train_on_reasoning, "fold": options.refused_roles == "fold"}
    tokens, lengths = tokenized(rows, tokenizer, options.max_length, **how)
    eval_tokens = None if eval_rows is None else tokenized(eval_rows, tokenizer, options.max_length, **how)[0]
    trainer = _trainer(options, tokens, eval_tokens, path, tokenizer, callbacks)
    trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    if options.overwrite and not options.resume and trainer.is_world_process_zero():
        _remove_earlier(Path(options.output_dir))
    begun = time.perf_counter()
    with memory_advice("training", OUT_OF_MEMORY):
        trainer.train(resume_from_checkpoint=checkpoint)
    seconds = round(time.perf_counter() - begun, 3)
    losses = _finite_losses(trainer)
    tokenizer.chat_template = own_template
    _save(trainer, tokenizer, options)
    figures = {
        "rows": len(rows),
        **lengths,
        "steps": trainer.state.global_step,
        "loss_first": losses[0][1],
        "loss_last": losses[-1][1],
        "seconds": seconds,
        "trainable_parameters": trainable,
        "model": options.model,
        "adapter": "" if options.full else options.output_dir,
    }
    if trainer.is_world_process_zero():
        seen = [getattr(callback, "results", {}) for callback in callbacks]  # those of benchmark callbacks
        evaluation = {name: value for results in seen for name, value in results.items()}
        record = {**figures, "options": dataclasses.asdict(options), "evaluation": evaluation, "losses": losses}
        figures["card"] = write_record(Path(options.output_dir), record, path)
        if options.push_to:
            push(options.output_dir, options.push_to, options.private)
    return figures


def _evaluation(options: SFTOptions) -> list[TrainerCallback]:
    """The callback that evaluates the trained model, where `eval_tasks` asks for it. Raises for unknown tasks."""
    if not options.tasks():
        return []
    require("lm_eval", "eval", "eval_tasks")
    from ..trainer_callbacks import BenchmarkCallback

    return [
        BenchmarkCallback(
            tasks=options.tasks(),
            limit=options.eval_limit or None,
            benchmark_dir=options.benchmark_dir,
            cache_dir=options.cache_dir,
        )
    ]


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in `folder` that is whole; one that a kill left half-written is passed over.

    A checkpoint's trainer_state.json is written last.
    """
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            logger.warning("%s was not written to its end and is passed over", path)
            continue
        return str(path)
    return None


def _check_output(options: SFTOptions) -> str | None:
    """Check the output folder; return the checkpoint to go on from."""
    folder = Path(options.output_dir)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"output_dir {folder}: is a file; give a folder")
    if options.resume:
        checkpoint = last_checkpoint(folder)
        if checkpoint is None:
            raise OutputError(f"output_dir {folder}: holds no checkpoint to resume from; train with save_steps first")
        return checkpoint
    if folder.is_dir() and any(folder.iterdir()) and not options.overwrite:
        raise OutputError(f"output_dir {folder}: is not empty; give another folder, or overwrite, or resume")
    return None


def _remove_earlier(folder: Path) -> None:
    for path in [path for pattern in _OURS for path in folder.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _trainer(
    options: SFTOptions,
    rows: Dataset,
    eval_rows: Dataset | None,
    path: str,
    tokenizer: Any,
    callbacks: Sequence[TrainerCallback],
) -> Any:
    from transformers import set_seed
    from transformers.trainer_callback import ProgressCallback
    from trl import SFTTrainer  # type: ignore[attr-defined,unused-ignore]

    from ..trainer_callbacks import LossBarCallback
    from ..trainer_callbacks.periodic import FigureCallback

    class Trainer(SFTTrainer):  # type: ignore[misc,unused-ignore]
        """TRL's trainer without its stub of a model card: the card is written at the end, from the record."""

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Write nothing."""

    device = pick_device(options.device)
    set_seed(options.seed)  # before LoRA's first matrix is drawn
    trainer = Trainer(
        model=_model(options, path, device),
        args=_sft_config(options, device),
        train_dataset=rows,
        eval_dataset=eval_rows,
        processing_class=tokenizer,
        peft_config=None if options.full else _lora_config(options),
    )
    for callback in callbacks:
        callback.add_to(trainer) if isinstance(callback, FigureCallback) else trainer.add_callback(callback)
    if trainer.pop_callback(ProgressCallback):
        trainer.add_callback(LossBarCallback)
    return trainer


def _model(options: SFTOptions, path: str, device: str) -> Any:
    """The base model, with TRL's settings of a ModelConfig where any are given."""
    given = _of(options, "ModelConfig")
    loading = {
        name: value for name, value in given.items() if not name.startswith(("lora_", "use_rslora", "use_dora"))
    }
    if not loading and not options.trl.get("model_init_kwargs") and not options.trl.get("trust_remote_code"):
        plain = new_causal_lm(path, device)
        # bf16 weights are too coarse for full training's small steps
        return plain.float() if options.full else plain
    from transformers import AutoModelForCausalLM
    from trl import ModelConfig, get_quantization_config  # type: ignore[attr-defined,unused-ignore]

    config = ModelConfig(**{"dtype": "auto", **given})
    if config.load_in_4bit or config.load_in_8bit:
        require("bitsandbytes", "train", "load_in_4bit and load_in_8bit")
    values = {
        "dtype": config.dtype,
        "revision": config.model_revision,
        "attn_implementation": config.attn_implementation,
        "trust_remote_code": bool(options.trl.get("trust_remote_code")),
        **(options.trl.get("model_init_kwargs") or {}),
    }
    quantization = get_quantization_config(config)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, quantization_config=quantization, **values)
    except (OSError, ValueError, ImportError) as error:
        raise ModelNotFound(f"{options.model}: can't be loaded with {given}: {error}") from error
    return model if quantization else model.to(device)


def _of(options: SFTOptions, kind: str) -> dict[str, Any]:
    """Those of TRL's further settings that are fields of its class `kind`."""
    import trl

    names = {field.name for field in dataclasses.fields(getattr(trl, kind))}
    return {name: value for name, value in options.trl.items() if name in names}


def _finite_losses(trainer: Any) -> list[tuple[int, float]]:
    losses = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    for step, loss in losses:
        if not math.isfinite(loss):
            raise EntpError(f"training: the loss is {loss} at step {step}, so nothing is saved; lower learning_rate")
    return losses


def _sft_config(options: SFTOptions, device: str) -> Any:
    import torch
    from trl import SFTConfig  # type: ignore[attr-defined,unused-ignore]

    known = {field.name for field in dataclasses.fields(SFTConfig)}
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    checkpointing: dict[str, Any] = {name: options.gradient_checkpointing}
    values: dict[str, Any] = dict(
        output_dir=options.output_dir,
        max_steps=options.max_steps or -1,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.scheduler,
        warmup_steps=options.warmup_steps,
        max_length=options.max_length,
        packing=options.packing,
        assistant_only_loss=False,  # the rows come as tokens with labels
        seed=options.seed,
        logging_steps=options.logging_steps,
        logging_nan_inf_filter=False,  # or a NaN is shown as the mean of the rest
        logging_first_step=True,
        save_strategy="steps" if options.save_steps else "no",
        save_steps=options.save_steps or 500,
        report_to=options.report_to.split(","),
        use_cpu=device == "cpu",
        **checkpointing,
        bf16=pick_dtype(device) is torch.bfloat16,
        dataloader_pin_memory=device.startswith("cuda"),
        disable_tqdm=are_progress_bars_disabled(),  # theirs would go with the command line's TRANSFORMERS_VERBOSITY
    )
    try:
        return SFTConfig(**{**values, **_of(options, "SFTConfig")})
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError([f"TRL refuses the settings: {error}"]) from error


def _lora_config(options: SFTOptions) -> Any:
    from peft import LoraConfig

    names = options.lora_targets.split(",")
    further = {
        LORA_NAMES.get(name, name): value
        for name, value in _of(options, "ModelConfig").items()
        if name.startswith(LORA)
    }
    values: dict[str, Any] = {
        "r": options.lora_r,
        "lora_alpha": options.lora_alpha,
        "lora_dropout": options.lora_dropout,
        "task_type": "CAUSAL_LM",
        "target_modules": names[0] if names == ["all-linear"] else names,
    }
    return LoraConfig(**{**values, **further})


def _save(trainer: Any, tokenizer: Any, options: SFTOptions) -> None:
    folder = Path(options.output_dir)
    card = folder / "README.md"
    theirs = card.read_bytes() if not is_replaceable(card) else None
    trainer.save_model(options.output_dir)  # on every process: sharded weights are gathered
    if not trainer.is_world_process_zero():
        return
    if not options.full and not Path(options.model).is_dir():
        config = trainer.model.peft_config["default"]
        config.base_model_name_or_path = options.model  # what others can load, not the folder on this machine
        config.save_pretrained(folder)
    card.unlink(missing_ok=True)  # PEFT's draft, nothing but headings; it writes into a card that is there as well
    if theirs is not None:
        card.write_bytes(theirs)
    tokenizer.save_pretrained(folder)  # over the trainer's copy, whose template has the training marks
    if options.merge:
        trainer.model.merge_and_unload().save_pretrained(folder / "merged")
        tokenizer.save_pretrained(folder / "merged")
