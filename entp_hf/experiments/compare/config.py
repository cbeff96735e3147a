"""An experiment file: pool, arms, sizes, seeds, models, recipe and benchmarks, from a YAML file."""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...baselines.registry import SELECTORS, method_of
from ...config import SMOLLM2, EntpConfig
from ...errors import ConfigError
from ...evaluation.suite import HELDOUT
from ...evaluation.tasks import known_tasks, slips
from ...training.options import SFTOptions

SHIPPED = importlib.resources.files("entp_hf.experiments.compare.configs")
OURS = ("dataset", "output_dir", "overwrite", "model", "seed", "resume", "cache_dir")  # set by each run


@dataclass(frozen=True)
class Arm:
    """One source of rows: a selection `method`, the pipeline with the settings `entp`, or a ready file of `rows`."""

    name: str
    method: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    entp: dict[str, Any] | None = None
    rows: str = ""

    @property
    def trains(self) -> bool:
        """False for the base model."""
        return self.method != "base"


@dataclass(frozen=True)
class Experiment:
    """An experiment. Relative file names are looked for in `data_dir`; every arm is compared with `reference`."""

    pool: list[str] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)  # settings of EntpConfig for every arm
    sizes: list[int] = field(default_factory=lambda: [10_000])
    seeds: list[int] = field(default_factory=lambda: [0])
    models: list[str] = field(default_factory=lambda: [SMOLLM2])
    recipe: dict[str, Any] = field(default_factory=dict)  # fields of SFTOptions
    tasks: list[str] = field(default_factory=lambda: [HELDOUT, "entp_quiz"])
    limit: int = 0
    limits: dict[str, int] = field(default_factory=dict)
    gen_kwargs: str = ""
    num_fewshot: dict[str, int] = field(default_factory=dict)
    eval_batch_size: int = 8
    benchmark_dir: str = ""
    heldout: str = ""
    target: str = ""
    reference: str = "random"
    data_dir: str = "."

    def place(self, name: str) -> str:
        """A file of `data_dir`, or the name itself where there is none: a path, or a Hub id."""
        inside = Path(self.data_dir) / name
        return str(inside) if name and inside.exists() else name

    def entp_config(self, **over: Any) -> EntpConfig:
        """The settings of every arm with `over` put over them."""
        return EntpConfig.from_dict({**self.data, **over})

    def options(self, **over: Any) -> SFTOptions:
        """The recipe with `over` put over it."""
        return SFTOptions(**{**self.recipe, **over})

    def problems(self) -> list[str]:
        """Everything that is wrong, in words."""
        found = [
            f"{name}: none given"
            for name in ("pool", "arms", "sizes", "seeds", "models", "tasks")
            if not getattr(self, name)
        ]
        names = [arm.name for arm in self.arms]
        found += [f"arms: {name!r} comes twice" for name in sorted({n for n in names if names.count(n) > 1})]
        if names and self.reference not in names:
            found.append(f"reference: {self.reference!r} is none of the arms {', '.join(names)}")
        found += [f"sizes: {size} is out of range; it must be at least 1" for size in self.sizes if size < 1]
        for arm in self.arms:
            found += [f"arm {arm.name}: {problem}" for problem in self._arm_problems(arm)]
        found += _problems_of(lambda: self.entp_config(), "data: ")
        fields = {f.name for f in dataclasses.fields(SFTOptions)}
        found += [
            f"recipe: {name}: {'each run sets it itself' if name in fields else 'no such setting'}"
            for name in self.recipe
            if name in OURS or name not in fields
        ]
        if not any(problem.startswith("recipe") for problem in found):
            found += [f"recipe: {problem}" for problem in self.options().problems()]
        for name in {*self.limits, *self.num_fewshot} - {*self.tasks}:
            found.append(f"limits, num_fewshot: {name!r} is not among the tasks {', '.join(self.tasks)}")
        for task, near in slips(self.tasks, [HELDOUT, *known_tasks()]).items():
            found.append(f"tasks: no task is called {task!r}; did you mean {near[0]}?")
        return found

    def _arm_problems(self, arm: Arm) -> list[str]:
        given = [name for name in ("method", "rows") if getattr(arm, name)] + ["entp"] * (arm.entp is not None)
        if len(given) != 1:
            return [f"give one of method, entp, rows; it has {', '.join(given) or 'none'}"]
        if arm.method:
            return _problems_of(lambda: method_of(arm.method))
        if arm.rows:
            missing = not Path(self.place(arm.rows)).exists() and "." in Path(arm.rows).name
            return [f"rows: {arm.rows} is not in data_dir {self.data_dir}"] * missing
        return _problems_of(lambda: self.entp_config(**(arm.entp or {})))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and for telling two experiments apart."""
        return dataclasses.asdict(self)


def _problems_of(make: Any, before: str = "") -> list[str]:
    try:
        make()
    except ConfigError as error:
        return [before + problem for problem in error.problems]
    return []


def load_experiment(source: str, over: Mapping[str, Any] | None = None) -> Experiment:
    """An experiment from a YAML file, or a shipped one by name (cpu, small, paper), with `over` put over its values.

    Raises ConfigError with all problems at once.
    """
    shipped = sorted(file.name.removesuffix(".yaml") for file in SHIPPED.iterdir() if file.name.endswith(".yaml"))
    name = source.removesuffix(".yaml")
    file: Any = Path(source)
    if not file.is_file():
        if name not in shipped:
            raise ConfigError([f"config: {source} is no file, and none of the shipped {', '.join(shipped)}"])
        file = SHIPPED / f"{name}.yaml"
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"config {source}: {error}"]) from error
    if not isinstance(values, dict):
        raise ConfigError([f"config {source}: holds {type(values).__name__}, not keys and values"])
    return _built({**values, **(over or {})})


def _built(values: dict[str, Any]) -> Experiment:
    known = {f.name: f for f in dataclasses.fields(Experiment)}
    problems = [f"{key}: no such key; known are {', '.join(known)}" for key in values if key not in known]
    kept = {key: value for key, value in values.items() if key in known}
    arms, wrong = _arms(kept.get("arms") or [])
    problems += wrong
    for key, value in kept.items():
        kind = str(known[key].type).split("[")[0]
        fits = {"list": list, "dict": dict, "str": str, "int": int}[kind]
        if not isinstance(value, fits):
            problems.append(f"{key}: {value!r} is no {fits.__name__}")
    if problems:
        raise ConfigError(problems)
    experiment = Experiment(**{**kept, "arms": arms})
    if found := experiment.problems():
        raise ConfigError(found)
    return experiment


def _arms(given: Sequence[Any]) -> tuple[list[Arm], list[str]]:
    arms, problems = [], []
    fields = [f.name for f in dataclasses.fields(Arm)]
    for entry in given:
        values = {"name": entry, "method": entry} if isinstance(entry, str) else entry
        if not isinstance(values, dict) or "name" not in values:
            problems.append(f"arms: {entry!r} is neither a method ({', '.join(SELECTORS)}) nor a mapping with a name")
        elif unknown := [key for key in values if key not in fields]:
            problems.append(f"arms: {values['name']}: no such key {', '.join(unknown)}; known are {', '.join(fields)}")
        else:
            arms.append(Arm(**values))
    return arms, problems
