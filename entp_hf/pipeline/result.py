"""The result of a run: kept and dropped rows, manifest, and how it is written and pushed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..cards import dataset_card, write_plots
from ..config import EntpConfig
from ..io.manifest import Manifest
from ..io.output_folder import OutputFolder
from ..io.parquet import write_rows
from ..reporting.report import render_report, write_page
from .publish import push_folder


@dataclass(frozen=True)
class Result:
    """`kept`: the hybrid dataset. `dropped`: every other row, `dropped_by` saying why. Columns: `schema.FEATURES`."""

    kept: Dataset
    dropped: Dataset
    manifest: Manifest
    preference: Dataset | None = None

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write dataset, manifest, recipe, card and report to a new folder; it appears whole or not at all."""
        with OutputFolder(folder, overwrite) as path:
            self.write(path)
        return Path(folder)

    def write(self, path: Path) -> None:
        """Write all files into an existing folder."""
        write_rows(self.kept, path / "data" / "train.parquet")
        write_rows(self.dropped, path / "dropped" / "train.parquet")
        if self.preference is not None:
            write_rows(self.preference, path / "preference" / "train.parquet")
        self.manifest.save(path / "manifest.json")
        (path / "config.yaml").write_text(EntpConfig.from_dict(self.manifest["config"]).to_yaml(), encoding="utf-8")
        plots = write_plots(self.manifest, path / "plots")
        card = dataset_card(self.manifest, self.kept, self.dropped, plots=plots, preference=self.preference)
        (path / "README.md").write_text(card, encoding="utf-8")
        write_page(render_report(self.manifest, self.kept, self.dropped), path)

    def push_to_hub(self, repo_id: str, private: bool = False, token: str | None = None, collection: str = "") -> Any:
        """Push as a dataset that loads without this package; see `publish.push_folder`."""
        with tempfile.TemporaryDirectory(prefix="entp-push-") as folder:
            self.write(Path(folder))
            return push_folder(folder, repo_id, private, token, collection)
