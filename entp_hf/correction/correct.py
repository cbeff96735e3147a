"""Correct noisy ratings: estimate the score transition matrix, then each row's posterior of the true score.

Method: ENTP section "rating correction" after DS2 (arXiv 2410.10877). Where DS2 fits T by gradient descent on
consensus counts and re-ranks by votes, the default here fits the same model by EM and applies Bayes' rule:
P(s | ...) ~ P(s | neighbors, features) prod_r T_r[s, own rating of r]; `local_prior` has the first factor, which is
not in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, FloatMatrix, Ints
from ..embedding.neighbors import RECALL, Neighbors, check_embeddings, copies, nearest
from ..errors import StageError
from ..execution.tables import gathered
from . import rating_scale as scale
from .local_prior import NUM_NEIGHBORS
from .task import CorrectedRatings, CorrectionSettings, Task, as_they_came

METHODS = ("posterior", "simifeat", "none")


def correct_ratings(
    ratings: Float64,
    embeddings: FloatMatrix | None = None,
    *,
    copy_of: Ints | None = None,
    features: Float64 | None = None,
    gold: Float64 | None = None,
    neighbor_table: Neighbors | None = None,
    method: str = "posterior",
    neighbors: int = 10,
    damping: float = -1.0,
    levels: int = 0,
    change_confidence: float = 0.5,
    seed: int = 0,
    paper_compat: bool = False,
) -> CorrectedRatings:
    """Correct noisy ratings: each row's posterior of its true score, from its own ratings and its neighbors'.

    Fewer than three raters need `embeddings`, for neighbors lend the missing votes; with more they help. The model is
    derived in docs/correction.md.

    Args:
        ratings: (N,) or (N, R), on 0..5; NaN where a rater gave none.
        embeddings: (N, d), of any lengths but 0.
        copy_of: (N,) the number of the first row of each set of exact copies, by default rows of the same embedding.
            Copies count once and get one score.
        features: (N, F) what else may bear on quality, finite; see `lengths`.
        gold: (N,) trusted scores on 0..5, NaN where there are none; 30 or more calibrate the posterior.
        neighbor_table: neighbors of an earlier result on the same rows, or of your own index; by default they are
            searched for, once.
        method: "posterior"; "simifeat", the paper's vote and rank; or "none", the ratings as they came.
        neighbors: neighbors that lend votes where `damping` is set, and to the fit of T.
        damping: weight of the neighbors' votes, 0..1; below 0, the weight, number and use of predictions under which
            the rows' own ratings are most likely.
        levels: latent levels, 2..6; 0: the most on which split halves agree.
        change_confidence: posterior probability from which a rating is replaced.
        seed: of splits, folds, bootstraps and draws.
        paper_compat: `simifeat` enters every row twice, as DS2's code does.

    Raises:
        StageError: for ratings off the scale, arguments of unequal length, fewer than three distinct rated rows,
            embeddings or features that are not finite, or embeddings that the method needs and were not given.
    """
    ratings = np.asarray(ratings, dtype=float)
    ratings = ratings[:, None] if ratings.ndim == 1 else ratings
    whole = scale.as_levels(ratings)
    inputs = {"embeddings": embeddings, "features": features, "gold": gold, "copy_of": copy_of}
    _check(
        len(ratings), {**inputs, "neighbor_table": None if neighbor_table is None else neighbor_table.index}, method
    )
    if copy_of is None:
        copy_of = np.arange(len(ratings)) if embeddings is None else copies(embeddings)
    originals, back = np.unique(copy_of, return_inverse=True)
    _enough(whole, embeddings, originals, back)
    near = None if neighbor_table is None else neighbor_table.among(originals)
    if near is None and embeddings is not None:
        near = nearest(gathered(embeddings, originals), max(NUM_NEIGHBORS, neighbors))
    distinct = scale.one_per_text(ratings, originals, back)
    truth = np.full((len(ratings), 1), np.nan) if gold is None else np.asarray(gold, dtype=float)[:, None]
    task = Task(
        ratings=distinct,
        whole=scale.as_levels(distinct),
        near=near,
        embeddings=None if embeddings is None else gathered(embeddings, originals),
        features=None if features is None else np.asarray(features, dtype=float)[originals],
        gold=scale.one_per_text(truth, originals, back)[:, 0],
        seed=seed,
    )
    result = _run(task, method, CorrectionSettings(neighbors, damping, levels, change_confidence), paper_compat)
    return _to_rows(result, ratings, whole, near, originals, back)


def _run(task: Task, method: str, settings: CorrectionSettings, paper_compat: bool) -> CorrectedRatings:
    if method == "none":
        return as_they_came(task, ["ratings were taken as they came"], "none")
    raters = task.whole.shape[1]
    if task.near is None and (raters < 3 or method == "simifeat"):
        raise StageError(
            "correct",
            f"{raters} rater(s) and method {method} need embeddings: neighbors lend the missing votes. Give "
            "embeddings, at least three raters, or set correction to none",
        )
    if method == "simifeat":
        from .simifeat import vote

        return vote(task, settings, paper_compat)
    from .posterior import correct

    return correct(task, settings)


def _to_rows(
    result: CorrectedRatings, ratings: Float64, whole: Ints, near: Neighbors | None, originals: Ints, back: Ints
) -> CorrectedRatings:
    """From distinct texts to rows: a copy gets its original's result, unless it was not rated at all."""
    rated = (whole >= 0).any(axis=1)
    score = np.where(rated, result.score[back], -1)
    raw = scale.reference(ratings, whole) if len(originals) < len(back) else None
    changed = result.changed[back] if raw is None else (score != raw) & rated
    return CorrectedRatings(
        score=score,
        expected=np.where(rated, result.expected[back], np.nan),
        confidence=np.where(rated, result.confidence[back], np.nan),
        changed=changed & rated,
        long_tail=None if near is None else near.long_tail()[back],
        info=result.info if near is None else result.info | _searched(near, result.info),
        posterior=None if result.posterior is None else result.posterior[back],
        neighbors=near if near is None or len(originals) == len(back) else near.of(originals, back),
    )


def _searched(near: Neighbors, info: dict[str, Any]) -> dict[str, Any]:
    """How many of the true neighbors were found, and in words where not all were."""
    note = f"The search among many rows found {near.recall:.1%} of the nearest (aim {RECALL:.0%})."
    return {"neighbour_recall": near.recall, "notes": info["notes"] + [note] * (near.recall < 1)}


def _check(rows: int, inputs: Mapping[str, NDArray[Any] | None], method: str) -> None:
    if method not in METHODS:
        raise StageError("correct", f"method {method!r} is none of {', '.join(METHODS)}")
    for name, values in inputs.items():
        if values is not None and len(values) != rows:
            raise StageError("correct", f"{len(values)} rows of {name} for {rows} rows of ratings")
    embeddings, features, gold = inputs["embeddings"], inputs["features"], inputs["gold"]
    if embeddings is not None:
        check_embeddings(embeddings, "correct")
    if features is not None and not np.isfinite(features).all():
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise StageError("correct", "features are not finite; fill them in", [str(i) for i in bad])
    if gold is not None:
        scale.as_levels(np.asarray(gold, dtype=float)[:, None])


def _enough(whole: Ints, embeddings: FloatMatrix | None, originals: Ints, back: Ints) -> None:
    rated = np.unique(back[(whole >= 0).any(axis=1)])
    places = len(rated) if embeddings is None else _places(embeddings[originals[rated[:1000]]])
    if places < 3 and embeddings is not None:
        places = _places(embeddings[originals[rated]])
    if places < 3:
        raise StageError(
            "correct",
            f"{places} distinct rated rows; at least 3 are needed to "
            "tell noise from quality. Add rows, or set correction to none",
        )


def _places(embeddings: FloatMatrix) -> int:
    """Number of distinct rows, up to 3."""
    for count in range(3):
        if not len(embeddings):
            return count
        embeddings = embeddings[(embeddings != embeddings[0]).any(axis=1)]
    return 3
