"""Per-file tasks of the sharded purge: mark and fingerprint rows, give shingles, split; see `sharded`."""

from __future__ import annotations

import json
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset

from ..config import EntpConfig
from ..errors import OutputError
from ..execution.stage import Batch
from ..execution.tables import blocks, set_aside
from ..io.manifest import Manifest
from ..io.output_folder import FOLDER_CARD
from ..io.parquet import read_written, write_rows
from ..io.paths import MANIFEST, file_system, shown
from ..io.reader import read_rows
from ..purge.stage import row_rules
from .contamination.index import Contamination
from .duplicates.fingerprints import SKETCH, Sketch
from .duplicates.search import marked, shingle_sets
from .report import purge_report

SUMMED = ("unknown_roles", "left_out", "skipped", "skipped_lines")  # figures of reading, summed over the files
WORKING = "working"  # folder of the marked files, between the two passes over them
TASK = pa.schema({"name": pa.string(), "number": pa.int64(), "more": pa.binary()})
SKETCHED = pa.schema(
    [*SKETCH, ("id", pa.string()), ("score", pa.float64()), ("number", pa.int64()), ("figures", pa.string())]
)
SHINGLES = pa.schema({"number": pa.int64(), "row": pa.int64(), "grams": pa.binary()})
SPLIT = pa.schema({"kept": pa.int64(), "dropped": pa.int64()})


@dataclass(frozen=True)
class Folder:
    """Where the results go, by path or URL."""

    url: str

    def place(self, *parts: str) -> tuple[Any, str]:
        """The file system, and the path on it."""
        return file_system("/".join([self.url.rstrip("/"), *parts]))

    def prepare(self, overwrite: bool) -> None:
        """Raise OutputError unless it is empty, or one of ours that may be replaced."""
        fs, path = self.place()
        if not fs.exists(path) or not fs.ls(path, detail=False):
            return
        if not overwrite:
            raise OutputError(f"{shown(self.url)} exists; name another folder, or replace it by --overwrite")
        if not (fs.exists(f"{path}/{MANIFEST}") or fs.exists(f"{path}/{WORKING}")):
            raise OutputError(
                f"{shown(self.url)} holds no {MANIFEST}: it was not written by entp-hf and is not replaced"
            )
        fs.rm(path, recursive=True)

    def put(self, rows: Dataset, kind: str, name: str) -> None:
        """Write rows as a file of the folder `kind`."""
        fs, path = self.place(kind, name)
        with tempfile.TemporaryDirectory(prefix="entp-send-") as folder:
            write_rows(rows, Path(folder, name))
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(Path(folder, name)), path)

    def get(self, kind: str, name: str) -> Dataset:
        """Read a file that `put` wrote."""
        fs, path = self.place(kind, name)
        with tempfile.TemporaryDirectory(prefix="entp-fetch-") as folder:
            fs.get_file(path, str(Path(folder, name)))
            return read_written(Path(folder, name))

    def finish(self, manifest: Manifest) -> None:
        """Remove what was for the time of the work, and write the manifest."""
        fs, path = self.place(WORKING)
        fs.rm(path, recursive=True)
        with tempfile.TemporaryDirectory(prefix="entp-send-") as folder:
            manifest.save(Path(folder, MANIFEST))
            Path(folder, "README.md").write_text(FOLDER_CARD, encoding="utf-8")
            for name in ("README.md", MANIFEST):
                fs.put_file(str(Path(folder, name)), self.place(name)[1])


def part_name(number: int, files: int) -> str:
    """As `datasets` names the files of a split."""
    return f"train-{number:05d}-of-{files:05d}.parquet"


@dataclass(frozen=True)
class Mark:
    """First pass over a file: the rules that look at one row, and the sketch of each row."""

    folder: Folder
    files: int
    config: EntpConfig
    contamination: Contamination | None
    near: float | None

    def __call__(self, batch: Batch) -> Batch:
        """Do one file."""
        number = batch["number"][0]
        rows, read = read_rows(batch["name"][0], self.config)
        after, seconds = row_rules(rows, self.config, self.contamination, None)
        self.folder.put(after, WORKING, part_name(number, self.files))
        out: Batch = {name: [] for name in SKETCHED.names}
        sketch = Sketch(self.near)
        for block in blocks(after, ["id", "messages", "input", "dropped_by", "expected_score"]):
            columns = block.to_pydict()
            for name, values in sketch(columns).items():
                out[name] += values
            out["id"] += columns["id"]
            out["score"] += columns["expected_score"]
        report = purge_report(rows, after, seconds)
        more = {name: value for name, value in read.items() if name in SUMMED}
        figures = json.dumps({"file": read["files"][0], "marked": read["marked"], "purge": report, **more})
        return {**out, "number": [number] * len(after), "figures": [figures, *[None] * (len(after) - 1)]}


@dataclass(frozen=True)
class Shingles:
    """Shingles of the rows of a file that share a band with another row."""

    folder: Folder
    files: int

    def __call__(self, batch: Batch) -> Batch:
        """Do one file."""
        number, wanted = batch["number"][0], pickle.loads(batch["more"][0])
        sets = shingle_sets(self.folder.get(WORKING, part_name(number, self.files)), wanted)
        grams = [one.tobytes() for one in sets.values()]
        return {"number": [number] * len(sets), "row": list(sets), "grams": grams}


@dataclass(frozen=True)
class Split:
    """Second pass over a file: findings about duplicates, then kept and dropped rows each to a file."""

    folder: Folder
    files: int

    def __call__(self, batch: Batch) -> Batch:
        """Do one file."""
        name = part_name(batch["number"][0], self.files)
        rows = self.folder.get(WORKING, name)
        kept, dropped = set_aside(marked(rows, pickle.loads(batch["more"][0])))
        self.folder.put(kept, "data", name)
        self.folder.put(dropped, "dropped", name)
        return {"kept": [len(kept)], "dropped": [len(dropped)]}
