"""The app in a process of its own, for the tests that use it as a browser does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

CODE = """
import dataclasses, sys
from pathlib import Path
from entp_hf.webapp.app import serve
from entp_hf.webapp.security.limits import HOSTED, LOCAL
serve(Path(sys.argv[1]), HOSTED if sys.argv[3] == "hosted" else LOCAL, int(sys.argv[2]), "127.0.0.1")
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class AppServer:
    """Use as a context manager; `url` is where it is. `kill` ends it as a lost machine would."""

    def __init__(self, folder: Path, hosted: bool = False, **environment: str):
        self.folder, self.kind = folder, "hosted" if hosted else "local"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": str(folder / "uploads"),
            **environment,
        }

    def __enter__(self):
        return self.start()

    def start(self):
        """Start it, again after `kill`: at the same address."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = (self.folder / "log.txt").open("a")
        command = [sys.executable, "-c", CODE, str(self.folder / "runs"), str(self.port), self.kind]
        self.process = subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log)
        stop = time.monotonic() + 90
        while time.monotonic() < stop and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        self.__exit__()
        raise RuntimeError((self.folder / "log.txt").read_text()[-3000:])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.log.close()
