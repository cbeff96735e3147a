"""How many threads torch may use in this process."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "<microseconds> <period>" or "max <period>", in a Linux container


def cpu_count() -> int:
    """CPUs that this process may use: affinity and container quota, where the platform tells."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = CPU_QUOTA.read_text().partition(" ") if CPU_QUOTA.is_file() else ("max", "", "")
    return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))


def set_threads() -> None:
    """Keep torch to the CPUs of this process; in a container it starts a thread for each CPU of the host.

    A worker of `map(num_proc=...)` gets one thread: it was forked, and libgomp hangs in a child whose parent has
    computed with several. To be called wherever a model is handed out, since a worker inherits the loaded ones.
    """
    import multiprocess  # type: ignore[import-untyped,unused-ignore]  # what datasets makes its workers with
    import torch

    if multiprocess.parent_process() or multiprocessing.parent_process():
        torch.set_num_threads(1)
    elif "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > cpu_count():
        torch.set_num_threads(cpu_count())
