"""The same bytes whatever the processor's kernels and the number of threads are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "small_run.py"
# Each library's own switch for another set of kernels than the processor's best.
OTHER_KERNELS = {
    "OPENBLAS_CORETYPE": "Prescott",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "FAISS_OPT_LEVEL": "generic",
}
KERNELS = {
    "best-one-thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "best-two-threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "other-two-threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", **OTHER_KERNELS},
    "other-one-thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **OTHER_KERNELS},
}


def dispatched() -> str:
    """Numpy's optional instruction sets that this processor has, to be switched off."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name))


@pytest.mark.parametrize("embedder", ["support", "minilm"])
def test_a_run_gives_the_same_bytes_under_other_kernels_and_threads(tmp_path: Path, embedder: str) -> None:
    names = list(KERNELS)[:3] if embedder == "support" else list(KERNELS)[1::2]
    reports = {}
    for name in names:
        chosen = dict(KERNELS[name])
        if name.startswith("other"):
            chosen["NPY_DISABLE_CPU_FEATURES"] = dispatched()
        ended = subprocess.run(
            [sys.executable, str(SCRIPT), embedder, str(tmp_path / name)],
            env={**os.environ, **chosen},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        reports[name] = json.loads(ended.stdout.splitlines()[-1])
    first = reports[names[0]]
    assert first["rows"] >= 150 and first["seen"] == ["corrected", "semantic", "clusters", "neighbors", "composed"]
    for name in names[1:]:
        assert reports[name]["files"] == first["files"], f"{name} differs from {names[0]}"
    if len({report["product"] for report in reports.values()}) == 1:
        pytest.skip("equal, but this machine's kernels multiply alike, so the test says less than elsewhere")
