"""Labelled made rows: read them from a folder, and judge them with the gate.

`fusions.jsonl` of the folder holds one row a line: `id`, `kind` (fused, cured, mended, strong), `half` (build,
held_out), `parents` (each with `id`, `request`, `response`, `input`, `findings`), `request`, `response`, `reply` (hash
of both), `label` (good, bad) and `faults`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import EntpConfig
from ..errors import ConfigError
from ..schema import JOIN, Finding, Origin, Row, new_row
from .gate import Gate, Verdict
from .score import ASKED, WORDS, Score, fit, hash_of

FILE = "fusions.jsonl"
NEEDED = ("id", "kind", "half", "parents", "request", "response", "label", "faults")


def read_labelled(folder: str) -> list[dict[str, Any]]:
    """The labelled rows of a folder. Raises ConfigError for a folder without them, or a line that lacks a field."""
    path = Path(folder, FILE)
    try:
        rows: list[dict[str, Any]] = [
            json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()
        ]
    except (OSError, ValueError) as error:
        raise ConfigError([f"labelled: {path}: {error}"]) from error
    problems = [
        f"labelled: {path}: line {i} has no {name!r}"
        for i, row in enumerate(rows, 1)
        for name in NEEDED
        if name not in row
    ]
    if problems or not rows:
        raise ConfigError(problems[:5] or [f"labelled: {path} is empty"])
    return rows


def as_rows(labelled: dict[str, Any]) -> tuple[Row, list[Row]]:
    """A labelled row and its parents as rows of the pipeline."""
    parents = []
    for parent in labelled["parents"]:
        turns = [_turn("user", parent["request"]), _turn("assistant", parent["response"])]
        found = [Finding(rule, "response", "flag").as_dict() for rule in parent.get("findings", [])]
        parents.append(new_row(turns, id=parent["id"], input=parent.get("input", ""), findings=found))
    turns = [_turn("user", labelled["request"]), _turn("assistant", labelled["response"])]
    origin = Origin.CURED if len(parents) == 1 else Origin.FUSED
    text = (
        parents[0]["input"]
        if origin == Origin.CURED and labelled["request"].endswith(JOIN + parents[0]["input"])
        else ""
    )
    return new_row(turns, origin=origin, input=text, parents=[p["id"] for p in parents]), parents


def judged(gate: Gate, labelled: Sequence[dict[str, Any]]) -> list[Verdict]:
    """The gate's verdict on each labelled row, by itself: none counts as accepted for another."""
    pairs = [as_rows(row) for row in labelled]
    out = []
    none = np.zeros((0, 1), np.float32)
    told = gate.judge([row for row, _ in pairs], [parents for _, parents in pairs], none)[0] if pairs else []
    for verdict, (row, parents) in zip(told, pairs, strict=True):
        again = verdict.reason.startswith("near-duplicate")  # of another labelled row: not what is measured
        out.append(gate.judge([row], [parents], none)[0][0] if again else verdict)
    return out


@dataclass(frozen=True)
class Fitted:
    """Scores by kind, their cross-validated AUC, the kinds with too few rows, and the text of the file."""

    scores: dict[str, Score]
    auc: dict[str, float]
    left_out: list[str]
    text: str


def fit_labelled(labelled: Sequence[dict[str, Any]], config: EntpConfig, precision: float) -> Fitted:
    """Fit the scores of fused and of cured rows, without and (with `gate_ask`) with a model's answers.

    Rows that a check refuses whatever their score have no part in the fit: the score orders what is left.

    Raises ConfigError where no kind has enough rows.
    """
    told = judged(Gate.from_config(config, asks=config.gate_ask), labelled)
    scores: dict[str, Score] = {}
    auc: dict[str, float] = {}
    left_out = []
    for origin in (Origin.FUSED, Origin.CURED):
        mine = [i for i, verdict in enumerate(told) if verdict.row["origin"] == origin and not verdict.reason]
        for kind, names in (("words", WORDS), ("asked", (*WORDS, *ASKED))):
            asked = [i for i in mine if kind == "words" or "good" in told[i].figures]
            figures, good = [told[i].figures for i in asked], [labelled[i]["label"] == "good" for i in asked]
            if kind == "asked" and not config.gate_ask:
                continue
            name = f"{origin}_{kind}"
            try:
                scores[name], auc[name] = fit(figures, good, names, precision, hash_of([labelled[i] for i in asked]))
            except ConfigError as error:
                left_out.append(f"{name}: {error}")
    if not scores:
        raise ConfigError(left_out)
    text = json.dumps({kind: asdict(score) for kind, score in scores.items()}, indent=1) + "\n"
    return Fitted(scores, auc, left_out, text)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
