"""Child process of a run, seen from the app: start it, read its progress, enforce its limits, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...reporting.formatting import duration
from ..security.limits import Limits
from .worker import swept

WATCH = 0.1  # seconds between two looks at a process
GRACE = 2.0  # seconds between asking a process to end and ending it
_PAGE = os.sysconf("SC_PAGE_SIZE")
_spare: list[subprocess.Popen[str]] = []
_lock = threading.Lock()


def _launch() -> subprocess.Popen[str]:
    environment = {**swept(os.environ), "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "entp_hf.webapp.jobs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )


def warm_up() -> None:
    """Start a process that has loaded the libraries when the next run comes: that takes seconds."""
    with _lock:
        _spare[:] = [process for process in _spare if process.poll() is None]
        if not _spare:
            _spare.append(_launch())


def cool_down() -> None:
    """End the process that waits."""
    with _lock:
        while _spare:
            process = _spare.pop()
            process.kill()
            process.wait()


class Work:
    """One run's process."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.process: subprocess.Popen[str] | None = None
        self.stopped = threading.Event()

    def run(self, job: dict[str, Any], news: list[dict[str, Any]]) -> str:
        """Do the job; `news` is kept up to date. Returns "" or what went wrong, in words."""
        with _lock:
            ready = [process for process in _spare if process.poll() is None]
            _spare.clear()
            self.process = ready[0] if ready else _launch()
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        outcome: dict[str, Any] = {}
        with watched(process, self.limits.seconds, self.limits.memory, self.stopped) as over:
            try:
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()  # and left open: a process whose app is gone ends itself
                for line in process.stdout:
                    outcome = _heard(line, news) or outcome
                    if "done" in outcome or "error" in outcome:
                        break
            except (OSError, ValueError):  # it is gone; its end is told below
                outcome = {}
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
        process.stdout.close()
        warm_up()
        if outcome.get("done"):
            return ""
        died = f"the run's process ended without a word (status {process.returncode}); go on with it to try again"
        return f"the run took more than {over[0]}; give it fewer rows" if over else str(outcome.get("error") or died)

    def stop(self) -> None:
        """End the process, gently first."""
        self.stopped.set()


@contextlib.contextmanager
def watched(
    process: subprocess.Popen[Any], seconds: float, memory: int, stop: threading.Event | None = None
) -> Iterator[list[str]]:
    """End the process where it takes longer inside, takes more memory, or `stop` is set; yields a list, the bound."""
    over: list[str] = []
    left, stop = threading.Event(), stop or threading.Event()
    begun = time.monotonic()

    def watch() -> None:
        while process.poll() is None and not left.wait(WATCH):
            if time.monotonic() - begun > seconds:
                over.append(duration(seconds))
            elif _resident(process.pid) > memory:
                over.append(f"{memory / 1e9:,.0f} GB of memory")
            if over or stop.is_set():
                end(process)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield over
    finally:
        left.set()
        watcher.join()


def _heard(line: str, news: list[dict[str, Any]]) -> dict[str, Any]:
    """Take a line of the process into `news`; the outcome, if it was that."""
    try:
        heard = json.loads(line)
    except ValueError:  # a library's print: no news
        return {}
    if not isinstance(heard, dict) or "stage" not in heard:
        return heard if isinstance(heard, dict) else {}
    now = time.time()
    same = [entry for entry in news if (entry["stage"], entry["what"]) == (heard["stage"], heard["what"])]
    entry = {**heard, "began": same[-1]["began"] if same else now, "now": now}
    if same:
        news[news.index(same[-1])] = entry
    else:
        news.append(entry)
    return {}


def _resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def end(process: subprocess.Popen[Any]) -> None:
    """The process and those it started: it leads a group of its own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(GRACE)
            return
        except subprocess.TimeoutExpired:
            continue
