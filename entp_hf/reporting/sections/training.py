"""Report sections of training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ...io.manifest import RunRecord
from ..formatting import Shown, duration, num, squash
from ..plots import grouped_bar

COUNTS = ("n", "rows", "tokens", "samples")  # of an evaluation's items: not measures
LOWER = ("loss", "perplexity")  # measures that are better when lower
TRAIN = {"rows": "rows", "steps": "steps", "loss_first": "first loss", "loss_last": "last loss", "seconds": "time"}


def train(record: RunRecord) -> Shown | None:
    """Figures and facts of the fine-tuning run."""
    found = record.get("train")
    if not found:
        return None
    known = [(label, found[key], key) for key, label in TRAIN.items() if found.get(key) is not None]
    other = [(squash(key.replace("_", " "), 40), value, key) for key, value in found.items() if key not in TRAIN]
    figures = [entry for entry in known + other if _is_number(entry[1])]
    return {
        "figures": [(label, duration(value) if key == "seconds" else num(value)) for label, value, key in figures],
        "facts": [(label, value) for label, value, _ in known + other if isinstance(value, str) and value],
    }


def measures(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float, float | None]]:
    """(name, value, standard error) of every figure in an evaluation, however deep tasks and metrics are nested.

    Reads {metric, value, stderr} and {metric: value, metric_stderr: value}; counts of items are no measures.
    """
    if isinstance(found, list):
        for entry in found:
            yield from measures(entry, path)
    elif isinstance(found, Mapping) and _is_number(found.get("value")):
        names = [found[key] for key in ("task", "metric") if isinstance(found.get(key), str)]
        error = found.get("stderr")
        yield " · ".join([*path, *names]) or "value", float(found["value"]), error if _is_number(error) else None
    elif isinstance(found, Mapping):
        for key, entry in found.items():
            if _is_number(entry) and not key.endswith("_stderr") and key not in COUNTS:
                error = found.get(f"{key}_stderr")
                yield " · ".join([*path, key]), float(entry), error if _is_number(error) else None
            else:
                yield from measures(entry, (*path, str(key)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def evaluation(record: RunRecord) -> Shown | None:
    """The same measures before and after training, and whether their difference is more than noise."""
    found = record.get("eval")
    if not found:
        return None
    sides = {side: {n: (v, e) for n, v, e in measures(found.get(side) or {})} for side in ("before", "after")}
    names = list(dict.fromkeys([*sides["before"], *sides["after"]]))
    rows = [_compared(name, sides["before"].get(name), sides["after"].get(name)) for name in names]
    both = [r for r in rows if not r["lower"] and all(r[s] is not None and 0 <= r[s] <= 1 for s in sides)]
    tasks = [r["name"].split(" · ")[0] for r in both]
    plot = None
    if both:
        plot = grouped_bar(
            tasks if len(set(tasks)) == len(tasks) else [r["name"] for r in both],
            {side: [r[side] for r in both] for side in ("before", "after")},
            "Before and after training",
            errors={side: [r[f"{side}_error"] for r in both] for side in ("before", "after")},
        )
    return {"rows": rows, "plot": plot} if rows else None


def _compared(name: str, before: tuple[float, float | None] | None, after: tuple[float, float | None] | None) -> Shown:
    (old, old_error), (new, new_error) = before or (None, None), after or (None, None)
    change = new - old if old is not None and new is not None else None
    noise = math.hypot(old_error, new_error) if old_error is not None and new_error is not None else None
    verdict = ""
    if change is not None and noise:
        verdict = "more than noise" if abs(change) > 2 * noise else "within noise"
    lower = name.split(" · ")[-1] in LOWER
    return {
        "name": name,
        "lower": lower,
        "before": old,
        "before_error": old_error,
        "after": new,
        "after_error": new_error,
        "change": change,
        "verdict": verdict,
    }


def accuracy(record: RunRecord) -> Shown | None:
    """How well the purge did on rows whose defects are known (`purge.accuracy`): in all, and rule by rule."""
    found = record.get("purge_accuracy")
    if not isinstance(found, Mapping) or not found:
        return None
    rules = found.get("rules") or {}
    columns = list(dict.fromkeys(name for figures in rules.values() for name in figures))
    return {
        "facts": [(squash(name, 40), num(value)) for name, value in found.items() if _is_number(value)],
        "columns": columns,
        "rows": [(rule, [num(figures.get(name)) for name in columns]) for rule, figures in rules.items()],
    }
