"""Time and memory of a whole run without LLM calls, by size: python benchmarks/end_to_end.py --rows 10000,30000 --json

Each size runs in a fresh process: ratings from columns, seeded synthetic embeddings, compositions (mosaic) in place of
fusions, and all output files. Texts and ratings: see repeated.py. `peak_mb` is the process's largest resident set, the
pages of mapped files included, which the system takes back when it needs them; `own_mb` is the part that it can't.
`time_exponent`: slope of log seconds over log rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from repeated import RATINGS, write

SETTINGS = {"raters": ["column"], "rating_columns": RATINGS, "embedder": "repeated:embed", "fuser": "mosaic"}
SHARE = 30  # rows that come in for each row of the dataset, as 300,000 for the paper's 10,000


class Watch:
    """The largest memory of this process that is not a file's, looked at 20 times a second; and of each stage."""

    def __init__(self) -> None:
        self.stage, self.stages, self.peak = "start", {}, 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            text = Path("/proc/self/status").read_text()
            own = int(text.partition("RssAnon:")[2].split()[0]) / 1024
            self.stages[self.stage] = max(self.stages.get(self.stage, 0), round(own))
            self.peak = max(self.peak, own)
            time.sleep(0.05)

    def __call__(self, progress: Any) -> None:
        self.stage = progress.stage


def one(path: str, rows: int, num_proc: int) -> dict[str, Any]:
    from datasets import disable_progress_bars

    from entp_hf import EntpConfig, run
    from entp_hf.execution.progress import listening

    disable_progress_bars()
    config = EntpConfig.from_dict(SETTINGS | {"target_size": max(30, rows // SHARE), "num_proc": num_proc})
    watch = Watch()
    begun = time.perf_counter()
    with listening(watch), tempfile.TemporaryDirectory() as folder:
        result = run(path, config)
        ran = time.perf_counter() - begun
        watch.stage = "write"
        result.save(Path(folder) / "out")
    seconds = time.perf_counter() - begun
    stages = {entry["name"]: entry["seconds"] for entry in result.manifest["stages"]}
    between = ran - sum(stages.values())
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "own_mb": round(watch.peak),
        "stages": stages | {"between": round(between, 2), "write": round(seconds - ran, 2)},
        "own_mb_by_stage": watch.stages,
        "purge": {
            name: rule["seconds"]
            for name, rule in result.manifest["purge"]["rules"].items()
            if rule["seconds"] > seconds / 50
        },
        "neighbour_recall": result.manifest["correction"]["neighbour_recall"],
        "pool": result.manifest["pool"]["rows"],
        "kept": len(result.kept),
        "dropped_by": result.manifest["dataset"]["dropped_by"],
        "versions": result.manifest["versions"],
        "cpus": result.manifest["cpus"],
    }


def exponent(found: list[dict[str, Any]], figure: str) -> float | None:
    """Slope of the figure's logarithm over that of the rows; None for one size."""
    if len(found) < 2:
        return None
    return round(float(np.polyfit(np.log([f["rows"] for f in found]), np.log([f[figure] for f in found]), 1)[0]), 3)


def all_sizes(sizes: list[int], num_proc: int) -> dict[str, Any]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path = Path(folder) / "rows.parquet"
            write(rows, path)
            command = [sys.executable, __file__, "--one", str(path), "--rows", str(rows), "--num-proc", str(num_proc)]
            calm = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ  # threads that wait don't spin: other work goes on
            done = subprocess.run(command, capture_output=True, text=True, env=calm)
            if done.returncode:
                raise SystemExit(done.stderr)
            found.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{rows} rows: {found[-1]['seconds']} s, {found[-1]['peak_mb']} MB", file=sys.stderr)
    common = {key: found[-1].pop(key) for key in ("versions", "cpus")}
    sizes_alone = [{key: value for key, value in f.items() if key not in common} for f in found]
    exponents = {
        f"{name}_exponent": exponent(found, key)
        for name, key in (("time", "seconds"), ("memory", "peak_mb"), ("own_memory", "own_mb"))
    }
    return {**exponents, "sizes": sizes_alone, **common}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,30000", help="sizes, parted by commas")
    parser.add_argument("--num-proc", type=int, default=1, help="processes for the purge")
    parser.add_argument("--one", default="", metavar="FILE", help="run one size in this process, on this file")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    sizes = [int(text) for text in arguments.rows.split(",")]
    if arguments.one:
        print(json.dumps(one(arguments.one, sizes[0], arguments.num_proc)))
    else:
        found = all_sizes(sizes, arguments.num_proc)
        print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))
