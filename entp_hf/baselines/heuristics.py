"""Selectors that need no model of their own: base, full, random, length, knn, alpagasus, ds2-raw, ds2."""

from __future__ import annotations

import numpy as np

from ..arrays import Float64
from ..embedding.neighbors import nearest
from ..schema import response_of
from .base import Picked, Pool, Settings, best_first


def base(pool: Pool, n: int, settings: Settings) -> Picked:
    """No rows: the model as it is, without tuning."""
    return Picked(np.zeros(0, np.int64))


def full(pool: Pool, n: int, settings: Settings) -> Picked:
    """All rows, whatever n."""
    return Picked(np.arange(len(pool), dtype=np.int64))


def random(pool: Pool, n: int, settings: Settings) -> Picked:
    """Rows drawn without replacement, each with the same chance, by the configuration's seed."""
    return Picked(np.random.default_rng(pool.config.seed).permutation(len(pool))[:n].astype(np.int64))


def length(pool: Pool, n: int, settings: Settings) -> Picked:
    """The longest completions (Zhao et al., Long Is More for Alignment, arXiv 2402.04833).

    Length is that of the last assistant turn in characters (not in the paper, which counts one model's tokens).
    """
    return best_first(np.array([len(response_of(row)) for row in pool.listed], float), n, pool.config.seed)


def knn(pool: Pool, n: int, settings: Settings) -> Picked:
    """The rows farthest from their k nearest neighbors, by mean cosine distance of embeddings; k = 10.

    As the k-NN baseline of DS2 (arXiv 2410.10877).
    """
    k = int(settings["k"])
    near = pool.neighbors if k <= pool.neighbors.distance.shape[1] else nearest(pool.vectors, k)
    return best_first(near.distance[:, :k].mean(axis=1).astype(float), n, pool.config.seed)


def alpagasus(pool: Pool, n: int, settings: Settings) -> Picked:
    """The highest raw ratings (Chen et al., AlpaGasus, arXiv 2307.08701), ties in a seeded random order.

    The paper keeps what an LLM rates `threshold` or more of 5. Here the n best are taken, and those among them that
    are under the threshold are counted in the notes, so that all methods can be compared at one size.
    """
    picked = best_first(pool.raw_score, n, pool.config.seed)
    assert picked.score is not None
    under = int((picked.score < float(settings["threshold"])).sum())
    note = f"{under:,} of {len(picked.index):,} rows are rated under AlpaGasus's threshold {settings['threshold']}"
    return Picked(picked.index, picked.score, [*picked.notes, note] if under else picked.notes)


def ds2_raw(pool: Pool, n: int, settings: Settings) -> Picked:
    """DS2 without curation (arXiv 2410.10877): highest raw rating first, within one rating highest long-tail score."""
    return best_first(pool.raw_level, n, pool.config.seed, pool.long_tail.astype(float))


def ds2(pool: Pool, n: int, settings: Settings) -> Picked:
    """DS2 (Pang et al., arXiv 2410.10877): highest corrected score first, within one highest long-tail score.

    The long-tail score is the mean cosine distance to the 10 nearest rows. The correction is the configuration's;
    `correction: simifeat` is the paper's own.
    """
    return best_first(pool.corrected, n, pool.config.seed, pool.long_tail.astype(float))


def middle(score: Float64, n: int, seed: int) -> Picked:
    """The n rows whose rank by score is nearest to the median rank, nearest first."""
    ranked = best_first(score, len(score), seed)
    order = ranked.index
    away = np.abs(np.arange(len(order)) - (len(order) - 1) / 2)
    chosen = order[np.argsort(away, kind="stable")][:n]
    return Picked(chosen, score[chosen], ranked.notes)
