"""What this machine can run a model with: instructions for bf16, memory, disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..errors import EntpError

GIB = 2**30
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # bytes or "max", in a Linux container
MEMORY_USED = Path("/sys/fs/cgroup/memory.current")
_HEADROOM = 1.15  # of a model's weights: caches of keys and values, activations, the allocator (ours)


def has_bfloat16(device: str) -> bool:
    """Whether the device has instructions for bf16: most GPUs; CPUs with AMX, AVX512-BF16 or Arm's BF16.

    Without them, bf16 matmuls on a CPU are 10 to 100 times slower than fp32.
    """
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch don't tell
    return device == "cpu" and any(has for name, has in known.items() if name.endswith("bf16"))


def free_memory() -> int | None:
    """Bytes that a new model may take: what the system has available, within a container's limit; None: unknown."""
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    free = int(psutil.virtual_memory().available)
    limit = MEMORY_LIMIT.read_text().strip() if MEMORY_LIMIT.is_file() else "max"
    if limit != "max" and MEMORY_USED.is_file():
        free = min(free, int(limit) - int(MEMORY_USED.read_text()))
    return free


def needed(weights: int) -> int:
    """Bytes of memory for a model whose weights take `weights` bytes."""
    return int(weights * _HEADROOM)


def check_memory(need: int, what: str) -> None:
    """Raise EntpError where `need` bytes are more than there are; says both, and the ways out."""
    free = free_memory()
    if free is not None and need > free:
        raise EntpError(
            f"{what} needs {need / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are free. Close other programs, "
            "take a smaller model (--model), or ask a server (--endpoint): llama-server needs half as much for GGUF"
        )


def check_disk(folder: Path, need: int, what: str) -> None:
    """Raise EntpError where `need` bytes are more than the file system of `folder` has."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise EntpError(
            f"{what} needs {need / GIB:.1f} GiB in {folder} and {free / GIB:.1f} GiB are free there. Make room, or "
            "name a folder on another disk with --cache-dir or $ENTP_CACHE"
        )
