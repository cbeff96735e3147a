"""Limits of the app: for a Space that strangers use, and for one's own machine."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

from ...errors import EntpError

KINDS = (".parquet", ".jsonl", ".json", ".csv", ".tsv")  # of uploads: nothing packed, nothing that holds code


class Refused(EntpError):
    """The app does not do that; says why, and what it does."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the app. `hosted`: users are strangers to one another and to the machine."""

    hosted: bool
    bytes: int  # of an upload
    rows: int  # of an input
    seconds: float  # of a run
    memory: int  # bytes of a run's process
    waiting: int  # runs in the queue, of all users
    active: int  # runs of one user that wait or run
    runs_per_hour: int
    looks_per_minute: int  # uploads, searches and previews of one user
    kept_hours: float  # results are deleted after that
    look_seconds: float  # of reading an input or planning a run
    look_memory: int  # bytes of the process that does it
    area: int  # bytes of all uploads that were not taken yet
    inputs: int  # inputs of one user that are kept for a run to begin


HOSTED = Limits(
    hosted=True,
    bytes=50_000_000,
    rows=5_000,
    seconds=3600.0,
    memory=12_000_000_000,
    waiting=20,
    active=1,
    runs_per_hour=10,
    looks_per_minute=30,
    kept_hours=24.0,
    look_seconds=60.0,
    look_memory=3_000_000_000,
    area=2_000_000_000,
    inputs=3,
)
LOCAL = Limits(
    hosted=False,
    bytes=2_000_000_000,
    rows=1_000_000,
    seconds=7 * 86_400.0,
    memory=1 << 62,
    waiting=1000,
    active=1000,
    runs_per_hour=10_000,
    looks_per_minute=10_000,
    kept_hours=24.0 * 365,
    look_seconds=3600.0,
    look_memory=1 << 62,
    area=1 << 62,
    inputs=1000,
)


def limits_here() -> Limits:
    """Those of a Space where $SPACE_ID is set, as it is on the Hub; else those of one's own machine."""
    return HOSTED if os.environ.get("SPACE_ID") else LOCAL


@dataclass
class Rates:
    """How often each user did something lately: at most `most` times in `seconds`."""

    most: int
    seconds: float
    what: str
    _times: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, user: str) -> None:
        """Count one; raises Refused, and counts nothing, where it is one too many."""
        now = time.monotonic()
        with self._lock:
            for name in [name for name, times in self._times.items() if times[-1] < now - self.seconds]:
                del self._times[name]
            times = self._times[user]
            while times and times[0] < now - self.seconds:
                times.popleft()
            if len(times) >= self.most:
                wait = int(times[0] + self.seconds - now) + 1
                raise Refused(f"at most {self.most} {self.what}; try again in {wait} s")
            times.append(now)
