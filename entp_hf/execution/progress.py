"""Progress of a run for whoever listens: stages as they begin, and counts inside them. Nobody listens by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
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
# Values of the context, replaced and never changed in place: runs in two threads do not see one another's.
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("_listeners", default=())
_stage: ContextVar[str] = ContextVar("_stage", default="")
# Enclosing bars, each with the range of it that the bars made inside fill.
_outer: ContextVar[tuple[tuple[Bar, int, int], ...]] = ContextVar("_outer", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` inside the block; what it raises ends the run there, so it can be used to stop one."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def enter(stage: str, rows: int) -> None:
    """A stage begins over so many rows."""
    _stage.set(stage)
    tell("", 0, rows)


def tell(what: str, done: int, total: int) -> None:
    """So much of the stage is done."""
    for listener in _listeners.get():
        listener(Progress(_stage.get(), what, done, total))


class Bar(tqdm):  # type: ignore[misc]
    """A progress bar on the terminal that tells listeners too, whether it is shown or not."""

    def __init__(self, total: int, desc: str, unit: str, disable: bool = False) -> None:
        outer = _outer.get()
        self.outer = outer[-1] if outer else None
        super().__init__(total=total, desc=desc, unit=unit, disable=disable or self.outer is not None)
        self.what, self.all, self.done, self.drawn = desc, total, 0, 0.0
        if self.outer is None:
            tell(self.what, 0, total)

    def update(self, n: float | None = 1) -> Any:
        """So many more are done."""
        shown = super().update(n)
        self.done += int(n or 0)
        if self.outer is None:
            tell(self.what, self.done, self.all)
        else:
            bar, begin, end = self.outer
            bar.reach(min(begin + self.done, end))
        return shown

    def doing(self, what: str) -> None:
        """Say at the bar's end what goes on while nothing is finished, drawn once a second at most."""
        if self.outer is not None:
            self.outer[0].doing(what)
            return
        self.set_postfix_str(what, refresh=False)
        if time.monotonic() >= self.drawn + 1:
            self.drawn = time.monotonic()
            self.refresh()

    def reach(self, done: int) -> None:
        """So many are done in all; a bar never goes back."""
        if done > self.done:
            self.update(done - self.done)

    @contextmanager
    def part(self, size: int) -> Iterator[None]:
        """The next `size` are done inside: bars that are made there move this one, and are not shown themselves."""
        end = self.done + size
        token = _outer.set((*_outer.get(), (self, self.done, end)))
        try:
            yield
        finally:
            _outer.reset(token)
        self.reach(end)

    def over(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts as they come; each moves the bar by its length."""
        for part in parts:
            self.update(len(part))
            yield part
