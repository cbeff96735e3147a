"""The manifest's `correction`: the fitted model, its standard errors, and notes in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64
from ..schema import LEVELS
from .calibration import Tuned
from .latent_class import Latent

MIN_ROWS = 20  # least expected rows in a level that ratings may be corrected into (not in the paper)


@dataclass(frozen=True)
class Fit:
    """A fitted model with its standard errors and stability."""

    model: Latent
    spread: Float64  # (R, L, K) standard errors
    identified: NDArray[np.bool_]  # (L,)
    stability: list[dict[str, float]]
    by_neighbors: bool


def describe(
    fitted: Fit, scores: Float64, tuned: Tuned, trusted: dict[str, Any], found: dict[str, Any]
) -> dict[str, Any]:
    """The manifest's `correction`. Rows of T of levels that no row is in are 0: there is nothing to say of them."""
    model, seen = fitted.model, fitted.model.seen()
    raters = len(fitted.spread)
    shown = np.where(seen[None, :, None], model.transition[:raters], 0)
    failed = np.zeros(raters) if model.failed is None else model.failed[:raters]
    return {
        "method": "posterior",
        "basis": "neighbors" if fitted.by_neighbors else "raters",
        "levels": int(seen.sum()),
        "level_scores": _round(scores),
        "prior": _round(model.prior),
        "transition": _round(shown),
        "transition_se": _round(np.where(seen[None, :, None], fitted.spread, 0)),
        "identified": fitted.identified.tolist(),
        "stability": fitted.stability,
        "failed": _round(failed),
        "damping": tuned.choice.damping,
        "surroundings": tuned.choice.as_dict(),
        "gold": trusted,
        "agreement": found,
        "notes": notes(fitted, tuned, trusted, found),
    }


def notes(fitted: Fit, tuned: Tuned, trusted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Assumptions and limits of the correction, in words."""
    out, choice = [], tuned.choice
    if fitted.by_neighbors:
        out.append(
            "The correction rests on near neighbors sharing a true score; where they do not, confidence is too high."
        )
    else:
        out.append(
            "The correction rests on the raters' mistakes being independent given the true score; a bias that "
            "they share can't be seen."
        )
    if "near" in found:
        out.append(
            f"The nearest row has the same rating for {found['near']:.1%} of rows, a random row for "
            f"{found['chance']:.1%}."
        )
    if "same_level" in found:
        out.append(f"By several raters, {found['same_level']:.1%} of rows share their level with the nearest row.")
    said = f"{choice.votes} neighbors vote, each weighing {choice.damping:g} against 1 for the row's own rating"
    ahead = "ratings predicted from the texts of other rows set the prior" if choice.predicted else ""
    out += [text[0].upper() + text[1:] + "." for text in (ahead, said if choice.damping else "") if text]
    if fitted.stability and fitted.model.seen().sum() < LEVELS:
        out.append(
            f"The data support {fitted.model.seen().sum()} distinct quality levels, not {LEVELS}: more do not "
            "repeat on split halves."
        )
    if not fitted.identified.all():
        unknown = np.flatnonzero(~fitted.identified).tolist()
        out.append(
            f"Levels {unknown} hold fewer than {MIN_ROWS} rows or can't be told apart: "
            "nothing was corrected into them."
        )
    if fitted.model.failed is not None:
        for rater in np.flatnonzero(fitted.model.failed):
            out.append(
                f"Rater {rater + 1} gave 0 for {fitted.model.failed[rater]:.1%} of rows whatever their quality: those "
                "ratings count as failed."
            )
    if "accuracy" in trusted:
        out.append(
            f"On {trusted['rows']} trusted scores the level is right for {trusted['accuracy']:.1%} at a mean "
            f"confidence of {trusted['mean_confidence']:.1%} (cross-validated)."
        )
    return out


def _round(values: Float64) -> list[Any]:
    listed: list[Any] = np.round(values, 4).tolist()
    return listed
