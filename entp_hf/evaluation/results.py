"""Read lm-eval's results: metrics of tasks, the value of each item, means over a benchmark's tasks."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import EntpError
from .benchmarks import BENCHMARKS

Metrics = dict[str, dict[str, float]]
Items = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model.

    Attributes:
        metrics: {task: {metric: value, metric_stderr: value, "n": items}}.
        items: {task: {metric: [value of each item]}}.
        task_hashes: {task: hash over the items' texts, prompts and targets}, computed as lm-eval computes it.
        settings: what the figures depend on and how they came about: model, shots, limits, versions, date.
        harness: lm-eval's own results without the samples, one for each of its runs.
    """

    metrics: Metrics = field(default_factory=dict)
    items: Items = field(default_factory=dict)
    task_hashes: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    harness: list[dict[str, Any]] = field(default_factory=list)


def read_results(found: Mapping[str, Any], asked: Sequence[str]) -> Evaluation:
    """lm-eval's results; for those benchmarks of BENCHMARKS among `asked` that have many tasks, their mean as well."""
    metrics, items = plain(found), items_of(found)
    for name in asked:
        if name in BENCHMARKS and BENCHMARKS[name].pooled:
            items[name] = pooled(name, items)
            metrics[name] = summary(items[name])
    hashes = task_hashes(found)
    own = {key: value for key, value in found.items() if key != "samples"}
    plain_form = json.loads(json.dumps({**own, "task_hashes": hashes}, default=_as_json))
    return Evaluation(metrics, items, hashes, harness=[plain_form])


def _as_json(value: Any) -> Any:
    """A value of lm-eval's configurations as JSON: numbers of numpy as they are, functions by their names."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(map(str, value))
    return str(getattr(value, "__name__", type(value).__name__))


def task_hashes(found: Mapping[str, Any]) -> dict[str, str]:
    """Hash of each task's items, as lm-eval's own command computes it: equal for equal texts, prompts and targets."""
    keys = ("doc_hash", "prompt_hash", "target_hash")
    return {
        task: hashlib.sha256("".join(sample[key] for sample in samples for key in keys).encode()).hexdigest()
        for task, samples in (found.get("samples") or {}).items()
    }


def plain(found: Mapping[str, Any]) -> Metrics:
    """lm-eval's results as {task: {metric: float}}: "acc,none" becomes "acc", a named filter stays in the name."""
    metrics: Metrics = {}
    for task, values in found["results"].items():
        row: dict[str, float] = {}
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or isinstance(value, str):  # alias, sample_len; "N/A" for a standard error
                continue
            stderr = metric.endswith("_stderr")
            name = _name(metric.removesuffix("_stderr"), filtered)
            if math.isfinite(value):
                row[f"{name}_stderr" if stderr else name] = float(value)
            elif not stderr:
                raise EntpError(f"task {task}: {name} is {value}; the model's outputs are not numbers")
        if row:
            count = found["n-samples"].get(task, {}).get("effective", values.get("sample_len", 0))
            metrics[task] = {**row, "n": float(count)}
    return metrics


def items_of(found: Mapping[str, Any]) -> Items:
    """Each item's value of each metric, in the order of the items."""
    items: Items = {}
    for task, samples in (found.get("samples") or {}).items():
        rows = items.setdefault(task, {})
        for sample in sorted(samples, key=lambda sample: sample["doc_id"]):
            for metric in sample["metrics"]:
                if isinstance(sample[metric], (int, float, np.floating, np.bool_)):
                    rows.setdefault(_name(metric, sample["filter"]), []).append(float(sample[metric]))
    return items


def pooled(name: str, items: Items) -> dict[str, list[float]]:
    """The items of all tasks of benchmark `name` together, task by task, for the metric that stands for it."""
    registered = BENCHMARKS[name].registered
    metric = BENCHMARKS[name].headline[1]
    tasks = [task for task in items if task.startswith(f"{registered}_")]
    return {metric: [value for task in tasks for value in items[task][metric]]}


def summary(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean, standard error of the mean (absent for one item) and number of items."""
    row: dict[str, float] = {}
    for metric, each in values.items():
        row[metric] = float(np.mean(each))
        if len(each) > 1:
            row[f"{metric}_stderr"] = float(np.std(each, ddof=1) / len(each) ** 0.5)
        row["n"] = float(len(each))
    return row


def _name(metric: str, filtered: str) -> str:
    return metric if filtered == "none" else f"{metric},{filtered}"
