"""The purge on Ray against local processes: python benchmarks/ray_purge.py [FILE] --rows 100000 --workers 2 --json

FILE as in purge.py. Both get the same rows and as many workers. `startup_seconds` is what Ray takes to start; the
first run on it, in which workers import everything, is `first_seconds`; `ray_seconds` is a later run. `cpu_seconds`
are of all processes, which a busy machine changes less. `apart` counts rows that differ, in any column. `by_file` is
the whole of `entp purge --by-file` on Ray.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from datasets import Dataset, disable_progress_bars
from purge import peak_mb, rows_to_purge

from entp_hf import EntpConfig
from entp_hf.execution.ray_engine import BLOCK, RayEngine
from entp_hf.execution.stage import apply
from entp_hf.execution.threads import cpu_count
from entp_hf.io.parquet import write_rows
from entp_hf.purge import Purge
from entp_hf.purge.sharded import purge_files


def cpu_seconds() -> float:
    """Of this process and all that it started, those that ended included."""
    alive = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(os.times()[:4]) + sum(times.user + times.system for times in alive)


def timed(rows: Dataset, **place) -> tuple[tuple[float, float], Dataset]:
    begun, used = time.perf_counter(), cpu_seconds()
    after = apply(rows, Purge(), "purge", **place)
    seconds, used = round(time.perf_counter() - begun, 2), round(cpu_seconds() - used, 2)
    print(f"{len(rows)} rows: {seconds} s, {used} CPU seconds {place}", file=sys.stderr)
    return (seconds, used), after


def by_file(rows: Dataset, workers: int, files: int = 8) -> dict:
    """Seconds of `entp purge --by-file` on Ray, files read and written: both passes, and the comparing between."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            part = rows.shard(files, number, contiguous=True)
            write_rows(part.select_columns(["messages"]), Path(folder, "pool", f"{number}.parquet"))
        config = EntpConfig(engine="ray", ray_workers=workers)
        made = purge_files([f"{folder}/pool"], f"{folder}/out", config)
    seconds = {stage["name"]: stage["seconds"] for stage in made["stages"]}
    return {
        "rows": len(rows),
        "files": files,
        "seconds": seconds,
        "kept": made["dataset"]["rows"],
        "rows_per_second": round(len(rows) / (seconds["purge"] + seconds["split"])),
        "compared_per_second": round(len(rows) / seconds["duplicates"]),
    }


def apart(one: Dataset, other: Dataset) -> int:
    """Rows that differ."""
    pairs = zip(one.with_format("arrow").iter(5000), other.with_format("arrow").iter(5000), strict=True)
    different = [(x, y) for x, y in pairs if not x.equals(y)]
    return sum(a != b for x, y in different for a, b in zip(x.to_pylist(), y.to_pylist(), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--by-file", type=int, default=20_000, help="rows for the purge by file")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    disable_progress_bars()
    data = rows_to_purge(arguments.file, arguments.rows)
    host = RayEngine(workers=arguments.workers)
    (local, local_cpu), here = timed(
        data, num_proc=arguments.workers
    )  # first, for a process with Ray in it is better not forked
    begun = time.perf_counter()
    host.connect()
    startup = round(time.perf_counter() - begun, 2)
    (first, _), _ = timed(data.select(range(min(len(data), BLOCK * arguments.workers))), ray=host)
    (on_ray, ray_cpu), there = timed(data, ray=host)
    found = {
        "rows": len(data),
        "workers": arguments.workers,
        "cpus": cpu_count(),
        "startup_seconds": startup,
        "first_seconds": first,
        "local_seconds": local,
        "ray_seconds": on_ray,
        "ratio": round(on_ray / local, 3),
        "cpu_seconds": {"local": local_cpu, "ray": ray_cpu, "ratio": round(ray_cpu / local_cpu, 3)},
        "rows_per_second": {"local": round(len(data) / local), "ray": round(len(data) / on_ray)},
        "apart": apart(here, there),
        "by_file": by_file(data.select(range(min(len(data), arguments.by_file))), arguments.workers),
        "peak_mb_of_driver": peak_mb(),
        "ray": importlib.metadata.version("ray"),
    }
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))
