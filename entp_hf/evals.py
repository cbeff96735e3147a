"""What a model can do: lm-eval tasks run in this process, and the loss on held-out answers."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .chat_rows import encode, row_losses, training_template
from .config import EntpConfig
from .errors import ConfigError, EntpError, InputError, ModelNotFound, require
from .models import load_causal_lm, load_tokenizer, new_causal_lm, pick_device, resolve
from .schema import JOIN

Metrics = dict[str, dict[str, float]]
Files = Mapping[str, str | Mapping[str, str]]

# Our own tasks, as lm-eval task configurations; `file` is in entp_hf/data unless another one is given. Answers are
# scored as text after the question: a model of 135M parameters can't use letters A to D.
TASKS: dict[str, dict[str, Any]] = {
    "entp_quiz": {
        "file": "quiz.jsonl",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
        ],
        "metadata": {"version": 1.0},
    },
}


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
) -> Metrics:
    """Run tasks of ours (TASKS) or of lm-eval; return {task: {metric: value, metric_stderr: value, "n": items}}.

    `model` is a name or folder (see `models.resolve`), or a loaded model, which then needs `tokenizer`; `adapter` is a
    folder of PEFT's. `limit` takes the first items of each task. `files` gives a task its items from a file instead
    of the Hub: {task: JSONL, JSON, CSV or Parquet file}, or {task: {split: file}} where few-shot examples come from
    another split. lm-eval's own tasks take some 10 s to be found. Raises ConfigError for an unknown task.
    """
    require("lm_eval", "eval", "evaluation")
    if not tasks:
        raise ConfigError([f"tasks: none given; known are {', '.join(TASKS)} and lm-eval's own"])
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    manager, specs = _task_specs(tasks, dict(files or {}))
    loaded, tokenizer = _loaded(model, adapter, device, tokenizer, cache_dir)
    lm = HFLM(pretrained=loaded, tokenizer=tokenizer, batch_size=batch_size)
    try:
        found = simple_evaluate(
            model=lm,
            tasks=specs,
            limit=limit,
            num_fewshot=num_fewshot,
            apply_chat_template=apply_chat_template,
            task_manager=manager,
            log_samples=False,
            bootstrap_iters=100,
        )
    except OSError as error:  # offline, no such data set, a file that can't be read
        raise EntpError(f"the items of {', '.join(tasks)} can't be had: {error}. Give them as files") from error
    if found is None:
        raise EntpError("lm-eval gives results on the main process only; call evaluate there")
    return _plain(found)


def _task_specs(tasks: Sequence[str], files: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The task manager, and what to ask it for: one configuration or name for each task."""
    from lm_eval.tasks import TaskManager

    # The index of lm-eval's 14,000 names takes 10 s; it is read only if one of them is asked for.
    manager = TaskManager(include_defaults=any(name not in TASKS for name in tasks))
    unknown = [name for name in tasks if name not in TASKS and name not in manager.all_tasks]
    problems = []
    for name in unknown:
        near = get_close_matches(name, [*TASKS, *manager.all_tasks], n=3)
        hint = f"; near it: {', '.join(near)}" if near else ""
        problems.append(f"tasks: no task {name!r}; known are {', '.join(TASKS)} and lm-eval's own{hint}")
    problems += [f"files: {name!r} is not among the tasks {', '.join(tasks)}" for name in files if name not in tasks]
    if problems:
        raise ConfigError(problems)
    return manager, [_spec(name, files.get(name)) for name in tasks]


def _spec(name: str, given: str | Mapping[str, str] | None) -> Any:
    config = dict(TASKS.get(name, {}))
    if not config and not given:
        return name
    bundled = importlib.resources.files("entp_hf.data") / config.pop("file", "")
    splits = {"test": given} if isinstance(given, str) else dict(given or {"test": str(bundled)})
    for file in splits.values():
        if not Path(file).is_file():
            raise InputError(f"task {name}: the file {file} does not exist")
    form = {".parquet": "parquet", ".csv": "csv"}.get(Path(splits["test"]).suffix, "json")
    config |= {"task": name, "dataset_path": form, "dataset_name": None, "dataset_kwargs": {"data_files": splits}}
    config |= {"test_split": "test"}
    # Inside a group, a registered name is taken with these keys put over its own; at the top it would be a new task.
    return config if name in TASKS else {"group": f"{name}-from-file", "task": [config]}


def _plain(found: Mapping[str, Any]) -> Metrics:
    """lm-eval's results as {task: {metric: float}}: "acc,none" becomes "acc", a named filter stays in the name."""
    metrics: Metrics = {}
    for task, values in found["results"].items():
        row: dict[str, float] = {}
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or isinstance(value, str):  # alias, sample_len; "N/A" for a standard error
                continue
            stderr = metric.endswith("_stderr")
            name = metric.removesuffix("_stderr") + ("" if filtered == "none" else f",{filtered}")
            if math.isfinite(value):
                row[f"{name}_stderr" if stderr else name] = float(value)
            elif not stderr:
                raise EntpError(f"task {task}: {name} is {value}; the model's outputs are not numbers")
        if row:
            count = found["n-samples"].get(task, {}).get("effective", values.get("sample_len", 0))
            metrics[task] = {**row, "n": float(count)}
    return metrics


def _loaded(model: Any, adapter: str | None, device: str, tokenizer: Any, cache_dir: str) -> tuple[Any, Any]:
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
    model_path: str,
    adapter: str | None = None,
    rows: Iterable[Mapping[str, Any]] | None = None,
    batch_size: int = 4,
    max_length: int = 512,
    device: str = "auto",
    cache_dir: str = "",
) -> dict[str, float]:
    """Mean loss, in nats, over the assistant's tokens of `rows` (column `messages`; None: `heldout_rows()`).

    Keys: loss, perplexity, tokens (counted), rows (with such tokens). Tokens after max_length don't count.
    `model_path` and `adapter` as in `evaluate`.
    """
    require("torch", "models", "held-out loss")
    model, tokenizer = _loaded(model_path, adapter, device, None, cache_dir)
    conversations = [row["messages"] for row in (heldout_rows() if rows is None else rows)]
    pairs = zip(*encode(tokenizer, conversations, training_template(tokenizer)), strict=True)
    # The first token has nothing before it, so it is never predicted.
    kept = [(ids[:max_length], mask[:max_length]) for ids, mask in pairs if 1 in mask[1:max_length]]
    if not kept:
        raise InputError(f"none of {len(conversations)} held-out rows has an assistant token within {max_length}")
    kept.sort(key=lambda pair: len(pair[0]))  # rows of like length together: less padding
    total, tokens = 0.0, 0
    for start in range(0, len(kept), batch_size):
        sums, counts = row_losses(model, kept[start : start + batch_size])
        total, tokens = total + sum(sums), tokens + sum(counts)
    mean = total / tokens
    if not math.isfinite(mean):
        raise EntpError(f"{adapter or model_path}: the held-out loss is {mean}; the model's outputs are not numbers")
    return {"loss": mean, "perplexity": math.exp(min(mean, 700.0)), "tokens": tokens, "rows": len(kept)}
