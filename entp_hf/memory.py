"""Running out of memory, said in words: which knob to turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import EntpError

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")  # of CUDA, of the CPU on Linux, on Windows


@contextmanager
def memory_advice(what: str, knobs: str) -> Iterator[None]:
    """Turn an allocation that failed inside into an EntpError that names `what` ran and which `knobs` to turn."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError, as is the CPU's
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS):
            first = (str(error).strip().splitlines() or ["MemoryError"])[0]
            raise EntpError(f"{what}: out of memory ({first}). {knobs}") from error
        raise
