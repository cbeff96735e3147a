"""The tasks that a model can be evaluated on, by name: ours, the paper's benchmarks, and lm-eval's 14,000 others."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError, require
from ..execution.progress import Bar
from .benchmarks import BENCHMARKS, check_folder, hub_spec, local_spec, task_folders, task_root

ALIKE = 0.8  # difflib's ratio from which a name is taken for a slip of one of ours (not in the paper)

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


def known_tasks() -> list[str]:
    """The names of tasks that need no knowledge of lm-eval."""
    return [*TASKS, *BENCHMARKS]


def check_tasks(tasks: Sequence[str], own: Sequence[str], include_path: str = "") -> None:
    """Raise ConfigError for names that neither `own` nor lm-eval has: at once where all of them are slips of ours."""
    others = [name for name in tasks if name not in own]
    unknown = {} if include_path else slips(others, own)
    if len(unknown) < len(others):
        names = _index(include_path).all_tasks
        unknown = {name: get_close_matches(name, [*own, *names], n=3) for name in others if name not in names}
    if unknown:
        told = f"known are {', '.join(own)} and lm-eval's own"
        hints = {name: f"; near it: {', '.join(near)}" if near else "" for name, near in unknown.items()}
        raise ConfigError([f"tasks: no task {name!r}; {told}{hint}" for name, hint in hints.items()])


def slips(tasks: Sequence[str], own: Sequence[str]) -> dict[str, list[str]]:
    """The tasks that nearly have a name of `own` and that lm-eval has not, with that name."""
    near = {name: get_close_matches(name, own, n=1, cutoff=ALIKE) for name in tasks if name not in own}
    return {name: alike for name, alike in near.items() if alike and not _written(name)}


def _written(name: str) -> bool:
    """Whether the name stands in a definition of lm-eval's: a second's work, its index takes ten and more."""
    require("lm_eval", "eval", "evaluation")
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    files = (file for file in task_root().rglob("*") if file.suffix in ("", ".yaml") and file.is_file())
    return any(word.search(file.read_text(encoding="utf-8", errors="replace")) for file in files)


@functools.cache
def _index(include_path: str = "") -> Any:
    require("lm_eval", "eval", "evaluation")
    from lm_eval.tasks import TaskManager

    with Bar(1, "lm-eval's index of its tasks (10 s and more)", "index") as bar:
        manager = TaskManager(include_path=include_path or None)
        bar.update()
    return manager


def task_specs(
    tasks: Sequence[str], files: dict[str, Any], folder: str, include_path: str = ""
) -> tuple[Any, list[Any]]:
    """lm-eval's task manager, and a configuration or name for each task.

    Args:
        tasks: names of tasks.
        files: items from a file, by task.
        folder: items of the paper's benchmarks; "": they come from the Hub.
        include_path: folder with further task definitions; "": none.

    Raises ConfigError for a task that is not known.
    """
    from lm_eval.tasks import TaskManager

    local = [name for name in tasks if folder and name in BENCHMARKS and name not in files]
    if local:
        check_folder(folder)
    if include_path and not Path(include_path).is_dir():
        raise ConfigError([f"include_path: {include_path} is no folder"])
    check_tasks(tasks, known_tasks(), include_path)
    if problems := [
        f"files: {name!r} is not among the tasks {', '.join(tasks)}" for name in files if name not in tasks
    ]:
        raise ConfigError(problems)
    if any(name not in known_tasks() for name in tasks):
        manager = _index(include_path)
    else:
        some = any(name in BENCHMARKS for name in tasks)
        manager = TaskManager(include_defaults=False, include_path=task_folders() if some else None)
    specs: list[Any] = []
    for name in tasks:
        if name in local:
            specs.append(local_spec(name, folder))
        elif name in BENCHMARKS and name not in files:
            specs += hub_spec(name)
        else:
            specs.append(_spec(name, files.get(name)))
    return manager, specs


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
