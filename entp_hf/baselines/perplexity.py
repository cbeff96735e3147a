"""Selectors by a causal LM's losses on answers: perplexity and IFD. Losses are kept on disk, so a run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets.utils import tqdm

from ..config import EntpConfig
from ..correction.latent_class import Array
from ..embedding.neighbors import Floats
from ..errors import ConfigError
from ..io.sqlite_cache import get_vectors, put_vectors
from ..llm.local import LocalChat
from ..memory import memory_advice
from ..models.chat_template import encode, row_losses, training_template
from ..models.loading import load_causal_lm, load_tokenizer, resolve
from ..schema import Row
from .base import Picked, Pool, Settings, best_first
from .heuristics import middle

CHUNK = 64  # rows between two writes to the cache
Tokens = tuple[list[int], list[int]]  # ids, and 1 where a token is the assistant's


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
    told = [f"{useless:,} of {len(pool):,} rows have an IFD of 1 or more: the instruction does not help"]
    return Picked(picked.index, picked.score, told if useless else [])


def losses(rows: Sequence[Row], config: EntpConfig, max_length: int) -> Array:
    """(N, 2): mean loss in nats of each row's assistant tokens, given what precedes them, and by themselves.

    NaN where `max_length` leaves none. "By themselves": after the tokenizer's first or end token alone.
    """
    path = resolve(config.model, str(config.cache_path()))
    tokenizer = load_tokenizer(path)
    encoded = encode(tokenizer, [row["messages"] for row in rows], training_template(tokenizer))
    pairs = [(ids[:max_length], mask[:max_length]) for ids, mask in zip(*encoded, strict=True)]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id

    def score(part: Sequence[Tokens]) -> Floats:
        model = load_causal_lm(path, config.device)
        alone = []
        for ids, mask in part:
            answer = [token for token, counts in zip(ids, mask, strict=True) if counts]
            alone.append(([start, *answer], [0, *[1] * len(answer)]))
        return np.stack([mean_losses(model, part), mean_losses(model, alone)], axis=1)

    kind = f"losses\x1f{LocalChat(config.model).name}"
    return scored_on_disk(pairs, kind, score, config, "answer losses").astype(float)


def mean_losses(model: Any, part: Sequence[Tokens]) -> Floats:
    """Mean loss over the marked tokens of each row, (B,); NaN where a row has none."""
    total, count = (np.array(values, dtype=np.float32) for values in row_losses(model, part))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def scored_on_disk(
    pairs: Sequence[Tokens], kind: str, score: Callable[[Sequence[Tokens]], Floats], config: EntpConfig, desc: str
) -> Floats:
    """`score` of batches of rows, (N, d), each row's kept in the cache under `kind` and its tokens.

    Rows of like length share a batch. Every 64 rows are written, so a run that was stopped goes on from there.
    """
    file = config.cache_path() / "scores.sqlite"
    keys = [hashlib.blake2b(f"{kind}\x1f{pair}".encode(), digest_size=16).hexdigest() for pair in pairs]
    found: dict[str, Floats] = dict(get_vectors(file, list(dict.fromkeys(keys))))
    missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in found}
    order = sorted(missing, key=lambda key: (len(missing[key][0]), key))
    with tqdm(total=len(order), desc=desc, disable=not order, unit="row") as bar:
        for begin in range(0, len(order), CHUNK):
            chunk = order[begin : begin + CHUNK]
            parts = [chunk[i : i + config.batch_size] for i in range(0, len(chunk), config.batch_size)]
            with memory_advice(desc, "Lower batch_size or max_length"):
                matrix = np.concatenate([score([missing[key] for key in part]) for part in parts])
            put_vectors(file, chunk, matrix)
            found.update(zip(chunk, matrix, strict=True))
            bar.update(len(chunk))
    return np.stack([found[key] for key in keys])
