"""Token losses of a causal language model over rows and texts, on disk for many rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets.utils import tqdm

from ..arrays import Float64, FloatMatrix
from ..config import SMOLLM2, EntpConfig
from ..errors import memory_advice
from ..io.sqlite_cache import get_vectors, put_vectors
from ..schema import Row
from .chat_template import encode, training_template
from .loading import fingerprint, load_causal_lm, load_tokenizer, resolve

CHUNK = 64  # rows between two writes to the cache
Tokens = tuple[list[int], list[int]]  # ids, and 1 where a token is the assistant's


def row_losses(model: Any, batch: Sequence[tuple[list[int], list[int]]]) -> tuple[list[float], list[int]]:
    """For rows of (token ids, 0/1 mask) the summed loss in nats over the marked tokens, and how many they are.

    The first token of a row has nothing before it, so it is never predicted and never counted.
    """
    import torch

    ids, masks = ([torch.tensor(part) for part in parts] for parts in zip(*batch, strict=True))
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = pad(ids, batch_first=True).to(model.device)
    counted = pad(masks, batch_first=True).to(model.device).bool()[:, 1:]
    attention = pad([torch.ones_like(row) for row in ids], batch_first=True).to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=inputs, attention_mask=attention).logits[:, :-1][counted].float()
        each = torch.nn.functional.cross_entropy(logits, inputs[:, 1:][counted], reduction="none")
        total = torch.zeros(len(batch), device=each.device)
        total.index_add_(0, counted.nonzero()[:, 0], each)
    return total.tolist(), counted.sum(1).tolist()


def measuring_model(config: EntpConfig) -> str:
    """The model whose losses and gradients are taken: for `auto` the small one, not the one that writes."""
    return SMOLLM2 if config.model == "auto" else config.model


def losses(rows: Sequence[Row], config: EntpConfig, max_length: int) -> Float64:
    """(N, 2): mean loss in nats of each row's assistant tokens, given what precedes them, and by themselves.

    NaN where `max_length` leaves none. "By themselves": after the tokenizer's first or end token alone.
    """
    name = measuring_model(config)
    path = resolve(name, str(config.cache_path()))
    tokenizer = load_tokenizer(path)
    encoded = encode(tokenizer, [row["messages"] for row in rows], training_template(tokenizer))
    pairs = [(ids[:max_length], mask[:max_length]) for ids, mask in zip(*encoded, strict=True)]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id

    def score(part: Sequence[Tokens]) -> FloatMatrix:
        model = load_causal_lm(path, config.device)
        alone = []
        for ids, mask in part:
            answer = [token for token, counts in zip(ids, mask, strict=True) if counts]
            alone.append(([start, *answer], [0, *[1] * len(answer)]))
        return np.stack([mean_losses(model, part), mean_losses(model, alone)], axis=1)

    kind = f"losses\x1f{fingerprint(name)}"
    return scored_on_disk(pairs, kind, score, config, "answer losses").astype(float)


def mean_losses(model: Any, part: Sequence[Tokens]) -> FloatMatrix:
    """Mean loss over the marked tokens of each row, (B,); NaN where a row has none."""
    total, count = (np.array(values, dtype=np.float32) for values in row_losses(model, part))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def scored_on_disk(
    pairs: Sequence[Tokens], kind: str, score: Callable[[Sequence[Tokens]], FloatMatrix], config: EntpConfig, desc: str
) -> FloatMatrix:
    """`score` of batches of rows, (N, d), each row's kept in the cache under `kind` and its tokens.

    Rows of like length share a batch. Every 64 rows are written, so a run that was stopped goes on from there.
    """
    file = config.cache_path() / "scores.sqlite"
    keys = [hashlib.blake2b(f"{kind}\x1f{pair}".encode(), digest_size=16).hexdigest() for pair in pairs]
    found: dict[str, FloatMatrix] = dict(get_vectors(file, list(dict.fromkeys(keys))))
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
