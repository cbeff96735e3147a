"""Queue and store of runs: start, watch, stop, find again, and resume after the app was killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..security.limits import Limits, Rates, Refused
from ..security.requests import RUN_ID
from .process import Work

ACTIVE = ("queued", "running")


@dataclass
class Run:
    """What is known of a run, as run.json keeps it: no key. `needs_key`: it can't be taken up without one."""

    id: str
    owner: str  # name on the Hub; "": not signed in, so whoever has the link
    user: str  # who counts for the limits: the owner, or the network address
    config: dict[str, Any]
    inputs: list[str]
    source: str  # what the input is called
    needs_key: bool = False
    state: str = "queued"  # queued | running | done | failed | cancelled | interrupted
    error: str = ""
    created: float = field(default_factory=time.time)
    began: float = 0.0
    ended: float = 0.0
    news: list[dict[str, Any]] = field(default_factory=list)  # the latest of each stage and piece of work


class Runs:
    """All runs of the app. Keys of users live in this object's memory alone, until their run has ended."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder = folder.expanduser().resolve()  # a run's process has a working folder of its own
        self.folder, self.limits = folder, limits
        self.starts = Rates(limits.runs_per_hour, 3600.0, "runs an hour")
        self._runs: dict[str, Run] = {}
        self._keys: dict[str, str] = {}
        self._queue: list[str] = []
        self._inputs: dict[str, list[Path]] = {}
        self._work: Work | None = None
        self._stopped: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        with self._changed:
            self._take_up()
        self._thread = threading.Thread(target=self._serve, name="entp-runs", daemon=True)
        self._thread.start()

    def path(self, run: Run) -> Path:
        """The run's folder."""
        return self.folder / run.id

    def new_folder(self) -> tuple[str, Path]:
        """An id that can't be guessed (128 bits) and its empty folder, for the input."""
        key = secrets.token_urlsafe(16)
        path = self.folder / key
        path.mkdir(mode=0o700)
        return key, path

    def new_input(self, user: str) -> tuple[str, Path]:
        """A folder for an input that is looked at; of those that the user had, the last few stay."""
        key, path = self.new_folder()
        with self._changed:
            mine = [old for old in self._inputs.pop(user, []) if old.is_dir()]
            self._inputs[user] = [*mine, path][-self.limits.inputs :]
        for old in [*mine, path][: -self.limits.inputs]:
            shutil.rmtree(old, ignore_errors=True)
        return key, path

    def start(self, run: Run, key: str = "") -> Run:
        """Put a run into the queue. Raises Refused where the user or the app has too many."""
        with self._changed:
            mine = [other for other in self._runs.values() if other.user == run.user and other.state in ACTIVE]
            if len(mine) >= self.limits.active:
                raise Refused("you have a run going on; wait until it has ended, or cancel it")
            if len(self._queue) >= self.limits.waiting:
                raise Refused(f"{len(self._queue)} runs are waiting already; try again later")
            self.starts.check(run.user)
            self._put(run, key)
        return run

    def get(self, run_id: str | None, owner: str) -> Run | None:
        """The run of this id if `owner` may see it: runs of someone signed in are theirs alone."""
        if not run_id or not RUN_ID.fullmatch(run_id):
            return None
        run = self._runs.get(run_id)
        return run if run is not None and run.owner in ("", owner) else None

    def of(self, owner: str) -> list[Run]:
        """Runs of someone signed in, newest first."""
        found = [run for run in self._runs.values() if owner and run.owner == owner]
        return sorted(found, key=lambda run: -run.created)

    def place(self, run: Run) -> int:
        """How many runs are before this one in the queue."""
        with self._changed:
            return self._queue.index(run.id) + bool(self._work) if run.id in self._queue else 0

    def cancel(self, run: Run) -> None:
        """Stop it within seconds; replies of the model so far are kept, so that it can be taken up again."""
        with self._changed:
            if run.id in self._queue:
                self._queue.remove(run.id)
                self._end(run, "cancelled")
            elif run.state == "running" and self._work is not None:
                self._stopped.add(run.id)
                self._work.stop()

    def resume(self, run: Run, key: str = "") -> None:
        """Go on with a run that was stopped or interrupted, or failed; model replies come from its cache."""
        with self._changed:
            if run.state in ACTIVE or run.state == "done":
                raise Refused("this run does not need to be taken up")
            if run.needs_key and not key:
                raise Refused("sign in first: this run asks a model in your name")
            run.error, run.news = "", []
            self._put(run, key)

    def close(self) -> None:
        """Stop the app's work; what is running is taken up at the next start."""
        with self._changed:
            self._closed = True
            if self._work is not None:
                self._work.stop()
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _put(self, run: Run, key: str) -> None:
        run.state, run.began, run.ended = "queued", 0.0, 0.0
        self._runs[run.id] = run
        self._keys[run.id] = key
        self._queue.append(run.id)
        self._save(run)
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed, timeout=60)
                if self._closed:
                    return
                self._delete_old()
                if not self._queue:
                    continue
                run = self._runs[self._queue.pop(0)]
                run.state, run.began = "running", time.time()
                self._save(run)
                self._work = Work(self.path(run), self.limits)
            self._do(run, self._work)

    def _do(self, run: Run, work: Work) -> None:
        job = {"config": run.config, "inputs": run.inputs, "folder": str(self.path(run)), "hosted": self.limits.hosted}
        error = work.run({**job, "key": self._keys.get(run.id, "")}, run.news)
        with self._changed:
            self._work = None
            if self._closed:
                return  # still "running" on disk: the next start takes it up
            if run.id in self._stopped:
                self._stopped.discard(run.id)
                self._end(run, "cancelled")
            else:
                self._end(run, "failed" if error else "done", error)

    def _end(self, run: Run, state: str, error: str = "") -> None:
        run.state, run.error, run.ended = state, error, time.time()
        self._keys.pop(run.id, None)
        self._save(run)

    def _save(self, run: Run) -> None:
        path = self.path(run) / "run.json"
        path.with_suffix(".new").write_text(json.dumps(asdict(run)), encoding="utf-8")
        os.replace(path.with_suffix(".new"), path)

    def _take_up(self) -> None:
        """Read the runs on disk; those that were going on go on, unless they need a key that only memory held."""
        for path in self.folder.glob("*/run.json"):
            with contextlib.suppress(ValueError, TypeError):  # half-written by an older version: left as it is
                run = Run(**json.loads(path.read_text(encoding="utf-8")))
                self._runs[run.id] = run
        for run in sorted(self._runs.values(), key=lambda run: run.created):
            if run.state in ACTIVE and run.needs_key:
                self._end(run, "interrupted", "the app was restarted; sign in and go on, nothing is asked twice")
            elif run.state in ACTIVE:
                run.news = []
                self._put(run, "")

    def _delete_old(self) -> None:
        bound = time.time() - self.limits.kept_hours * 3600
        old: Sequence[Run] = [run for run in self._runs.values() if run.state not in ACTIVE and run.created < bound]
        for run in old:
            del self._runs[run.id]
            shutil.rmtree(self.path(run), ignore_errors=True)
        self._inputs = {
            user: kept for user, paths in self._inputs.items() if (kept := [p for p in paths if p.is_dir()])
        }
        for path in self.folder.iterdir():  # inputs that no run was made of
            if path.name not in self._runs and path.is_dir() and path.stat().st_mtime < time.time() - 3600:
                shutil.rmtree(path, ignore_errors=True)
