"""Speed of the purge: python benchmarks/purge.py [FILE] --rows 40000 --json

FILE is Parquet or JSONL in any input form; by default Alpaca rows beside the project, or else the shipped pool, over
and over. Row rules run in this process, so their rate is that of one core. With --peer PYTHON the same texts go
through data-juicer's nearest operators in that environment (see purge_peer.py), and both are compared per rule-row.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import Dataset, concatenate_datasets, disable_progress_bars, load_dataset

from entp_hf import EntpConfig
from entp_hf.data import pool_files
from entp_hf.execution.stage import apply
from entp_hf.io.reader import read_rows
from entp_hf.purge import Contamination, Purge, mark_duplicates
from entp_hf.schema import FEATURES, text_of

ROOT = Path(__file__).resolve().parents[1].parent / "shared" / "data"
ALPACA, TESTS = ROOT / "alpaca_rated_40k.parquet", ROOT / "benchmarks"


def rows_to_purge(path: str, count: int) -> Dataset:
    source = path or (str(ALPACA) if ALPACA.exists() else pool_files()[0])
    rows, _ = read_rows(source, EntpConfig())
    times, rest = divmod(count, len(rows))  # as a pool lies on disk; rows picked one by one are slow to read
    return concatenate_datasets([*[rows] * times, rows.select(range(rest))])


def peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage gives a child its parent's peak
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def row_rules(rows: Dataset) -> dict:
    purge = Purge()
    apply(rows.select(range(min(256, len(rows)))), purge, "warm up")
    wall, used, before = time.perf_counter(), 0.0, peak_mb()
    for start in range(0, len(rows), 1000):
        batch = rows[start : start + 1000]
        begun = time.process_time()
        purge(batch)
        used += time.process_time() - begun
    return {
        "rows": len(rows),
        "rules": len(purge.names()),
        "seconds": round(used, 3),
        "rows_per_second_per_core": round(len(rows) / used),
        "wall_seconds": round(time.perf_counter() - wall, 3),
        "grown_mb": round(peak_mb() - before, 1),
    }


def whole_dataset(rows: Dataset) -> dict:
    after = apply(rows, Purge(), "purge", num_proc=2)
    begun = time.perf_counter()
    marked = mark_duplicates(after, seconds=(kinds := {}))
    found = {
        "duplicates_seconds": round(time.perf_counter() - begun, 3),
        "duplicates_by_kind": {name: round(spent, 3) for name, spent in kinds.items()},
        "duplicates_dropped": sum(d is not None for d in marked["dropped_by"])
        - sum(d is not None for d in after["dropped_by"]),
    }
    if TESTS.exists():
        begun = time.perf_counter()
        index = Contamination.from_files([TESTS])
        found["index_seconds"] = round(time.perf_counter() - begun, 3)
        begun = time.perf_counter()
        index.mark(after)
        found |= {"benchmark_items": len(index), "contamination_seconds": round(time.perf_counter() - begun, 3)}
    return found


def streamed(file: str) -> dict:
    """The row rules over a JSONL file through a streaming `datasets.map`: what they hold, however long the file is."""
    purge = Purge()
    rows = load_dataset("json", data_files=file, split="train", streaming=True)
    count = sum(1 for _ in rows.map(purge, batched=True, batch_size=256, features=purge.features(rows.features)))
    return {"rows": count, "peak_mb": peak_mb()}


def memory(rows: Dataset) -> list[dict]:
    """`streamed` in a process of its own for a quarter, a half and all of the rows."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for part in (4, 2, 1):
            file = Path(folder) / f"{part}.jsonl"
            rows.select_columns(["messages", "input"]).select(range(len(rows) // part)).to_json(
                file, force_ascii=False
            )
            command = [sys.executable, __file__, str(file), "--stream"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def peer(python: str, rows: Dataset, ours: dict) -> dict:
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(text_of(row)) + "\n" for row in rows.select_columns(["messages"]))
        file.flush()
        script = Path(__file__).with_name("purge_peer.py")
        done = subprocess.run([python, script, file.name], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    rule_row = 1e6 * ours["seconds"] / (ours["rows"] * ours["rules"])
    their_row = 1e6 * sum(theirs["seconds"].values()) / (theirs["rows"] * len(theirs["seconds"]))
    return {
        **theirs,
        "microseconds_per_rule_row": round(their_row, 3),
        "ours": round(rule_row, 3),
        "times_faster": round(their_row / rule_row, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--peer", default="", metavar="PYTHON", help="interpreter of an environment with data-juicer")
    parser.add_argument("--only-rows", action="store_true", help="leave out duplicates and contamination")
    parser.add_argument(
        "--stream", action="store_true", help="only: FILE (JSONL) through a streaming map, peak memory"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    disable_progress_bars()
    if arguments.stream:
        print(json.dumps(streamed(arguments.file)))
        sys.exit()
    data = rows_to_purge(arguments.file, arguments.rows)
    assert data.features == FEATURES
    found = row_rules(data)
    if not arguments.only_rows:
        found |= whole_dataset(data)
    if arguments.peer:
        found["data_juicer"] = peer(arguments.peer, data, found)
    found |= {"streamed": memory(data), "peak_mb": peak_mb()}
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))
