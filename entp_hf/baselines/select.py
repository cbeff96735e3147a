"""`entp select`: read files, run a selector, return the selected dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from ..config import SMOLLM2, EntpConfig
from ..execution.stage import set_columns
from ..execution.tables import set_aside
from ..io.manifest import Manifest, SelectionSection
from ..io.reader import read_rows
from ..io.sources import Source
from ..schema import DroppedBy, Row
from ..training.data import load_rows, messages_only
from .base import Picked, Pool, Settings
from .registry import method_of, select


def select_rows(
    inputs: Source | Sequence[Source],
    method: str,
    n: int,
    config: EntpConfig,
    settings: Settings | None = None,
    target: str = "",
) -> tuple[Dataset, Dataset, Manifest]:
    """Read a pool and select: rows chosen (best first), all others (`dropped_by` "select:METHOD"), and the figures.

    `target`: a file or folder of rows with `messages`, for the methods that need one.
    """
    chosen = method_of(method)
    if config.model == "auto":  # the methods need losses and gradients of a small model, not one that can write
        config = dataclasses.replace(config, model=SMOLLM2)
    manifest = Manifest.start(config.validate().to_dict())
    with manifest.stage("read", 0) as stage:
        rows, manifest["input"] = read_rows(inputs, config)
        stage["rows_in"] = stage["rows_out"] = len(rows)
    usable, unusable = set_aside(rows)
    pool = Pool(usable, config, target_rows(target))
    with manifest.stage("select", len(usable)) as stage:
        picked = select(pool, method, n, settings)
        stage["rows_out"] = len(picked.index)
    selection: SelectionSection = {
        "method": method,
        "paper": chosen.paper,
        "n": n,
        "rows": len(picked.index),
        "settings": {**chosen.settings, **(settings or {})},
        "target": target,
        "score": _spread(picked),
    }
    manifest["selection"] = selection
    manifest["warnings"] += picked.notes
    kept, rest = usable.select(picked.index), np.setdiff1d(np.arange(len(usable)), picked.index)
    left = usable.select(rest)
    left = set_columns(left, {"dropped_by": [DroppedBy.not_selected(method)] * len(left)}) if len(left) else left
    return kept, joined(left, unusable), manifest


def joined(*parts: Dataset) -> Dataset:
    """The parts, empty ones left out, as one dataset."""
    from datasets import concatenate_datasets

    return concatenate_datasets([part for part in parts if len(part)] or [parts[0]])


def target_rows(target: str) -> list[Row]:
    """Rows of a target file, with `task` where it has that column; [] for no file."""
    if not target:
        return []
    rows = load_rows(target)
    messages = messages_only(rows)["messages"]
    tasks = rows["task"][:] if "task" in rows.column_names else [""] * len(rows)
    return [{"messages": turns, "task": task} for turns, task in zip(messages, tasks, strict=True)]


def _spread(picked: Picked) -> dict[str, float] | None:
    """Lowest, median and highest score of the chosen rows."""
    if picked.score is None or not len(picked.score):
        return None
    low, middle, high = np.quantile(picked.score, [0, 0.5, 1])
    return {"lowest": round(float(low), 6), "median": round(float(middle), 6), "highest": round(float(high), 6)}
