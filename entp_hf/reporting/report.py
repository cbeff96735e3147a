"""The HTML report of a run: one self-contained page, filled from the manifest and the two datasets alone.

Texts in the data are strangers' texts: they are escaped on the server side, set as `textContent` on the page, and the
page's own policy allows no script and no style but the two that it was made with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pyarrow.parquet as pq
from datasets import Dataset
from markupsafe import Markup

from ..errors import InputError
from ..io.manifest import Manifest, record_of
from ..io.parquet import read_written
from ..rules.table import finds
from ..schema import FEATURES
from .formatting import clean, duration, listed, num, share, squash
from .row_browser import generated_rows, script_json
from .sections import mix, overview, purge, ratings, training

COLUMNS = (
    "id", "messages", "source", "ratings", "score", "findings", "dropped_by", "origin", "parents", "round", "model",
    "prompt_version", "gate", "notes",
)  # fmt: skip
FACTS = ("created", "entp_version", "source_hash", "versions", "cpus", "input", "pool", "warnings")


def render_report(manifest: Mapping[str, Any], kept: Dataset, dropped: Dataset) -> str:
    """The page as text. Sections of which the run has no figures are left out."""
    record = record_of(manifest)
    style, script = _template("report.css"), _template("report.js")
    browser = generated_rows(kept, dropped)
    page = (
        _environment()
        .get_template("report.html")
        .render(
            manifest={key: manifest.get(key) for key in FACTS},
            style=Markup(style),
            script=Markup(script),
            policy=f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
            "base-uri 'none'; form-action 'none'",
            headline=overview.headline(record),
            stages=overview.stages(record),
            ratings=ratings.ratings(record),
            correction=ratings.correction(record),
            purge=purge.purge(record),
            clusters=mix.clusters(record),
            fusion=mix.fusion(record),
            dataset=overview.dataset(record),
            diversity=mix.diversity(record),
            contamination=manifest.get("contamination"),
            train=training.train(record),
            evaluation=training.evaluation(record),
            accuracy=training.accuracy(record),
            tokens=overview.tokens(record),
            configuration=overview.configuration(record),
            browser=browser,
            blob=Markup(script_json(browser)) if browser else None,
        )
    )
    return clean(page)


def write_report(folder: Path) -> Path:
    """Write report.html into a run's output folder and return its path.

    Reads manifest.json, data/train.parquet and dropped/train.parquet there; raises InputError where one is missing.
    """
    folder = Path(folder)
    manifest = Manifest.load(_needed(folder / "manifest.json"))
    page = render_report(
        manifest, _rows(folder / "data" / "train.parquet"), _rows(folder / "dropped" / "train.parquet")
    )
    return write_page(page, folder)


def write_page(page: str, folder: Path) -> Path:
    """Write a page of `render_report` as report.html into a folder and return its path."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")  # other line ends would break the hashes in the policy
    return path


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the folder that a run was written to")
    return path


def _rows(path: Path) -> Dataset:
    """The columns that the report shows; without `original`, half of the bytes."""
    present = set(pq.read_schema(_needed(path)).names)
    missing = {"id", "messages"} - present
    if missing:
        raise InputError(f"{path} has no columns {listed(sorted(missing))}; its rows must be those of a run")
    names = [name for name in FEATURES if name in COLUMNS and name in present]
    return read_written(path, names)


def _template(name: str) -> str:
    return resources.files("entp_hf.templates").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() + "'"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=num, share=share, duration=duration, squash=squash, listed=listed, finds=finds)
    return environment
