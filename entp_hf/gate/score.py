"""One learned score over the gate's figures: the probability that a careful reader would call the row good.

Not in the paper (arXiv 2510.23160). A logistic regression over real fusions that were read and labelled; its
coefficients lie in `score.json` beside this module with the hash of the labels, and `entp gate fit` makes them anew.
There are two: one over the figures that need no model, one that also has the answers of the model that was asked.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Float64
from ..errors import ConfigError

WORDS = (
    "similarity",
    "parent_similarity",
    "novelty",
    "coverage",
    "sentence",
    "copy",
    "request_coverage",
    "numbers_kept",
    "asked",
    "answered",
    "answered_whole",
    "asks_apart",
    "clauses_apart",
    "sentences_apart",
    "said_twice",
    "handed_back",
    "described",
    "dangling",
    "short",
    "words",
    "words_an_ask",
    "parents",
)  # figures of the gate that need no model
ASKED = ("alone", "complete", "done", "true", "good")  # probabilities of "yes" (judge.py)
STRENGTH = 0.1  # inverse strength of the L2 penalty: few rows, many figures


@dataclass(frozen=True)
class Score:
    """Coefficients of one logistic regression over standardised figures.

    `bound`: least probability of a row that the gate lets through. `names`, `mean`, `scale` and `weight` belong
    together, one entry a figure.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    intercept: float
    bound: float
    rows: int = 0
    data: str = ""

    def probability(self, figures: Mapping[str, float]) -> float:
        """The probability of a good row. A figure that is not there counts as the mean."""
        total = self.intercept + sum(self.parts(figures).values())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def parts(self, figures: Mapping[str, float]) -> dict[str, float]:
        """What each figure adds to the log odds."""
        columns = zip(self.names, self.mean, self.scale, self.weight, strict=True)
        return {
            name: weight * (figures[name] - mean) / scale if name in figures else 0.0
            for name, mean, scale, weight in columns
        }

    def worst(self, figures: Mapping[str, float]) -> str:
        """The figure that speaks most against the row."""
        parts = self.parts(figures)
        return min(parts, key=lambda name: parts[name])


@functools.cache
def load_score(kind: str, path: str = "") -> Score | None:
    """The score `kind` (`fused_words`, `fused_asked`, `cured_words`, `cured_asked`); None where the file has none.

    `path` is a file made by `entp gate fit`, "" the shipped one.

    Raises ConfigError for a file that can't be read.
    """
    try:
        shipped = resources.files("entp_hf.gate").joinpath("score.json")
        text = Path(path).read_text("utf-8") if path else shipped.read_text("utf-8")
        found: dict[str, Any] | None = json.loads(text).get(kind)
        if found is None:
            return None
        columns: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return Score(**columns)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            [f"gate_score_file: {path or 'score.json'}: {error}; make one by `entp gate fit`"]
        ) from error


def fit(
    figures: Sequence[Mapping[str, float]], good: Sequence[bool], names: Sequence[str], precision: float, data: str
) -> tuple[Score, float]:
    """The score fitted to labelled rows, and its cross-validated AUC.

    Args:
        figures: of each row, by name.
        good: the label of each row.
        names: the figures to use.
        precision: share of good rows among the accepted ones that the bound is set for, by cross-validation.
        data: hash of the labelled rows (`hash_of`).

    Raises ConfigError for fewer than 20 good or 20 bad rows.

    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    label = np.asarray(good, bool)
    if min(label.sum(), (~label).sum()) < 20:
        raise ConfigError(
            [f"labelled rows: {label.sum()} good and {(~label).sum()} bad; a score needs 20 of each at least"]
        )
    table = np.array([[float(row.get(name, np.nan)) for name in names] for row in figures])
    table = np.where(np.isnan(table), np.nanmean(table, axis=0), table)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    chance = cross_val_predict(model, table, label, cv=folds, method="predict_proba")[:, 1]
    model.fit(table, label)
    scaler, regression = model[0], model[1]
    score = Score(
        tuple(names),
        _rounded(scaler.mean_),
        _rounded(scaler.scale_),
        _rounded(regression.coef_[0]),
        round(float(regression.intercept_[0]), 5),
        bound_for(chance, label, precision),
        len(label),
        data,
    )
    return score, float(roc_auc_score(label, chance))


def _rounded(values: Float64) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)


def bound_for(chance: Float64, good: Any, precision: float) -> float:
    """The lowest bound above which `precision` of the rows are good, where 10 rows at least are above it.

    Where no bound reaches it, the one of the highest precision.
    """
    order = np.argsort(-chance, kind="stable")
    hits = np.cumsum(np.asarray(good, bool)[order]) / np.arange(1, len(order) + 1)
    enough = np.arange(len(order)) >= min(9, len(order) - 1)
    reached = np.flatnonzero((hits >= precision) & enough)
    at = int(reached[-1]) if len(reached) else int(np.flatnonzero(enough)[np.argmax(hits[enough])])
    return round(float(chance[order[at]]), 4)


def hash_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """16 hex digits of ids and labels, in order of ids: which labelled rows a score was fitted to."""
    told = sorted((str(row["id"]), str(row["label"])) for row in rows)
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
