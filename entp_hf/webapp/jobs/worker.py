"""Run one job in its own process (`python -m entp_hf.webapp.jobs.worker`): job on stdin, progress on stdout.

A process can be stopped at once, held to a time and a memory, and sees none of the app's secrets: its environment is
swept, and the user's key comes with the job.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NEWS_SECONDS = 0.2  # between two lines of news of one piece of work
SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL", "OAUTH")


def swept(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that is named like a secret."""
    return {name: value for name, value in environment.items() if not any(word in name.upper() for word in SECRETS)}


def main() -> None:
    """Load what every run needs, wait for the job, do it, and end."""
    import datasets

    from ...errors import EntpError
    from ...pipeline.run import run  # noqa: F401  # loaded before the job comes, since it takes seconds

    datasets.disable_progress_bars()
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_with_the_app, daemon=True).start()
    try:
        _work(json.loads(line))
    except EntpError as error:
        say(error=str(error))
    except MemoryError:
        say(error="the run needs more memory than there is; give it fewer rows")
    except Exception as error:  # the app must tell its user something; the kind and the place are enough to find it
        say(error=fault(error))


def fault(error: Exception) -> str:
    """An error that nobody foresaw, in words that tell nothing of the data or the machine."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"an error of the program itself: {type(error).__name__} at {place}"


def _with_the_app() -> None:
    """End this process when the app has gone, however it went: another may take the run up."""
    while os.read(0, 4096):  # not by sys.stdin, whose lock the interpreter's own end would wait for
        pass
    os._exit(1)


def say(**news: Any) -> None:
    """One line of JSON to the app."""
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def _work(job: dict[str, Any]) -> None:
    from ...config import EntpConfig
    from ...execution.progress import Progress, listening
    from ...io.output_folder import OutputFolder
    from ...pipeline.run import run

    if job["hosted"]:
        from ..security.requests import only_public_connections

        only_public_connections()
    if job["key"]:  # this process is the user's own: nobody else's calls are made here
        os.environ["ENTP_API_KEY"] = job["key"]
    last = ("", "", 0.0)

    def tell(news: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if (news.stage, news.what) != last[:2] or news.done == news.total or now - last[2] > NEWS_SECONDS:
            last = (news.stage, news.what, now)
            say(stage=news.stage, what=news.what, done=news.done, total=news.total)

    folder = Path(job["folder"])
    os.chdir(folder)  # inputs are named as the user calls them: no place on this machine goes into a manifest
    with listening(tell):
        result = run(job["inputs"], EntpConfig.from_dict(job["config"]))
        say(stage="write", what="", done=0, total=0)
        with OutputFolder(folder / "out", overwrite=True) as path:
            result.write(path)
    say(done=True)


if __name__ == "__main__":
    main()
