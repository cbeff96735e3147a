"""Fifty runs in one process, and what they leave behind: python benchmarks/soak.py --runs 50 --json

The demo's own pool with ratings made up by a seed, the real embedder, a real chat server on 127.0.0.1 that merges what
it is asked to (asked in the first run; later runs have its replies from the cache), the gate, compositions, every
output file. After each run: memory (resident, after a garbage
collection and malloc_trim), open files, threads, child processes, listening ports, files left in the system's
temporary folder. `grown` compares the last run with the fifth.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
os.environ.pop("HF_HUB_OFFLINE", None)  # with it huggingface_hub calls no server, not even one on this machine


def rated_pool(path: Path) -> str:
    from entp_hf.data import pool_files

    rng = np.random.default_rng(0)
    rows = [json.loads(line) for line in Path(pool_files()[0]).read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["rating"] = int((4 if row["quality"] == "good" else 1) + rng.integers(-1, 2))
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def children() -> int:
    tasks = Path("/proc/self/task").glob("*/children")
    return sum(len(task.read_text().split()) for task in tasks)


def listening() -> int:
    """Ports that this process listens on."""
    mine = {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    found = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            found += fields[3] == "0A" and f"socket:[{fields[9]}]" in mine
    return found


def state(temporary: Path) -> dict[str, int]:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    return {
        "mb": round(int(status.partition("VmRSS:")[2].split()[0]) / 1024),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "processes": children(),
        "ports": listening(),
        "temporary": len(list(temporary.iterdir())),
    }


def soak(runs: int, folder: Path) -> dict[str, Any]:
    from datasets import disable_progress_bars
    from merging_server import MergingServer

    from entp_hf import EntpConfig, run

    disable_progress_bars()
    temporary = folder / "tmp"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    source = rated_pool(folder / "pool.jsonl")
    states, begun = [], time.perf_counter()
    with MergingServer(share=0.0) as server:
        config = EntpConfig.from_dict(
            {
                "raters": ["column"],
                "rating_columns": ["rating"],
                "target_size": 40,
                "max_groups": 12,
                "retries": 1,
                "emit_preference": True,
                "endpoint": server.url,
                "model": "merging",
                "cache_dir": str(folder / "cache"),
            }
        )
        for number in range(runs):
            run(source, config).save(folder / "out", overwrite=number > 0)
            server.calls.clear()  # the server is in this process too, and remembers what it was asked
            states.append(state(temporary))
            print(f"run {number + 1}: {states[-1]}", file=sys.stderr)
    fifth, last = states[min(4, runs - 1)], states[-1]
    return {
        "runs": runs,
        "seconds": round(time.perf_counter() - begun, 1),
        "first": states[0],
        "fifth": fifth,
        "last": last,
        "grown": {
            key: round(last[key] / fifth[key] - 1, 4) if key == "mb" else last[key] - fifth[key] for key in last
        },
        "mb": [one["mb"] for one in states],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="entp-soak-") as place:
        result = soak(args.runs, Path(place))
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))
