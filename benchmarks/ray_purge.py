"""The purge on Ray against local processes: python benchmarks/ray_purge.py [FILE] --rows 100000 --workers 2 --json

FILE as in purge.py. Both get the same rows and as many workers. `startup_seconds` is what Ray takes to start; the
first run on it, in which workers import everything, is `first_seconds`; `ray_seconds` is a later run, its workers
started anew. `apart` counts rows that differ, in any column.
"""

import argparse
import importlib.metadata
import json
import time

from datasets import Dataset, disable_progress_bars
from purge import peak_mb, rows_to_purge

from entp_hf.purge import Purge
from entp_hf.ray_host import BLOCK, RayHost
from entp_hf.stage import apply
from entp_hf.threads import cpu_count


def timed(rows: Dataset, **place) -> tuple[float, Dataset]:
    begun = time.perf_counter()
    after = apply(rows, Purge(), "purge", **place)
    return round(time.perf_counter() - begun, 2), after


def apart(one: Dataset, other: Dataset) -> int:
    """Rows that differ."""
    pairs = zip(one.with_format("arrow").iter(5000), other.with_format("arrow").iter(5000), strict=True)
    return sum(a != b for x, y in pairs for a, b in zip(x.to_pylist(), y.to_pylist(), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    disable_progress_bars()
    data = rows_to_purge(arguments.file, arguments.rows)
    host = RayHost(workers=arguments.workers)
    begun = time.perf_counter()
    host.connect()
    startup = round(time.perf_counter() - begun, 2)
    first, _ = timed(data.select(range(min(len(data), BLOCK * arguments.workers))), ray=host)
    local, here = timed(data, num_proc=arguments.workers)
    on_ray, there = timed(data, ray=host)
    found = {
        "rows": len(data), "workers": arguments.workers, "cpus": cpu_count(), "startup_seconds": startup,
        "first_seconds": first, "local_seconds": local, "ray_seconds": on_ray, "ratio": round(on_ray / local, 3),
        "rows_per_second": {"local": round(len(data) / local), "ray": round(len(data) / on_ray)},
        "apart": apart(here, there), "peak_mb_of_driver": peak_mb(), "ray": importlib.metadata.version("ray"),
    }  # fmt: skip
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))
