"""The process that does a run, seen from the app: given its job, listened to, held to its limits, and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .limits import Limits
from .worker import swept

GRACE = 2.0  # seconds between asking a process to end and ending it
_PAGE = os.sysconf("SC_PAGE_SIZE")
_spare: list[subprocess.Popen[str]] = []
_lock = threading.Lock()


def _launch() -> subprocess.Popen[str]:
    environment = {**swept(os.environ), "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        [sys.executable, "-m", "entp_hf.webapp.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True,
    )  # fmt: skip


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
        self.why = ""
        self.stopped = threading.Event()

    def run(self, job: dict[str, Any], news: list[dict[str, Any]]) -> str:
        """Do the job; `news` is kept up to date. Returns "" or what went wrong, in words."""
        with _lock:
            ready = [process for process in _spare if process.poll() is None]
            _spare.clear()
            self.process = ready[0] if ready else _launch()
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        watch = threading.Thread(target=self._watch, args=(process,), daemon=True)
        watch.start()
        outcome: dict[str, Any] = {}
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.close()
            for line in process.stdout:
                outcome = _heard(line, news) or outcome
        except (OSError, ValueError):  # it is gone; its end is told below
            outcome = {}
        process.wait()
        watch.join()
        process.stdout.close()
        warm_up()
        if outcome.get("done"):
            return ""
        died = f"the run's process ended without a word (status {process.returncode}); go on with it to try again"
        return self.why or str(outcome.get("error") or died)

    def stop(self) -> None:
        """End the process, gently first."""
        self.stopped.set()

    def _watch(self, process: subprocess.Popen[str]) -> None:
        begun = time.monotonic()
        while process.poll() is None:
            if time.monotonic() - begun > self.limits.seconds:
                self.why = f"the run took more than {self.limits.seconds / 60:,.0f} minutes; give it fewer rows"
            elif _resident(process.pid) > self.limits.memory:
                self.why = f"the run took more than {self.limits.memory / 1e9:,.0f} GB of memory; give it fewer rows"
            if self.why or self.stopped.wait(0.2):
                _end(process)
                return


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


def _end(process: subprocess.Popen[str]) -> None:
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
