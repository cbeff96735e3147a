"""`entp compare`: one experiment, from a pool to one table.

from entp_hf.experiments.compare import compare, load_experiment

compare(load_experiment("cpu", {"data_dir": "data"}), "out")
"""

from __future__ import annotations

from pathlib import Path

from .config import Arm, Experiment, load_experiment
from .report import write_results
from .runner import Runner
from .table import Line

__all__ = ["Arm", "Experiment", "Line", "compare", "load_experiment"]


def compare(experiment: Experiment, folder: str | Path, command: str = "") -> list[Line]:
    """Run what is not finished yet; table, report and figures are in `folder` after each run. Returns the lines.

    `command` is kept with the figures. Raises OutputError if the folder is of another experiment.
    """
    lines: list[Line] = []
    for outcomes in Runner(experiment, Path(folder))():
        lines = write_results(outcomes, experiment, Path(folder), command)
    return lines
