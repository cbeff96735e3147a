"""Serve a run's files to those who may see the run; Gradio itself serves a file to whoever knows its path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ...io.parquet import read_written
from ..jobs.runs import Runs
from ..security.limits import Limits
from ..security.users import user_of

JSONL = "dataset.jsonl"
FILES = {
    "dataset.parquet": ("data/train.parquet", "the dataset"),
    JSONL: ("data/train.parquet", "the dataset, a row a line"),
    "dropped.parquet": ("dropped/train.parquet", "every row that is not in it, with the reason"),
    "recipe.yaml": ("config.yaml", "all settings: with them, entp build makes it again"),
    "report.html": ("report.html", "all figures, and the made rows beside their parents"),
    "card.md": ("README.md", "what a reader should know of the dataset"),
}
ROWS = 500  # of a piece that is sent


def routes(runs: Runs, limits: Limits) -> list[Any]:
    """The one address under which files are served."""

    def download(request: Request) -> Response:
        run = runs.get(request.path_params["run"], user_of(request, limits).name)
        name = request.path_params["name"]
        if run is None or run.state != "done" or name not in FILES:
            return PlainTextResponse("There is no such file, or it is someone else's.", 404)
        path = runs.path(run) / "out" / FILES[name][0]
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        if name == JSONL:
            return StreamingResponse(lines(path), headers=headers, media_type="application/x-ndjson")
        return FileResponse(path, headers=headers)

    return [Route("/runs/{run}/{name}", download)]


def lines(path: Path) -> Iterator[str]:
    """The rows of a Parquet file as JSON Lines."""
    rows = read_written(path)
    for start in range(0, len(rows), ROWS):
        part = rows.select(range(start, min(start + ROWS, len(rows))))
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
