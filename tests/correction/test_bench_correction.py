"""The benchmark of the correction: one line of JSON with what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "correction.py"


def bench(*arguments: str) -> dict:
    done = subprocess.run([sys.executable, SCRIPT, *arguments, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_known_truth() -> None:
    found = bench("--rows", "3000", "--hard", "--levels", "6")
    assert found["rows"] == 3000
    assert 0 < found["t_error"] < 0.25 and 0 <= found["p_error"] < 0.15
    assert abs(found["accuracy_raw"] - 0.569) < 0.03 and found["accuracy_curated"] > 0.9
    assert 0 <= found["calibration_error"] < 0.05
    assert min(found["fit_seconds"], found["neighbour_seconds"], found["peak_mb"]) > 0


def test_files_of_several_raters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 3000)
    columns = {f"score_{name}": np.clip(truth + rng.integers(-1, 2, 3000), 0, 5) for name in "abc"}
    pq.write_table(pa.table({**columns, "other": truth}), tmp_path / "scores.parquet")
    found = bench("--ratings", str(tmp_path / "scores.parquet"))
    assert found["raters"] == ["score_a", "score_b", "score_c"] and found["rows"] == 3000
    assert found["seconds"] > 0 and 2 <= found["levels"] <= 6
