"""Progress of a run for whoever listens: stages as they begin, and counts inside them. Nobody listens by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from datasets.utils import tqdm


@dataclass(frozen=True)
class Progress:
    """`done` of `total` things of the work `what` inside the stage `stage`; total 0 where it isn't known."""

    stage: str
    what: str = ""
    done: int = 0
    total: int = 0


Part = TypeVar("Part", bound=Sized)
Listener = Callable[[Progress], None]
_listeners: list[Listener] = []
_stage = [""]


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` inside the block; what it raises ends the run there, so it can be used to stop one."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def enter(stage: str, rows: int) -> None:
    """A stage begins over so many rows."""
    _stage[0] = stage
    tell("", 0, rows)


def tell(what: str, done: int, total: int) -> None:
    """So much of the stage is done."""
    for listener in list(_listeners):
        listener(Progress(_stage[0], what, done, total))


class Bar(tqdm):  # type: ignore[misc]
    """A progress bar on the terminal that tells listeners too, whether it is shown or not."""

    def __init__(self, total: int, desc: str, unit: str, disable: bool = False) -> None:
        super().__init__(total=total, desc=desc, unit=unit, disable=disable)
        self.what, self.all, self.done, self.drawn = desc, total, 0, 0.0
        tell(self.what, 0, total)

    def update(self, n: float | None = 1) -> Any:
        """So many more are done."""
        shown = super().update(n)
        self.done += int(n or 0)
        tell(self.what, self.done, self.all)
        return shown

    def doing(self, what: str) -> None:
        """Say at the bar's end what goes on while nothing is finished, drawn once a second at most."""
        self.set_postfix_str(what, refresh=False)
        if time.monotonic() >= self.drawn + 1:
            self.drawn = time.monotonic()
            self.refresh()

    def over(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts as they come; each moves the bar by its length."""
        for part in parts:
            self.update(len(part))
            yield part
