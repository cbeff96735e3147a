"""The posterior correction: fit T, choose the local prior, apply Bayes' rule, replace improbable ratings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, Ints
from ..embedding.neighbors import Neighbors
from ..schema import LEVELS
from . import calibration as gold
from . import latent_class as latent
from . import local_prior
from . import rating_scale as scale
from .calibration import Tuned
from .diagnostics import agreement, choose_levels, rater_agreement, same_level
from .latent_class import Latent
from .local_prior import Choice, LocalPrior
from .patterns import blocks_of, views
from .summary import MIN_ROWS, Fit, describe
from .task import CorrectedRatings, CorrectionSettings, Task, as_they_came

# Not in the paper:
STABLE = 0.08  # largest split-half distance of T at which a number of levels counts as supported
LOOSEST = 0.5  # largest standard error of a row of T (sum over its cells) at which it counts as known
BOOTSTRAPS = 50
SURE = 3.0  # standard errors by which votes must agree more often than by chance, to correct anything at all
LEAST = 0.5  # damping from which T is fitted again with all votes at once
CHUNK = 20_000


def correct(task: Task, settings: CorrectionSettings) -> CorrectedRatings:
    """Posterior scores of the task's M distinct texts; as they came where the votes agree no more than by chance."""
    rows = np.flatnonzero(task.rated)
    raters = task.whole.shape[1]
    by_neighbors = raters < 3
    near = task.near
    found: dict[str, Any] = {} if near is None else agreement(task.whole, near, rows, task.seed)
    z = found.pop("z", 0.0)
    if raters > 1:
        found["raters"], between = rater_agreement(task.whole)
        z = min(z, between) if by_neighbors else between
    share = scale.marginal(task.whole)
    if z < SURE and (share > 0).sum() > 1:
        votes = "neighbors" if by_neighbors else "raters"
        note = (
            f"Nothing was corrected: {votes} agree hardly more often than by chance ({z:g} standard errors, at least "
            f"{SURE:g} are needed), so the noise of the ratings cannot be estimated."
        )
        return as_they_came(task, [note], "posterior", agreement=found)
    fitted = fit(task, settings, share, rows)
    if fitted.stability and min(entry["error"] for entry in fitted.stability) > STABLE and not enough_gold(task):
        return unsteady(task, fitted, found)
    around = surround(task, fitted, rows)
    fixed = settings.damping >= 0
    if fixed:
        choice = Choice(votes=settings.neighbors, damping=settings.damping if near is not None else 0.0)
    else:
        some = local_prior.sample(rows, task.seed)
        choice = around.choose(some, around.own_likelihood(some)) if near is not None else Choice()
        if raters == 1 and choice.damping >= LEAST:
            fitted, around = refined(fitted, around, choice)
    scores, bands = scale.scale(fitted.model, share)
    tuned, trusted = calibrated(task, around, choice, scores, fixed)
    probability = np.concatenate(
        [gold.belief(around, tuned, part) for part in np.array_split(np.arange(len(task.whole)), _parts(task))]
    )
    if near is not None and raters > 1:
        found["same_level"] = round(same_level(task.whole, near, rows, fitted.model), 4)
    info = describe(fitted, scores, tuned, trusted, found)
    return decide(task, probability, scores, bands, fitted.identified, settings.change_confidence, info)


def unsteady(task: Task, fitted: Fit, found: dict[str, Any]) -> CorrectedRatings:
    """As they came, with the T that was fitted: not even two levels repeat, so it is shown and not acted on."""
    error = min(entry["error"] for entry in fitted.stability)
    note = (
        "Nothing was corrected: T, shown with its errors, does not repeat on split halves even for two levels (its "
        f"rows differ by {error:g}, at most {STABLE:g} is needed). More rows or more raters would tell."
    )
    scores, _ = scale.scale(fitted.model, scale.marginal(task.whole))
    info = {**describe(fitted, scores, Tuned(Choice()), {}, found), "notes": [note]}
    return dataclasses.replace(as_they_came(task, [note], "posterior"), info=info)


def enough_gold(task: Task) -> bool:
    """There are enough trusted scores to calibrate a rough T."""
    return bool((~np.isnan(task.gold)).sum() >= gold.MIN_ROWS)


def _parts(task: Task) -> int:
    return -(-len(task.whole) // CHUNK)


def fit(task: Task, settings: CorrectionSettings, share: Float64, rows: Ints) -> Fit:
    """T and prior by EM, at the number of levels asked for or supported, with bootstrap errors.

    With several raters, those whose 0 turns out to say nothing are fitted again with failed ratings apart.
    """
    raters = task.whole.shape[1]
    lent = None
    if raters < 3 and task.near is not None:
        lent = Neighbors(task.near.index[:, : settings.neighbors], task.near.distance[:, : settings.neighbors])
    blocks = blocks_of(task.whole, lent, rows)
    observed, levels = int((share > 0).sum()), settings.levels
    stability: list[dict[str, float]] = []
    if not levels and observed > 1:
        levels, stability = choose_levels(task.whole, lent, rows, share, task.seed, STABLE)
    if not levels or levels >= observed:
        levels = LEVELS  # a level for each rating; those of ratings that nobody gave stay empty
    begin = latent.starts(share, levels, views(raters, lent is not None))
    model = latent.best(blocks, begin)
    failing = failing_raters(model, share, task.whole)
    if failing:
        model = latent.best(blocks, begin, failing=failing)
    spread = latent.bootstrap(blocks, model, len(rows), BOOTSTRAPS, task.seed)[:raters]
    enough = model.prior * len(rows) >= MIN_ROWS
    tight = spread.sum(axis=2).max(axis=0) <= LOOSEST
    return Fit(model, spread, enough & tight & named(model, raters), stability, lent is not None)


def named(model: Latent, raters: int) -> NDArray[np.bool_]:
    """Levels (L,) that can be told by name: where there is one for each rating, its rating is the likeliest in it.

    That is what makes T unique but for the order of its rows (Zhu et al., arXiv 2102.05291, informative labels); a
    row of T that breaks it was named by what was left over.
    """
    levels, k = model.transition.shape[1:]
    likeliest = model.transition[:raters].mean(axis=0).argmax(axis=1)
    return np.full(levels, True) if levels < k else likeliest == np.arange(k)


def failing_raters(model: Latent, share: Float64, whole: Ints) -> list[int]:
    """Raters whose 0 says nothing: at the best level more common than 1, and mostly as common at every level.

    DS2 stores a reply that could not be read as 0; on its real ratings one rater has 9% of them at every level.
    """
    levels = np.flatnonzero(model.prior > 0.01)
    failing = []
    for rater in range(whole.shape[1]):
        zeros = model.transition[rater, levels, 0]
        given = float((whole[:, rater] == 0).mean())
        flat = zeros.min() >= 0.5 * max(given, latent.TINY)
        if len(levels) > 1 and given > 0.01 and flat and zeros[-1] > model.transition[rater, levels[-1], 1]:
            failing.append(rater)
    return failing


def surround(task: Task, fitted: Fit, rows: Ints) -> LocalPrior:
    """The local prior under the fitted model."""
    near, whole, model = task.near, task.whole, fitted.model
    if near is None:
        nobody = np.zeros((len(whole), 1))
        return LocalPrior(whole, Neighbors(nobody.astype(np.int64), nobody.astype(np.float32)), model, None)
    failing = np.zeros(whole.shape[1]) if model.failed is None else model.failed[: whole.shape[1]]
    usable = np.where((failing > 0)[None] & (whole == 0), -1, whole)  # a failed rating is nothing to learn from
    unit = task.embeddings
    guess = None if unit is None else local_prior.predict(usable, near, unit, task.features, rows, task.seed)
    local = None if guess is None else local_prior.levels_given(*guess, whole, rows, model)
    return LocalPrior(whole, near, model, local)


def refined(fitted: Fit, around: LocalPrior, choice: Choice) -> tuple[Fit, LocalPrior]:
    """Fitted again with all votes at once, where the likelihood gives neighbors the weight of the own rating."""
    model = latent.with_all_votes(fitted.model, around.whole[:, 0], around.ballots(choice))
    return dataclasses.replace(fitted, model=model), dataclasses.replace(around, model=model)


def calibrated(
    task: Task, around: LocalPrior, choice: Choice, scores: Float64, fixed: bool
) -> tuple[Tuned, dict[str, Any]]:
    """Tuned on the trusted scores, and what they say; as chosen, and {}, where there are too few."""
    known = np.flatnonzero(~np.isnan(task.gold))
    if len(known) < gold.MIN_ROWS:
        return Tuned(choice), {"rows": len(known)} if len(known) else {}
    level = np.abs(task.gold[known][:, None] - scores[None]).argmin(axis=1)
    return gold.calibrate(around, choice, known, level, fixed, task.seed)


def decide(
    task: Task,
    probability: Float64,
    scores: Float64,
    bands: Ints,
    identified: NDArray[np.bool_],
    bound: float,
    info: dict[str, Any],
) -> CorrectedRatings:
    """Replace ratings outside the band of a level that is likely enough; never into a level that isn't identified."""
    rated, before = task.rated, scale.reference(task.ratings, task.whole)
    probability = np.round(probability, 9)  # so that equally likely levels stay so: the lowest is taken
    best = np.where(identified[None] | ~identified.any(), probability, -1).argmax(axis=1)
    confidence = probability[np.arange(len(best)), best]
    low, high = bands[best, 0], bands[best, 1]
    sure = (confidence >= bound) & identified[best] & rated & ~((before >= low) & (before <= high))
    target = np.clip(np.floor(scores[best] + 0.5), low, high).astype(np.int64)
    score = np.where(rated, np.where(sure, target, before), -1)
    expected = np.where(rated, probability @ scores, np.nan)
    changed = (score != before) & rated
    return CorrectedRatings(
        score=score,
        expected=expected,
        confidence=np.where(rated, confidence, np.nan),
        changed=changed,
        long_tail=None,
        info=info,
        posterior=probability,
    )
