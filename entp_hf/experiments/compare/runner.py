"""Run every arm: selection, fine-tuning, evaluation. Finished parts are read from disk, so a stopped run resumes."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import Dataset

from ...baselines.base import Picked, Pool
from ...baselines.registry import select
from ...baselines.select import target_rows
from ...errors import OutputError
from ...evaluation.results import Evaluation
from ...evaluation.suite import EvaluationSuite, measure
from ...execution.source_hash import source_hash
from ...execution.tables import set_aside
from ...io.manifest import installed_versions
from ...io.parquet import write_rows
from ...io.reader import read_rows
from ...training.data import load_rows
from ...training.sft import last_checkpoint, train
from .config import Arm, Experiment

logger = logging.getLogger(__name__)
OPEN = ("arms", "sizes", "seeds", "models", "reference", "data_dir")  # may change: they only say which runs there are


@dataclass(frozen=True)
class Run:
    """One cell of the experiment. The base model has no size and no seed: 0 and the first one."""

    arm: Arm
    size: int
    seed: int
    model: str

    @property
    def folder(self) -> str:
        """Its folder's name."""
        return "-".join([_plain(self.arm.name), str(self.size), f"seed{self.seed}", _plain(self.model.split("/")[-1])])


@dataclass(frozen=True)
class Outcome:
    """What a run gave: rows trained on, notes of the selection, training figures, and the evaluation."""

    run: Run
    rows: int
    notes: list[str]
    training: dict[str, Any]
    found: Evaluation
    seconds: dict[str, float]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)


def runs_of(experiment: Experiment) -> Iterator[Run]:
    """All runs, seed by seed, so that a first comparison of all arms is there early."""
    for model in experiment.models:
        for arm in experiment.arms:
            if not arm.trains:
                yield Run(arm, 0, experiment.seeds[0], model)
        for seed in experiment.seeds:
            for size in experiment.sizes:
                for arm in experiment.arms:
                    if arm.trains:
                        yield Run(arm, size, seed, model)


class Runner:
    """Runs an experiment in a folder. After a kill the same call goes on: rows, checkpoints and results are kept."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment, self.folder = experiment, folder
        self._pool: Pool | None = None

    def __call__(self) -> Iterator[list[Outcome]]:
        """Do what is not done yet; gives the outcomes so far after each run, so that a table can be drawn early."""
        self._claim()
        todo = list(runs_of(self.experiment))
        outcomes: list[Outcome] = []
        for number, run in enumerate(todo, 1):
            begun = time.perf_counter()
            outcomes.append(self.one(run))
            logger.info("%d of %d: %s, %.0f s", number, len(todo), run.folder, time.perf_counter() - begun)
            yield outcomes

    def _claim(self) -> None:
        """Write the experiment into the folder, or check that the folder is of the same experiment."""
        file = self.folder / "experiment.yaml"
        mine = yaml.safe_dump(self.experiment.to_dict(), sort_keys=False)
        if file.is_file():
            theirs = yaml.safe_load(file.read_text(encoding="utf-8"))
            wanted = yaml.safe_load(mine)
            if changed := [key for key in wanted if key not in OPEN and theirs.get(key) != wanted[key]]:
                raise OutputError(
                    f"{self.folder} holds another experiment: {', '.join(changed)} differ; name another "
                    "folder, or delete this one"
                )
            file.write_text(mine, encoding="utf-8")
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise OutputError(f"{self.folder} is not empty and holds no experiment.yaml; name a folder to be made")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(mine, encoding="utf-8")

    def one(self, run: Run) -> Outcome:
        """One run, or what it gave before."""
        folder = self.folder / "runs" / run.folder
        done = folder / "result.json"
        if done.is_file():
            values = json.loads(done.read_text(encoding="utf-8"))
            if values["run"]["arm"] != dataclasses.asdict(run.arm):
                raise OutputError(f"{folder} is of another arm called {run.arm.name}; rename this one, or delete that")
            return Outcome(
                run,
                values["rows"],
                values["notes"],
                values["training"],
                Evaluation(**values["found"]),
                values["seconds"],
            )
        folder.mkdir(parents=True, exist_ok=True)
        seconds, begun = {}, time.perf_counter()
        rows, notes = self._rows(run, folder) if run.arm.trains else (None, [])
        seconds["select"], begun = round(time.perf_counter() - begun, 1), time.perf_counter()
        training, model = self._train(run, rows, folder) if rows is not None else ({}, None)
        seconds["train"], begun = round(time.perf_counter() - begun, 1), time.perf_counter()
        found = self._evaluate(run, folder, model)
        seconds["evaluate"] = round(time.perf_counter() - begun, 1)
        outcome = Outcome(run, len(rows) if rows is not None else 0, notes, training, found, seconds)
        facts = {
            "run": dataclasses.asdict(run),
            "rows": outcome.rows,
            "notes": notes,
            "training": training,
            "found": dataclasses.asdict(found),
            "seconds": seconds,
            "versions": installed_versions(),
            "source_hash": source_hash(),
        }
        _write(done, json.dumps(facts, indent=1))
        return outcome

    def _rows(self, run: Run, folder: Path) -> tuple[Dataset, list[str]]:
        """The arm's rows, from the folder where they were chosen already."""
        file, told = folder / "rows.parquet", folder / "notes.json"
        if not file.is_file():
            rows, notes = self._chosen(run)
            part = folder / "rows.part.parquet"
            write_rows(rows, part)
            _write(told, json.dumps(notes))
            part.replace(file)
        return load_rows(str(file)), json.loads(told.read_text(encoding="utf-8"))

    def _chosen(self, run: Run) -> tuple[Dataset, list[str]]:
        experiment, arm = self.experiment, run.arm
        if arm.rows:
            rows, _ = read_rows(
                experiment.place(arm.rows),
                experiment.entp_config(seed=run.seed, raters=[], limit=0, rating_columns=[], columns=[], pool="all"),
            )
            rows, _ = set_aside(rows)
            order = np.random.default_rng(run.seed).permutation(len(rows))[: run.size]
            few = [f"{arm.rows} has {len(rows):,} rows, {run.size:,} were asked for"] * (len(rows) < run.size)
            return rows.select(order), few
        if arm.entp is not None:
            from ...pipeline.run import run as run_pipeline

            # Not the run's seed: it would draw another sample of the pool, where `limit` asks for one.
            settings = {"target_size": run.size, **arm.entp}
            made = run_pipeline(
                [experiment.place(name) for name in experiment.pool], experiment.entp_config(**settings)
            )
            origins = made.manifest["dataset"]["by_origin"]
            return made.kept, [f"rows by origin: {origins}", *made.manifest["warnings"]]
        picked = self._select(run)
        return self.pool.rows.select(picked.index), picked.notes

    def _select(self, run: Run) -> Picked:
        self.pool.config = dataclasses.replace(self.pool.config, seed=run.seed, model=run.model)
        return select(self.pool, run.arm.method, run.size, run.arm.settings)

    @property
    def pool(self) -> Pool:
        """The pool of all selections: ratings, corrected scores and embeddings are computed once."""
        if self._pool is None:
            config = self.experiment.entp_config()
            rows, _ = read_rows([self.experiment.place(name) for name in self.experiment.pool], config)
            target = target_rows(self.experiment.place(self.experiment.target))
            self._pool = Pool(set_aside(rows)[0], config, target)
        return self._pool

    def _train(self, run: Run, rows: Dataset, folder: Path) -> tuple[dict[str, Any], Any]:
        """Training figures, and the trained model where it was trained just now."""
        from ...trainer_callbacks.keep_model import KeepModel

        record = folder / "adapter" / "training.json"
        if record.is_file():
            return _figures(json.loads(record.read_text(encoding="utf-8"))), None
        begun = last_checkpoint(folder / "adapter") is not None
        keep = KeepModel()
        options = self.experiment.options(
            model=run.model,
            output_dir=str(folder / "adapter"),
            seed=run.seed,
            resume=begun,
            overwrite=not begun,
            cache_dir=self.experiment.data.get("cache_dir", ""),
        )
        figures = train(options, rows, [keep])
        for checkpoint in (folder / "adapter").glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        return _figures(figures), keep.model

    def _evaluate(self, run: Run, folder: Path, model: Any) -> Evaluation:
        experiment = self.experiment
        what = EvaluationSuite(
            tasks=experiment.tasks,
            limit=experiment.limit or None,
            benchmark_dir=experiment.place(experiment.benchmark_dir),
            batch_size=experiment.eval_batch_size,
            device=experiment.recipe.get("device", "auto"),
            cache_dir=experiment.data.get("cache_dir", ""),
            heldout=experiment.place(experiment.heldout),
            num_fewshot=dict(experiment.num_fewshot),
            limits=dict(experiment.limits),
            gen_kwargs=experiment.gen_kwargs or None,
        )
        if model is not None:
            from ...models.loading import load_tokenizer, resolve

            config = experiment.entp_config()
            tokenizer = load_tokenizer(resolve(run.model, str(config.cache_path())))
            return measure(model, None, what, tokenizer)
        if experiment.recipe.get("full") and run.arm.trains:
            return measure(str(folder / "adapter"), None, what)
        return measure(run.model, str(folder / "adapter") if run.arm.trains else None, what)


def _figures(training: dict[str, Any]) -> dict[str, Any]:
    names = ("rows", "rows_too_long", "rows_unusable", "steps", "loss_first", "loss_last", "seconds")
    return {name: training[name] for name in names}


def _write(file: Path, text: str) -> None:
    """The whole file or none of it."""
    part = file.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(file)
