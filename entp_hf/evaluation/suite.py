"""One evaluation of a model on tasks and held-out rows, with each item's value, so that models can be compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..config import EntpConfig
from ..errors import InputError
from .benchmarks import BENCHMARKS
from .evaluate import evaluate_items, heldout_items, heldout_rows
from .paired_bootstrap import Paired, in_words, mean_and_error, paired
from .results import Evaluation
from .tasks import check_tasks, known_tasks

HELDOUT = "heldout"  # loss on answers, in nats a token: lower is better


@dataclass(frozen=True)
class EvaluationSuite:
    """What to evaluate on: `tasks` of `evals` or "heldout", which reads `heldout` (a file of rows; "": ours)."""

    tasks: Sequence[str]
    limit: int | None = None
    benchmark_dir: str = ""
    batch_size: int = 8
    device: str = "auto"
    cache_dir: str = ""
    heldout: str = ""
    num_fewshot: dict[str, int] = field(default_factory=dict)  # shots of single tasks, in place of their own
    limits: dict[str, int] = field(default_factory=dict)  # of single tasks, over `limit`
    gen_kwargs: str | None = None


def measure(model: Any, adapter: str | None, what: EvaluationSuite, tokenizer: Any = None) -> Evaluation:
    """Run everything; `model` as in `evals.evaluate_items`. Held-out items are mean losses, weighted by `tokens`."""
    cache = what.cache_dir or str(EntpConfig().cache_path())
    common = {"device": what.device, "cache_dir": cache, "tokenizer": tokenizer, "batch_size": what.batch_size}
    check_tasks(what.tasks, [HELDOUT, *known_tasks()])
    found = Evaluation()
    alike: dict[tuple[int, int], list[str]] = {}
    for name in what.tasks:
        if name != HELDOUT:
            alike.setdefault((what.limits.get(name, what.limit or 0), what.num_fewshot.get(name, -1)), []).append(name)
    for (limit, shots), names in alike.items():
        part = evaluate_items(
            model,
            adapter,
            names,
            limit or None,
            benchmark_dir=what.benchmark_dir,
            num_fewshot=shots if shots >= 0 else None,
            gen_kwargs=what.gen_kwargs,
            **common,
        )
        found.metrics.update(part.metrics)
        found.items.update(part.items)
    if HELDOUT in what.tasks:
        rows = heldout_rows(what.heldout)[: what.limits.get(HELDOUT, what.limit) or None]
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
    """What `entp eval -o` wrote."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return Evaluation(**{f.name: values[f.name] for f in dataclasses.fields(Evaluation)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is no file that `entp eval -o` wrote ({type(error).__name__}: {error})") from error
