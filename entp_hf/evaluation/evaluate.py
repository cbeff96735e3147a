"""Evaluate a model: lm-eval tasks run in this process, and the loss on held-out answers."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import EntpConfig
from ..errors import ConfigError, EntpError, InputError, ModelNotFound, memory_advice, require
from ..execution.progress import Bar
from ..models.chat_template import encode, training_template
from ..models.loading import load_causal_lm, load_tokenizer, new_causal_lm, pick_device, resolve
from ..models.losses import row_losses
from ..schema import JOIN
from .results import Evaluation, Metrics, read_results
from .tasks import known_tasks, task_specs

Files = Mapping[str, str | Mapping[str, str]]
_GIT_HASH = threading.RLock()  # one evaluation at a time has lm-eval's function replaced


def evaluate(
    model: Any,
    adapter: str | None = None,
    tasks: Sequence[str] = ("entp_quiz",),
    limit: int | None = None,
    batch_size: int = 8,
    device: str = "auto",
    files: Files | None = None,
    tokenizer: Any = None,
    num_fewshot: int | None = None,
    apply_chat_template: bool = False,
    cache_dir: str = "",
    benchmark_dir: str = "",
    gen_kwargs: str | None = None,
    include_path: str = "",
) -> Metrics:
    """Evaluate a model on tasks; the arguments are those of `evaluate_items`.

    Returns {task: {metric: value, metric_stderr: value, "n": items}}.
    """
    return evaluate_items(
        model,
        adapter,
        tasks,
        limit,
        batch_size=batch_size,
        device=device,
        files=files,
        tokenizer=tokenizer,
        num_fewshot=num_fewshot,
        apply_chat_template=apply_chat_template,
        cache_dir=cache_dir,
        benchmark_dir=benchmark_dir,
        gen_kwargs=gen_kwargs,
        include_path=include_path,
    ).metrics


def evaluate_items(
    model: Any,
    adapter: str | None = None,
    tasks: Sequence[str] = ("entp_quiz",),
    limit: int | None = None,
    batch_size: int = 8,
    device: str = "auto",
    files: Files | None = None,
    tokenizer: Any = None,
    num_fewshot: int | None = None,
    apply_chat_template: bool = False,
    cache_dir: str = "",
    benchmark_dir: str = "",
    gen_kwargs: str | None = None,
    include_path: str = "",
) -> Evaluation:
    """Evaluate a model on tasks with each item's value: our tasks (TASKS), the paper's (BENCHMARKS), any of lm-eval's.

    Args:
        model: Hub id or folder (see `models.loading.resolve`), or a loaded model, which then needs `tokenizer`.
        adapter: folder of a PEFT adapter for a `model` given by name.
        tasks: names; those of lm-eval beside the paper's take some 10 s to be found.
        limit: only the first items of each task; None: all.
        batch_size: items in one forward pass.
        device: auto, cpu, cuda or mps.
        files: items of a task from a file: {task: JSONL, JSON, CSV or Parquet file}, or {task: {split: file}} where
            few-shot examples come from another split.
        tokenizer: of a loaded `model`.
        num_fewshot: shots in place of the tasks' own.
        apply_chat_template: whether prompts are rendered as a user's turn with the tokenizer's template.
        cache_dir: folder of converted models; "": $ENTP_CACHE or ~/.cache/entp.
        benchmark_dir: folder with the items of the paper's benchmarks; "": they come from the Hub.
        gen_kwargs: generation arguments over the tasks' own, as lm-eval writes them: "temperature=0.7,top_p=0.9".
        include_path: folder with further task definitions of lm-eval's form.

    Raises:
        ConfigError: a task that is not known.
        EntpError: items that can't be had, or too little memory.
    """
    require("lm_eval", "eval", "evaluation")
    if not tasks:
        raise ConfigError([f"tasks: none given; known are {', '.join(known_tasks())} and lm-eval's own"])
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    manager, specs = task_specs(tasks, dict(files or {}), benchmark_dir, include_path)
    loaded, tokenizer = load(model, adapter, device, tokenizer, cache_dir)
    lm = HFLM(pretrained=loaded, tokenizer=tokenizer, batch_size=batch_size)
    try:
        with memory_advice("evaluation", "Lower batch_size"), no_git_hash():
            found = simple_evaluate(
                model=lm,
                tasks=specs,
                limit=limit,
                num_fewshot=num_fewshot,
                apply_chat_template=apply_chat_template,
                task_manager=manager,
                gen_kwargs=gen_kwargs,
                log_samples=True,
                bootstrap_iters=100,
            )
    except OSError as error:  # offline, no such data set, a file that can't be read
        raise EntpError(f"the items of {', '.join(tasks)} can't be had: {error}. Give them as files") from error
    if found is None:
        raise EntpError("lm-eval gives results on the main process only; call evaluate there")
    return read_results(found, tasks)


@contextlib.contextmanager
def no_git_hash() -> Iterator[None]:
    """Keep lm-eval from asking git for the working directory's commit, and put its function back afterwards.

    The commit is not the package's, and outside a repository git prints "fatal: not a git repository".
    """
    from lm_eval import evaluator

    with _GIT_HASH:
        own = evaluator.get_git_commit_hash
        evaluator.get_git_commit_hash = _no_commit
        try:
            yield
        finally:
            evaluator.get_git_commit_hash = own


def _no_commit() -> None:
    """The commit hash that lm-eval records."""


def load(
    model: Any, adapter: str | None, device: str = "auto", tokenizer: Any = None, cache_dir: str = ""
) -> tuple[Any, Any]:
    """The model, in eval mode, with the adapter on it, and its tokenizer; arguments as in `evaluate_items`."""
    if not isinstance(model, str):
        if tokenizer is None or adapter is not None:
            raise ConfigError(["model: a loaded model needs its tokenizer, and no adapter beside it"])
        return model, tokenizer
    path = resolve(model, cache_dir or str(EntpConfig().cache_path()))
    device = pick_device(device)
    tokenizer = tokenizer or load_tokenizer(path)
    if not adapter:
        return load_causal_lm(path, device), tokenizer
    require("peft", "train", "a model with an adapter")
    from peft import PeftModel

    if not Path(adapter, "adapter_config.json").is_file():
        raise ModelNotFound(f"adapter {adapter}: holds no adapter_config.json; give the output folder of the training")
    # A fresh copy: the adapter's modules are put into the model itself.
    return PeftModel.from_pretrained(new_causal_lm(path, device), adapter).eval(), tokenizer


def heldout_rows(file: str = "") -> list[dict[str, Any]]:
    """Rows with `messages` from a JSONL file of `messages` or of `instruction`, `input`, `output`; by default ours."""
    path = Path(file or str(importlib.resources.files("entp_hf.data") / "heldout.jsonl"))
    if not path.is_file():
        raise InputError(f"held-out file {path}: does not exist")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: is no JSON: {error}") from error
        if not isinstance(values, dict) or not ("messages" in values or {"instruction", "output"} <= set(values)):
            raise InputError(f"{path}, line {number}: neither `messages` nor `instruction` and `output`")
        rows.append({"messages": values["messages"] if "messages" in values else _as_messages(values)})
    return rows


def _as_messages(values: Mapping[str, str]) -> list[dict[str, str]]:
    question = JOIN.join(part for part in (values["instruction"], values.get("input")) if part)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": values["output"]}]


def heldout_loss(
    model: Any,
    adapter: str | None = None,
    rows: Iterable[Mapping[str, Any]] | None = None,
    batch_size: int = 4,
    max_length: int = 512,
    device: str = "auto",
    cache_dir: str = "",
    tokenizer: Any = None,
) -> dict[str, float]:
    """Mean loss, in nats, over the assistant's tokens of rows; the arguments are those of `heldout_items`.

    Keys: loss, perplexity, tokens (counted), rows (with such tokens).
    """
    sums, counts = heldout_items(model, adapter, rows, batch_size, max_length, device, cache_dir, tokenizer)
    mean = sum(sums) / sum(counts)
    kept = sum(count > 0 for count in counts)
    return {"loss": mean, "perplexity": math.exp(min(mean, 700.0)), "tokens": sum(counts), "rows": kept}


def heldout_items(
    model: Any,
    adapter: str | None = None,
    rows: Iterable[Mapping[str, Any]] | None = None,
    batch_size: int = 4,
    max_length: int = 512,
    device: str = "auto",
    cache_dir: str = "",
    tokenizer: Any = None,
) -> tuple[list[float], list[int]]:
    """For each row the summed loss of its answers, in nats, and the number of their tokens.

    Args:
        model: name, folder or loaded model, as in `evaluate_items`.
        adapter: folder of a PEFT adapter for a `model` given by name.
        rows: rows with `messages`; None: those of `heldout_rows()`.
        batch_size: rows in one forward pass.
        max_length: tokens of a row that are read; later ones don't count, and a row without any has 0 and 0.
        device: auto, cpu, cuda or mps.
        cache_dir: folder of converted models; "": $ENTP_CACHE or ~/.cache/entp.
        tokenizer: of a loaded `model`.

    Raises:
        InputError: no row has an assistant token within max_length.
        EntpError: losses that are not numbers.
    """
    require("torch", "models", "held-out loss")
    loaded, tokenizer = load(model, adapter, device, tokenizer, cache_dir)
    conversations = [row["messages"] for row in (heldout_rows() if rows is None else rows)]
    pairs = list(zip(*encode(tokenizer, conversations, training_template(tokenizer)), strict=True))
    # The first token has nothing before it, so it is never predicted.
    kept = [i for i, (_, mask) in enumerate(pairs) if 1 in mask[1:max_length]]
    if not kept:
        raise InputError(f"none of {len(conversations)} held-out rows has an assistant token within {max_length}")
    kept.sort(key=lambda i: len(pairs[i][0]))  # rows of like length together: less padding
    sums, counts = [0.0] * len(pairs), [0] * len(pairs)
    parts = [kept[start : start + batch_size] for start in range(0, len(kept), batch_size)]
    with (
        Bar(len(kept), "held-out loss", "row") as bar,
        memory_advice("held-out loss", "Lower batch_size or max_length"),
    ):
        for part in parts:
            found = row_losses(loaded, [(pairs[i][0][:max_length], pairs[i][1][:max_length]) for i in part])
            for i, total, count in zip(part, *found, strict=True):
                sums[i], counts[i] = total, count
            bar.update(len(part))
    if not math.isfinite(sum(sums)):
        raise EntpError(f"{adapter or 'the model'}: the held-out loss is {sum(sums)}; the outputs are not numbers")
    return sums, counts
