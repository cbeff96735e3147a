"""Selectors by a causal LM's losses on answers: perplexity and IFD. Losses are kept on disk."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..models.losses import losses
from .base import Picked, Pool, Settings, best_first
from .heuristics import middle


def perplexity(pool: Pool, n: int, settings: Settings) -> Picked:
    """The middle band of answers' perplexity under the model (Marion et al., arXiv 2309.04564, find it the best).

    `band`: middle (n rows about the median rank), high or low. Mean loss over the assistant's tokens given what
    precedes them; rows longer than `max_length` tokens are cut.
    """
    loss = losses(pool.listed, pool.config, int(settings["max_length"]))[:, 0]
    if settings["band"] == "middle":
        picked = middle(loss, n, pool.config.seed)
    elif settings["band"] in ("high", "low"):
        picked = best_first(loss if settings["band"] == "high" else -loss, n, pool.config.seed)
    else:
        raise ConfigError([f"band: {settings['band']!r} is not one of middle, high, low"])
    return Picked(picked.index, np.exp(np.minimum(loss[picked.index], 700)), picked.notes)


def ifd(pool: Pool, n: int, settings: Settings) -> Picked:
    """The highest instruction-following difficulty below 1 (Li et al., From Quantity to Quality, arXiv 2308.12032).

    IFD = s(A | Q) / s(A), the ratio of mean losses on the answer's tokens with and without the question (its
    equations 1 to 3); 1 or more says that the question does not help, and such rows are left out, as in the paper.
    The same tokens are scored both times. The model is taken as it is (the authors' Superfiltering, arXiv 2402.00530,
    shows that a small one ranks alike), where the paper first gives it a brief training on clustered rows.
    """
    found = losses(pool.listed, pool.config, int(settings["max_length"]))
    ratio = found[:, 0] / found[:, 1]
    picked = best_first(np.where(ratio < 1, ratio, np.nan), n, pool.config.seed)
    useless = int((ratio >= 1).sum())
    notes = [f"{useless:,} of {len(pool):,} rows have an IFD of 1 or more: the instruction does not help"]
    return Picked(picked.index, picked.score, notes if useless else [])
