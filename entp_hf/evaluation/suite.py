"""One evaluation of a model on tasks and held-out rows, with each item's value, so that models can be compared."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ..config import EntpConfig
from ..errors import ConfigError, InputError, require
from .benchmarks import BENCHMARKS, hub_spec
from .evaluate import Files, evaluate_items, heldout_items, heldout_rows
from .paired_bootstrap import Paired, in_words, mean_and_error, paired
from .results import Evaluation
from .tasks import check_tasks, known_tasks, task_specs

SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234}  # lm-eval's defaults
HELDOUT = "heldout"  # loss on answers, in nats a token: lower is better


@dataclass(frozen=True)
class EvaluationSuite:
    """Tasks and settings of one evaluation.

    Attributes:
        tasks: names as in `evaluate.evaluate_items`, or "heldout": the loss on the rows of `heldout`.
        limit: only the first items of each task; None: all.
        benchmark_dir: folder with the items of the paper's benchmarks; "": they come from the Hub.
        batch_size: items in one forward pass.
        device: auto, cpu, cuda or mps.
        cache_dir: folder of converted models; "": $ENTP_CACHE or ~/.cache/entp.
        heldout: file of held-out rows; "": the shipped ones.
        num_fewshot: shots of single tasks, in place of their own; or one number for all.
        limits: limits of single tasks, in place of `limit`.
        gen_kwargs: generation arguments over the tasks' own, as lm-eval writes them.
        apply_chat_template: whether prompts are rendered as a user's turn.
        include_path: folder with further task definitions of lm-eval's form.
        files: items of a task from a file, as in `evaluate_items`.
    """

    tasks: Sequence[str]
    limit: int | None = None
    benchmark_dir: str = ""
    batch_size: int = 8
    device: str = "auto"
    cache_dir: str = ""
    heldout: str = ""
    num_fewshot: dict[str, int] | int = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    gen_kwargs: str | None = None
    apply_chat_template: bool = False
    include_path: str = ""
    files: Files = field(default_factory=dict)

    def shots(self, task: str) -> int | None:
        """Shots that are set for a task; None: the task's own."""
        return self.num_fewshot if isinstance(self.num_fewshot, int) else self.num_fewshot.get(task)

    def at_most(self, task: str) -> int | None:
        """Items of a task that are used; None: all."""
        return self.limits.get(task, self.limit or 0) or None


def check_suite(suite: EvaluationSuite) -> None:
    """Raise ConfigError or InputError for tasks, files and folders that an evaluation would fail on."""
    if not suite.tasks:
        raise ConfigError([f"tasks: none given; known are {HELDOUT}, {', '.join(known_tasks())} and lm-eval's own"])
    check_tasks(suite.tasks, [HELDOUT, *known_tasks()], suite.include_path)
    if names := [name for name in suite.tasks if name != HELDOUT]:
        require("lm_eval", "eval", "evaluation")
        task_specs(names, dict(suite.files), suite.benchmark_dir, suite.include_path)
    if HELDOUT in suite.tasks:
        heldout_rows(suite.heldout)


def measure(model: Any, adapter: str | None, what: EvaluationSuite, tokenizer: Any = None) -> Evaluation:
    """Evaluate one model on a suite.

    Args:
        model: name, folder or loaded model, as in `evaluate.evaluate_items`.
        adapter: folder of a PEFT adapter for a `model` given by name.
        what: the suite.
        tokenizer: of a loaded `model`.

    Held-out items are mean losses, weighted by `tokens`.
    """
    cache = what.cache_dir or str(EntpConfig().cache_path())
    common = {"device": what.device, "cache_dir": cache, "tokenizer": tokenizer, "batch_size": what.batch_size}
    check_tasks(what.tasks, [HELDOUT, *known_tasks()], what.include_path)
    found = Evaluation(settings=settings_of(model, adapter, what))
    alike: dict[tuple[int | None, int | None], list[str]] = {}
    for name in what.tasks:
        if name != HELDOUT:
            alike.setdefault((what.at_most(name), what.shots(name)), []).append(name)
    for (limit, shots), names in alike.items():
        part = evaluate_items(
            model,
            adapter,
            names,
            limit,
            files={name: file for name, file in what.files.items() if name in names},
            num_fewshot=shots,
            apply_chat_template=what.apply_chat_template,
            benchmark_dir=what.benchmark_dir,
            gen_kwargs=what.gen_kwargs,
            include_path=what.include_path,
            **common,
        )
        found.metrics.update(part.metrics)
        found.items.update(part.items)
        found.task_hashes.update(part.task_hashes)
        found.harness.extend(part.harness)
    if HELDOUT in what.tasks:
        rows = heldout_rows(what.heldout)[: what.at_most(HELDOUT)]
        found.task_hashes[HELDOUT] = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        sums, counts = heldout_items(model, adapter, rows, **common)
        kept = [(s / c, c) for s, c in zip(sums, counts, strict=True) if c]
        found.items[HELDOUT] = {"loss": [s for s, _ in kept], "tokens": [float(c) for _, c in kept]}
        loss, error = mean_and_error([s for s, _ in kept], [c for _, c in kept])
        found.metrics[HELDOUT] = {
            "loss": loss,
            "loss_stderr": error,
            "perplexity": float(np.exp(min(loss, 700))),
            "n": float(len(kept)),
        }
    return found


def settings_of(model: Any, adapter: str | None, suite: EvaluationSuite) -> dict[str, Any]:
    """The settings of an evaluation as they stand in its file: model, revision, tasks, versions, date."""
    values = {
        name: value
        for name, value in dataclasses.asdict(suite).items()
        if name not in ("cache_dir", "device", "batch_size")
    }
    loaded = not isinstance(model, str)
    name = str(getattr(model.config, "_name_or_path", "")) if loaded else model
    return {
        "model": name,
        "model_revision": (getattr(model.config, "_commit_hash", None) if loaded else _revision(model)) or "",
        "adapter": adapter or "",
        **values,
        "batch_size": suite.batch_size,
        "device": suite.device,
        "seeds": SEEDS,
        "versions": {package: _version(package) for package in ("entp-hf", "lm-eval", "transformers", "torch")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _revision(model: str) -> str:
    """The commit of a model in the Hub's cache; "" for folders and files."""
    from huggingface_hub import try_to_load_from_cache

    if Path(model).exists() or model.count("/") != 1:
        return ""
    file = try_to_load_from_cache(model, "config.json")
    return Path(file).parent.name if isinstance(file, str) else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def harness_results(found: Evaluation) -> dict[str, Any]:
    """The results in lm-eval's own form (`results`, `configs`, `versions`, `n-shot`, `config`, ...), for its tools."""
    merged: dict[str, Any] = {}
    for part in found.harness:
        for key, value in part.items():
            known = merged.get(key)
            merged[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    config = {"model": "hf", "model_args": _model_args(found.settings), "model_source": "entp-hf"}
    name = found.settings.get("model", "")
    return {
        **merged,
        "config": {**merged.get("config", {}), **config},
        "model_source": "hf",
        "model_name": name,
        "model_name_sanitized": re.sub(r"[^\w.-]+", "__", name),
    }


def _model_args(settings: Mapping[str, Any]) -> str:
    parts = {"pretrained": settings.get("model"), "revision": settings.get("model_revision")}
    parts["peft"] = settings.get("adapter")
    return ",".join(f"{name}={value}" for name, value in parts.items() if value)


def headlines(found: Evaluation) -> Iterator[tuple[str, str, str]]:
    """(name, task, metric) of each figure that stands for a benchmark, our quiz or the held-out rows."""
    wanted = [(HELDOUT, HELDOUT, "loss"), ("entp_quiz", "entp_quiz", "acc_norm")]
    wanted += [(name, *benchmark.headline) for name, benchmark in BENCHMARKS.items()]
    for name, task, metric in wanted:
        if metric in found.items.get(task, {}):
            yield name, task, metric
    known = {task for _, task, _ in wanted}
    prefixes = tuple(f"{name}_" for name in ("mmlu", "bbh", "tydiqa", "truthfulqa", "gsm8k"))
    for task, metrics in found.items.items():
        if task not in known and not task.startswith(prefixes):
            yield task, task, next(iter(metrics))


COMPARED = ("limit", "limits", "num_fewshot", "apply_chat_template", "gen_kwargs", "seeds")  # equal, or no comparison


def differing_settings(before: Evaluation, suite: EvaluationSuite) -> list[str]:
    """Settings of a suite under which items can't be paired with an earlier evaluation's, in words; [] if none.

    Files of earlier releases have no settings; they are compared by the numbers of items alone.
    """
    now = json.loads(json.dumps({**dataclasses.asdict(suite), "seeds": SEEDS}))
    return [
        f"{name}: {before.settings[name]!r} there, {now[name]!r} here"
        for name in COMPARED
        if name in before.settings and before.settings[name] != now[name]
    ]


def differing(before: Evaluation, after: Evaluation) -> list[str]:
    """Tasks whose items differ between two evaluations, in words; [] if there are none."""
    found = []
    for task in sorted(before.items.keys() & after.items.keys()):
        hashes = before.task_hashes.get(task), after.task_hashes.get(task)
        if all(hashes) and hashes[0] != hashes[1]:
            found.append(f"task {task}: the items or prompts are not the same")
        elif any(
            len(values) != len(after.items[task].get(metric, values)) for metric, values in before.items[task].items()
        ):
            found.append(f"task {task}: the numbers of items differ")
    return found


def compared(before: Evaluation, after: Evaluation, task: str, metric: str) -> Paired:
    """The paired difference, after minus before, on one task's items."""
    return paired(before.items[task][metric], after.items[task][metric], after.items[task].get("tokens"))


def differences(before: Evaluation, after: Evaluation, a: str, b: str) -> list[str]:
    """A sentence for each figure that both have, by the same items."""
    return [
        in_words(compared(before, after, task, metric), a, b, f"{name} ({metric})", task != HELDOUT)
        for name, task, metric in headlines(after)
        if metric in before.items.get(task, {})
    ]


def read_measured(file: Path) -> Evaluation:
    """Read a file that `entp eval -o` wrote."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        known = [f.name for f in dataclasses.fields(Evaluation)]
        return Evaluation(values["metrics"], values["items"], **{k: values[k] for k in known[2:] if k in values})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is no file that `entp eval -o` wrote ({type(error).__name__}: {error})") from error


_OWN_METRICS = {
    HELDOUT: ("loss", "loss_stderr", "perplexity", "n"),
    "entp_quiz": ("acc", "acc_stderr", "acc_norm", "acc_norm_stderr", "n"),
}


def metric_problem(metric: str, tasks: Sequence[str]) -> str:
    """What is wrong with a figure's name TASK_METRIC for these tasks, in words; "" if nothing, as far as is known.

    Of lm-eval's further tasks only the task's part of the name can be checked before they are run.
    """
    known: list[str] = []
    for task in tasks:
        if task in _OWN_METRICS:
            known += [f"{task}_{name}" for name in _OWN_METRICS[task]]
        elif task in BENCHMARKS:
            name, figure = BENCHMARKS[task].headline
            known += [f"{name}_{figure}", f"{name}_{figure}_stderr", f"{name}_n"]
            if not BENCHMARKS[task].pooled and metric.startswith(tuple(hub_spec(task))):
                return ""
        elif metric.startswith(f"{task}_"):
            return ""
        else:
            known.append(f"{task}_...")
    if metric in known:
        return ""
    near = get_close_matches(metric, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"metric: {metric!r} is none of the figures of {', '.join(tasks)}: {', '.join(known)}{hint}"
