"""Purge a pool of many files file by file, for pools larger than one machine's memory.

Duplicates are found across all files, from the rows' hashes alone, so that the same rows stay as if the files were one
pool. This process holds hashes and ids, about half a kilobyte a row that is not dropped.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from ..config import EntpConfig
from ..errors import InputError
from ..execution.progress import Bar
from ..execution.ray_engine import RayEngine, Work
from ..execution.tables import spooled
from ..io.manifest import Manifest
from ..io.paths import find_files, is_remote
from ..io.remote import find_remote
from ..rules.selection import dataset_rules_off
from ..schema import Finding
from .contamination.index import Contamination
from .dataset_rules import CORPUS
from .duplicates.search import View, duplicates_in, new_findings, prompts_in
from .ngrams import Hashes
from .report import EXAMPLES, share_warnings
from .sharded_tasks import SHINGLES, SKETCHED, SPLIT, SUMMED, TASK, Folder, Mark, Shingles, Split


def purge_files(inputs: Sequence[str], output: str, config: EntpConfig, overwrite: bool = False) -> dict[str, Any]:
    """Purge every file of `inputs` (files, folders, globs, URLs) into `output`; returns the manifest.

    Each input file becomes one in `output`/data and one in `output`/dropped, in the order given; manifest.json comes
    last. The rows that stay, and why the others go, are as if the files had been one pool, but for the rules over the
    corpus, which are not run (a warning says so); ids are unique within a file only. Raises InputError, OutputError.
    """
    if config.limit:
        raise InputError("limit: a sample of all files can't be drawn file by file; set it to 0, or name fewer files")
    if named := sorted(set(CORPUS) & set(config.purge_rules)):
        raise InputError(f"purge_rules: {', '.join(named)} must see all rows at once; leave out --by-file")
    files = [str(file) for item in inputs for file in (find_remote(item) if is_remote(item) else find_files(item))]
    if not files:
        raise InputError(f"{', '.join(inputs)}: no such file or folder")
    folder, manifest, ray = Folder(output), Manifest.start(config.to_dict()), RayEngine.from_config(config)
    folder.prepare(overwrite)
    alone = replace(config, engine="local", num_proc=1, ray_address="", ray_workers=0, ray_gpus=0.0)
    pool = _Pool(folder, len(files), ray)
    with manifest.stage("purge", 0) as stage:
        near = None if "near_duplicate" in pool.off(config) else config.near_duplicate
        work = Mark(folder, len(files), alone, Contamination.from_config(config), near)
        report = pool.take(work, files)
        stage["rows_in"] = stage["rows_out"] = report["rows_in"]
    with manifest.stage("duplicates", pool.count):
        new = pool.duplicates(config, near, report)
    with manifest.stage("split", pool.count) as stage:
        sums = pool.split(new)
        report["rows_out"] = stage["rows_out"] = sums["kept"]
    report["warnings"] = share_warnings(report["rules"], report["rows_in"], config.purge_warn_share)
    if skipped := sorted(set(CORPUS) - set(pool.off(config))):
        report["warnings"].append(f"{', '.join(skipped)}: not run, for it must see all rows at once")
    manifest |= {"input": pool.input, "purge": report, "warnings": report["warnings"]}
    manifest["dataset"] = {"rows": sums["kept"], "dropped": sums["dropped"]}
    folder.finish(manifest)
    return manifest


class _Pool:
    """All files as one pool: the place of a row is its file's `begin` and its place there."""

    def __init__(self, folder: Folder, files: int, ray: RayEngine | None) -> None:
        self.folder, self.files, self.ray = folder, files, ray
        self.input: dict[str, Any] = {"files": [], "rows": 0, "marked": {}}
        self.table = pa.Table.from_pylist([], SKETCHED)
        self.begin = np.zeros(files + 1, np.int64)

    @property
    def count(self) -> int:
        return len(self.table)

    def off(self, config: EntpConfig) -> Collection[str]:
        return dataset_rules_off(config.purge_rules, config.purge_off)

    def take(self, work: Mark, files: Sequence[str]) -> dict[str, Any]:
        """The first pass; returns the manifest's `purge` so far."""
        tasks = [{"name": name, "number": number} for number, name in enumerate(files)]
        self.table = spooled(self._run(work, tasks, SKETCHED, "purge"), SKETCHED)
        numbers = self.table["number"].to_numpy()
        self.begin = np.searchsorted(numbers, np.arange(self.files + 1))
        found = [json.loads(text) for text in self.table["figures"].to_pylist() if text]
        marks: Counter[str] = Counter()
        more: dict[str, Any] = {}
        for one in found:
            marks.update(one["marked"])
            for name in SUMMED:
                if name in one:
                    more[name] = _together(more.get(name), one[name])
        self.input = {
            "files": [one["file"] for one in found],
            "rows": self.count,
            "marked": dict(sorted(marks.items())),
            **more,
        }
        return _summed([one["purge"] for one in found])

    def duplicates(self, config: EntpConfig, near: float | None, report: dict[str, Any]) -> dict[int, list[Finding]]:
        """New findings by place in the pool; duplicates are counted in `report`."""
        sketched = ((row, row["score"]) for part in self.table.to_batches(4096) for row in part.to_pylist())
        view = View(self.count, sketched, near, self._sets)
        off = self.off(config)
        found = duplicates_in(view, None, config.near_duplicate, 1, off, {})
        prompts = {} if "same_prompt" in off else prompts_in(view, found)
        done = [*((hit.rule, "dropped") for hit in found.values()), *[("same_prompt", "flagged")] * len(prompts)]
        for rule, action in done:
            report["rules"][rule]["found"] += 1
            report["rules"][rule][action] += 1
        return new_findings(found, prompts, _Ids(self.table["id"]))

    def split(self, new: Mapping[int, list[Finding]]) -> dict[str, int]:
        """The second pass, which writes the results; returns rows kept and dropped."""
        tasks = [{"number": n, "more": pickle.dumps(some)} for n, some in enumerate(self._by_file(new))]
        sums = list(self._run(Split(self.folder, self.files), tasks, SPLIT, "split"))
        return {name: sum(sum(table[name].to_pylist()) for table in sums) for name in SPLIT.names}

    def _sets(self, wanted: Collection[int]) -> dict[int, Hashes]:
        parts = self._by_file(dict.fromkeys(sorted(wanted)))
        tasks = [{"number": n, "more": pickle.dumps(set(some))} for n, some in enumerate(parts) if some]
        found: dict[int, Hashes] = {}
        for table in self._run(Shingles(self.folder, self.files), tasks, SHINGLES, "compare"):
            for row in table.to_pylist():
                found[int(self.begin[row["number"]]) + row["row"]] = np.frombuffer(row["grams"], np.uint64)
        return found

    def _by_file(self, values: Mapping[int, Any]) -> list[dict[int, Any]]:
        """Values by place in the pool, as values by place in each file."""
        parts: list[dict[int, Any]] = [{} for _ in range(self.files)]
        for index, value in values.items():
            number = int(np.searchsorted(self.begin, index, "right")) - 1
            parts[number][index - int(self.begin[number])] = value
        return parts

    def _run(self, work: Work, tasks: Sequence[dict[str, Any]], schema: pa.Schema, desc: str) -> Iterator[pa.Table]:
        """The work on every file, in order, a file a worker."""
        tables = [pa.Table.from_pylist([task], TASK) for task in tasks]
        with Bar(len(tasks), desc, "files") as bar:
            if self.ray is not None:
                done = self.ray.run(work, tables, schema)
            else:
                done = (pa.Table.from_pydict(work(table.to_pydict()), schema) for table in tables)
            for table in done:
                bar.update()
                yield table


class _Ids(Sequence[str]):
    """A column of ids, read from disk one at a time."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.column = column

    def __getitem__(self, index: Any) -> Any:
        return self.column[index].as_py()

    def __len__(self) -> int:
        return len(self.column)


def _summed(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Reports of the files as one: counts added up, the first examples."""
    rules: dict[str, dict[str, float]] = {}
    examples: dict[str, list[Any]] = {}
    for report in reports:
        for name, counts in report["rules"].items():
            known = rules.setdefault(name, dict.fromkeys(counts, 0))
            rules[name] = {key: round(known[key] + value, 4) for key, value in counts.items()}
        for name, some in report["examples"].items():
            examples[name] = [*examples.get(name, []), *some][:EXAMPLES]
    return {"rows_in": sum(r["rows_in"] for r in reports), "rules": rules, "examples": examples}


def _together(sum_: Any, more: Any) -> Any:
    """Figures of several files as one: counts and lists are added up, counts by name one by one."""
    if sum_ is None:
        return more
    return dict(Counter(sum_) + Counter(more)) if isinstance(more, dict) else sum_ + more
