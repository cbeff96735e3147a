"""Read untrusted data in a subprocess with time and memory limits.

`python -m entp_hf.webapp.jobs.sandbox` is such a process: pickled calls on its input, pickled results on its output.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import EntpError
from ..security.limits import Limits, Refused
from .process import end, watched
from .worker import fault, swept

PROCESSES = 2  # that look at data at the same time


class Sandbox:
    """Up to `PROCESSES` processes, started when they are needed; a hosted app's user has one look at a time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._free: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        for _ in range(PROCESSES):
            self._free.put(None)

    def warm_up(self) -> None:
        """Start a process now: loading its libraries takes seconds."""
        process = self._free.get()
        self._free.put(process or self._launch())

    def close(self) -> None:
        """End the processes."""
        while not self._free.empty():
            if process := self._free.get():
                end(process)

    def call(self, user: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function, one of a module's, returns. EntpErrors are raised as texts, Refused for a bound."""
        with self._lock:
            if self.limits.hosted and user in self._busy:
                raise Refused("you are looking at data already; wait until that has ended")
            self._busy.add(user)
        try:
            return self._call(function, arguments)
        finally:
            with self._lock:
                self._busy.discard(user)

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            process = self._free.get(timeout=self.limits.look_seconds)
        except queue.Empty:
            raise Refused("many are looking at data at this time; try again in a minute") from None
        try:
            if process is None or process.poll() is not None:
                process = self._launch()
            return self._ask(process, function, arguments)
        finally:
            self._free.put(process if process and process.poll() is None else None)

    def _ask(self, process: subprocess.Popen[bytes], function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        assert process.stdin is not None and process.stdout is not None
        limits, why = self.limits, ""
        with watched(process, limits.look_seconds, limits.look_memory) as over:
            try:
                pickle.dump((function, arguments), process.stdin)
                process.stdin.flush()
                kind, found = pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                kind, found = "error", ""
        if over:
            why = f"looking at the data took more than {over[0]}; give it fewer or shorter rows"
        elif kind == "error":
            why = found or "the process that looked at the data ended without a word; try again"
        if why:
            raise Refused(why) if over else EntpError(why)
        return found

    def _launch(self) -> subprocess.Popen[bytes]:
        environment = swept(os.environ) if self.limits.hosted else dict(os.environ)
        command = [sys.executable, "-P", "-m", __name__, *(["hosted"] if self.limits.hosted else [])]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=Path.cwd(),
            start_new_session=True,
        )


def main(hosted: bool) -> None:
    """Answer calls until the app goes."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        from ...pipeline import plan  # noqa: F401  # loaded before the first call, since it takes seconds
        from .. import inputs as given  # noqa: F401

        if hosted:
            from ..security.requests import only_public_connections

            only_public_connections()
        while True:
            try:
                function, arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            try:
                answer = "found", function(*arguments)
            except EntpError as error:
                answer = "error", str(error)
            except Exception as error:  # the app must tell its user something
                answer = "error", fault(error)
            pickle.dump(answer, answers)
            answers.flush()


if __name__ == "__main__":
    main("hosted" in sys.argv[1:])
