"""RDS+: rows whose hidden states in the model are similar to those of a target set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Float64, FloatMatrix, Ints
from ..config import EntpConfig
from ..embedding.exact import fine
from ..models.chat_template import encode, training_template
from ..models.loading import fingerprint, load_causal_lm, load_tokenizer, resolve
from ..models.losses import Tokens, measuring_model, scored_on_disk
from ..schema import Row
from .base import Picked, Pool, Settings


def rds(pool: Pool, n: int, settings: Settings) -> Picked:
    """RDS+ (Ivison et al., Large-Scale Data Selection for Instruction Tuning, arXiv 2503.01807).

    A row is the mean of the last layer's hidden states over all its tokens, token i of L weighted by i (its position
    weighting); target rows take turns, each taking the row of highest cosine similarity that is not taken yet.
    """
    target = pool.needs_target("rds")
    longest = int(settings["max_length"])
    mine = representations(pool.listed, pool.config, longest)
    wanted = representations(target, pool.config, longest)
    similarity = fine(wanted) @ fine(mine).T
    order = turns(similarity, n)
    return Picked(order, similarity.max(axis=0)[order])


def turns(similarity: Float64, n: int) -> Ints:
    """Row numbers in the order in which the targets take them; `similarity` (targets, N)."""
    preference = np.argsort(-similarity, axis=1, kind="stable")
    place = np.zeros(len(similarity), np.int64)
    taken: dict[int, None] = {}
    while len(taken) < min(n, similarity.shape[1]):
        for target in range(len(similarity)):
            if len(taken) == min(n, similarity.shape[1]):
                break
            while int(preference[target, place[target]]) in taken:
                place[target] += 1
            taken[int(preference[target, place[target]])] = None
    return np.array(list(taken), dtype=np.int64)


def representations(rows: Sequence[Row], config: EntpConfig, max_length: int) -> FloatMatrix:
    """Position-weighted mean of the last hidden states, (N, d), unit length. Kept on disk."""
    path = resolve(measuring_model(config), str(config.cache_path()))
    tokenizer = load_tokenizer(path)
    encoded = encode(tokenizer, [row["messages"] for row in rows], training_template(tokenizer))
    pairs = [(ids[:max_length], mask[:max_length]) for ids, mask in zip(*encoded, strict=True)]

    def score(part: Sequence[Tokens]) -> FloatMatrix:
        return pooled(load_causal_lm(path, config.device), [ids for ids, _ in part])

    return scored_on_disk(pairs, f"rds\x1f{fingerprint(measuring_model(config))}", score, config, "representations")


def pooled(model: object, rows: Sequence[Sequence[int]]) -> FloatMatrix:
    """(B, d): sum_i i h_i / sum_i i over a row's tokens i = 1..L, scaled to unit length."""
    import torch

    network: torch.nn.Module = getattr(model, "base_model")  # noqa: B009  (typed as a plain object)
    device = next(network.parameters()).device
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    position = torch.arange(1, ids.shape[1] + 1)
    weight = torch.where(position <= lengths[:, None], position, 0)
    with torch.inference_mode():
        attention = (weight > 0).long().to(device)
        states = network(input_ids=ids.to(device), attention_mask=attention).last_hidden_state.float().cpu()
    mean = (states * weight[:, :, None]).sum(1) / weight.sum(1, keepdim=True)
    found: FloatMatrix = torch.nn.functional.normalize(mean, dim=1).numpy().astype(np.float32)
    return found
