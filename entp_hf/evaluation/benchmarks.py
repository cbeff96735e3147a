"""The five benchmarks of the paper as lm-eval's own tasks, with their items from local files instead of the Hub.

MMLU, TruthfulQA, GSM8K, BBH, TyDi QA. Prompts, shots and metrics are lm-eval's; only the source of the items changes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError

Doc = dict[str, Any]
Splits = dict[str, list[Doc]]
LANGUAGES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean",
    "ru": "russian", "sw": "swahili", "te": "telugu",
}  # fmt: skip


@dataclass(frozen=True)
class Benchmark:
    """`tasks`: lm-eval's names. `files`: what they are read from. `headline`: (task, metric) that stands for it."""

    folders: tuple[str, ...]  # of lm-eval's task definitions
    registered: str | list[str]  # lm-eval's name or names, for items from the Hub
    files: str
    headline: tuple[str, str]
    read: Callable[[Path], dict[str, Splits]]  # lm-eval's task: its splits
    pooled: bool = False  # the headline is the mean over all items of its tasks


@dataclass(frozen=True)
class LocalItems:
    """What lm-eval calls for a task's data: the splits, as `datasets` has them."""

    splits: Splits

    def __call__(self, **_: Any) -> Any:
        """The data set; lm-eval passes the task's metadata, which changes nothing here."""
        from datasets import Dataset, DatasetDict

        return DatasetDict({name: Dataset.from_list(docs) for name, docs in self.splits.items()})


def _lines(file: Path) -> list[Doc]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _mmlu(folder: Path) -> dict[str, Splits]:
    def docs(file: Path, subject: str) -> list[Doc]:
        return [
            {
                "question": row["question"],
                "subject": subject,
                "choices": [row[f"choice{i}"] for i in range(4)],
                "answer": int(row["answer"]),
            }
            for row in _table(file)
        ]

    found = {}
    for file in sorted((folder / "mmlu" / "test").glob("*_test.csv")):
        subject = file.name.removesuffix("_test.csv")
        dev = folder / "mmlu" / "dev" / f"{subject}_dev.csv"
        found[f"mmlu_{subject}"] = {"test": docs(file, subject), "dev": docs(dev, subject)}
    return found


def _truthfulqa(folder: Path) -> dict[str, Splits]:
    """The best answer against the incorrect ones (mc1), all correct against all incorrect ones (mc2)."""
    docs = []
    for row in _table(folder / "truthfulqa.csv"):
        best, right, wrong = row["Best Answer"], _parts(row["Correct Answers"]), _parts(row["Incorrect Answers"])
        one, many = [best, *wrong], [*right, *wrong]
        docs.append(
            {
                "question": row["Question"],
                "mc1_targets": {"choices": one, "labels": [1] + [0] * len(wrong)},
                "mc2_targets": {"choices": many, "labels": [1] * len(right) + [0] * len(wrong)},
            }
        )
    return {name: {"validation": docs} for name in ("truthfulqa_mc1", "truthfulqa_mc2")}


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _gsm8k(folder: Path) -> dict[str, Splits]:
    docs = _lines(folder / "gsm8k_test.jsonl")
    return {"gsm8k_cot": {"train": docs[:1], "test": docs}}  # the shots are in lm-eval's definition, not in `train`


def _bbh(folder: Path) -> dict[str, Splits]:
    found = {}
    for file in sorted((folder / "bbh").glob("*.json")):
        examples = json.loads(file.read_text(encoding="utf-8"))["examples"]
        found[f"bbh_cot_fewshot_{file.stem}"] = {"test": [{k: e[k] for k in ("input", "target")} for e in examples]}
    return found


def _tydiqa(folder: Path) -> dict[str, Splits]:
    """One task a language that has items; its shot comes from tydiqa_goldp_train.jsonl where that file is there."""
    files = sorted(file for file in folder.glob("tydiqa_goldp*.jsonl") if "train" not in file.name)
    train = folder / "tydiqa_goldp_train.jsonl"
    docs, shots = [doc for file in files for doc in _lines(file)], _lines(train) if train.is_file() else []
    found: dict[str, Splits] = {}
    for code, language in LANGUAGES.items():
        mine = [doc for doc in docs if doc["language"] == language]
        if mine:
            prompts = [doc for doc in shots if doc["language"] == language]
            found[f"tydiqa_goldp_{code}"] = {"validation": mine, "train": prompts or mine}
            if not prompts:
                found[f"tydiqa_goldp_{code}"]["no shots"] = []
    return found


BENCHMARKS: dict[str, Benchmark] = {
    "mmlu": Benchmark(("mmlu/default",), "mmlu", "mmlu/test/*_test.csv", ("mmlu", "acc"), _mmlu, True),
    "truthfulqa": Benchmark(
        ("truthfulqa",), ["truthfulqa_mc1", "truthfulqa_mc2"], "truthfulqa.csv", ("truthfulqa_mc2", "acc"), _truthfulqa
    ),
    "gsm8k": Benchmark(
        ("gsm8k",), "gsm8k_cot", "gsm8k_test.jsonl", ("gsm8k_cot", "exact_match,flexible-extract"), _gsm8k
    ),
    "bbh": Benchmark(
        ("bbh/cot_fewshot",), "bbh_cot_fewshot", "bbh/*.json", ("bbh", "exact_match,get-answer"), _bbh, True
    ),
    "tydiqa": Benchmark(("tydiqa",), "tydiqa_goldp", "tydiqa_goldp*.jsonl", ("tydiqa", "f1"), _tydiqa, True),
}  # fmt: skip
TYDIQA_SHOTS = 1  # the paper's setting, where there are rows to take the shot from


def task_root() -> Path:
    """The folder of lm-eval's definitions."""
    import lm_eval

    return Path(next(iter(lm_eval.__path__))) / "tasks"


def task_folders() -> list[str]:
    """Folders of lm-eval's definitions of the five: reading all 14,000 of its names would take 10 s."""
    return [str(task_root() / folder) for benchmark in BENCHMARKS.values() for folder in benchmark.folders]


def local_spec(name: str, folder: str | Path) -> dict[str, Any]:
    """What to ask lm-eval for: benchmark `name` with its items from `folder`. Raises InputError naming the file."""
    benchmark, folder = BENCHMARKS[name], Path(folder)
    if not list(folder.glob(benchmark.files)):
        raise InputError(f"benchmark {name}: {folder} holds no {benchmark.files}; give the folder that does")
    try:
        read = benchmark.read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"benchmark {name} in {folder}: {benchmark.files} can't be read as its items: "
            f"{type(error).__name__}: {error}"
        ) from error
    # Inside a group a registered name is taken with these keys put over its own; at the top it would be a new task.
    return {"group": f"{name}-local", "task": [_task(task, splits) for task, splits in read.items()]}


def _task(task: str, splits: Splits) -> dict[str, Any]:
    shots = {} if not task.startswith("tydiqa") else {"num_fewshot": 0 if "no shots" in splits else TYDIQA_SHOTS}
    docs = {name: values for name, values in splits.items() if name != "no shots"}
    return {"task": task, "dataset_path": "local", "dataset_name": None, "custom_dataset": LocalItems(docs), **shots}


def hub_spec(name: str) -> list[str]:
    """The names of lm-eval that benchmark `name` stands for, with items from the Hub."""
    registered = BENCHMARKS[name].registered
    return [registered] if isinstance(registered, str) else registered


def check_folder(folder: str) -> None:
    """ConfigError unless `folder` is a folder."""
    if not Path(folder).is_dir():
        raise ConfigError([f"benchmark_dir: {folder} is no folder"])


def parts_of(asked: Sequence[str], found: Sequence[str]) -> set[str]:
    """Those of the tasks `found` that belong to a benchmark of `asked` whose mean stands for them: MMLU's subjects."""
    pooled = [name for name in asked if name in BENCHMARKS and BENCHMARKS[name].pooled]
    starts = tuple(f"{BENCHMARKS[name].registered}_" for name in pooled)
    return {task for task in found if starts and task.startswith(starts)}
