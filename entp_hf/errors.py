"""The errors a user can meet. Each names the value, the bound and the way out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")  # of CUDA, of the CPU on Linux, on Windows


class EntpError(Exception):
    """Base of every error that this package raises on purpose; the command line prints it without a traceback."""

    def __reduce__(self) -> Any:  # Exception's own would call __init__ with the message alone, and lose the rest
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[EntpError], args: tuple[Any, ...], state: dict[str, Any]) -> EntpError:
    """An error as it was, in another process."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(EntpError):
    """One or more settings are wrong; `problems` holds them all."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        head = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{head} in the configuration:\n" + "\n".join(f"  - {p}" for p in self.problems))


class InputError(EntpError):
    """The input can't be read as a pool of SFT rows; names file, row and column."""


class OutputError(EntpError):
    """The output folder can't be written, or exists already."""


class HubError(EntpError):
    """The Hub refused something, or could not be reached; says what, why, and what to do."""


class ModelNotFound(EntpError):
    """A model name resolves to nothing; says what was looked for, and where."""


class MissingExtra(EntpError):
    """An optional dependency is absent; the message is the exact pip line."""

    def __init__(self, package: str, extra: str, what: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed. Run: pip install 'entp-hf[{extra}]'"
        )


class StageError(EntpError):
    """A stage can't go on; names the stage, how many rows, the first ids, and what to do."""

    def __init__(self, stage: str, message: str, ids: Sequence[str] = ()) -> None:
        self.stage, self.ids = stage, list(ids)
        where = f" ({len(self.ids)} rows, first: {', '.join(self.ids[:3])})" if self.ids else ""
        super().__init__(f"{stage}: {message}{where}")


class BatchWritten(EntpError):
    """Not a failure: the requests of a stage were written to a batch file, and the run waits for their replies."""

    def __init__(self, count: int, paths: Sequence[str]) -> None:
        self.count, self.paths = count, list(paths)
        super().__init__(
            f"{count:,} requests are in {', '.join(self.paths)}. Have them answered, import the results with "
            "`entp cache import RESULTS.jsonl`, and run the same command again"
        )


def require(package: str, extra: str, what: str) -> None:
    """Raise `MissingExtra` unless `package` (an import name) can be found. The one place that checks extras."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(package, extra, what)


@contextmanager
def memory_advice(what: str, settings: str) -> Iterator[None]:
    """Turn an allocation that failed inside into an EntpError that names `what` ran and which `settings` to turn."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError, as is the CPU's
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS):
            first = (str(error).strip().splitlines() or ["MemoryError"])[0]
            raise EntpError(f"{what}: out of memory ({first}). {settings}") from error
        raise
