"""A causal language model loaded in this process, and the forward passes that `LocalChat` is made of."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from ..errors import EntpError, require
from .protocol import ChatRequest


@dataclass(frozen=True)
class Engine:
    """A loaded model: its stop tokens, and the most tokens that it can attend to (None: no bound known)."""

    model: Any
    tokenizer: Any
    stops: frozenset[int]
    context: int | None

    def prompt_ids(self, request: ChatRequest) -> tuple[list[int], str]:
        """Token ids of the chat-formatted prompt and "", or [] and why the request can't be answered."""
        try:
            ids = self.tokenizer.apply_chat_template(
                request.as_messages(), add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"]
        except jinja2.TemplateError as error:  # a template may refuse a role or an order of roles
            return [], f"the model's chat template refuses the messages: {error}"
        if request.max_tokens < 1:
            return [], f"max_tokens is {request.max_tokens}; it must be at least 1"
        if self.context and len(ids) + request.max_tokens > self.context:
            return [], (
                f"the prompt has {len(ids)} tokens and the reply may have {request.max_tokens}: together over the "
                f"model's context of {self.context}"
            )
        return list(ids), ""


def load(model: str, device: str, cache_dir: str) -> Engine:
    """The engine of `model`, loaded once a process. `cache_dir` as in `models.resolve`."""
    require("torch", "models", "A model in this process")
    from ..execution.threads import set_threads

    set_threads()
    return _loaded(model, device, cache_dir)


@functools.cache
def _loaded(model: str, device: str, cache_dir: str) -> Engine:
    from ..models import loading as models

    path = models.resolve(model, cache_dir)
    tokenizer = models.load_tokenizer(path)
    network = models.load_causal_lm(path, models.pick_device(device)).eval()
    ends = network.generation_config.eos_token_id
    stops = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return Engine(network, tokenizer, frozenset(stops), context)


def generate(
    engine: Engine, prompts: Sequence[list[int]], requests: Sequence[ChatRequest], doing: Callable[[str], None]
) -> Iterator[tuple[int, list[int], bool]]:
    """Yield (row, drawn tokens, whether it ended by itself) as each row finishes; finished rows leave the batch.

    `doing` is told after each step how far the rows are.
    """
    import torch

    if not prompts:
        return
    device = engine.model.device
    width = max(map(len, prompts))
    tokens = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    rows, drawn = list(range(len(prompts))), [list[int]() for _ in prompts]
    dice = [_generator(request) for request in requests]
    cache = None
    doing("reading prompts")
    while rows:
        with torch.inference_mode():
            out = engine.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits = out.past_key_values, out.logits[:, -1].float().cpu()
            for row, scores in zip(rows, logits, strict=True):
                drawn[row].append(_draw(scores, requests[row].temperature, dice[row]))
            doing(f"{len(drawn[rows[0]])} tokens")
            done = [drawn[r][-1] in engine.stops for r in rows]
            stay = [k for k, r in enumerate(rows) if not done[k] and len(drawn[r]) < requests[r].max_tokens]
            left = [(r, done[k]) for k, r in enumerate(rows) if k not in set(stay)]
            if stay and left:
                index = torch.tensor(stay, device=device)
                cache.batch_select_indices(index)
                mask, positions = mask[index], positions[index]
            rows = [rows[k] for k in stay]
            if rows:
                tokens = torch.tensor([[drawn[r][-1]] for r in rows], device=device)
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                positions = positions[:, -1:] + 1
        for row, ended in left:
            yield row, drawn[row], ended


def _generator(request: ChatRequest) -> Any:
    import torch

    seed = hashlib.blake2b(json.dumps([request.messages, request.attempt]).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)


def _draw(scores: Any, temperature: float, generator: Any) -> int:
    if temperature <= 0:
        return int(scores.argmax())
    return int((scores / temperature).softmax(0).multinomial(1, generator=generator))


def shared_count(prefix: list[int], whole: Sequence[list[int]]) -> int:
    """Tokens that all rows have in common with `prefix`; each row keeps one of its own to be asked about.

    Rows are tokenised as one text, as they must be: a token may span the end of the prefix.
    """
    count = min(len(prefix), min(map(len, whole)) - 1)
    head = np.array(prefix[:count])
    for ids in whole:
        differing = np.flatnonzero(np.array(ids[:count]) != head[:count])
        count = int(differing[0]) if differing.size else count
    return count


def digit_ids(tokenizer: Any, text: str, digits: Sequence[int], model: str) -> list[int]:
    """The token of each digit as it follows `text`. Raises EntpError where a digit is not read as one more token."""
    before = tokenizer(text)["input_ids"]
    found = []
    for digit in digits:
        after = tokenizer(f"{text}{digit}")["input_ids"]
        if after[:-1] != before:
            raise EntpError(
                f"{model} does not read {digit} after {text[-20:]!r} as one token of its own, so its probabilities "
                "tell no rating; end the prompt otherwise (with or without a space), or use the rater llm"
            )
        found.append(after[-1])
    return found


def prefill(engine: Engine, ids: list[int]) -> Any:
    """The keys and values of `ids`, batch 1, as a cache to copy; None for no tokens."""
    import torch

    if not ids:
        return None
    with torch.inference_mode():
        tokens = torch.tensor([ids], device=engine.model.device)
        return engine.model(input_ids=tokens, use_cache=True, logits_to_keep=1).past_key_values


def next_token(engine: Engine, base: Any, rows: Sequence[list[int]]) -> NDArray[np.float32]:
    """(rows, vocabulary) next-token probabilities after `base`'s tokens and each row's.

    Padding is on the right, where causal attention never looks back from: no mask and no position ids are needed.
    """
    import torch

    device = engine.model.device
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
    ends = sorted({len(row) - 1 for row in rows})  # logits over the vocabulary are large: only where a row ends
    kept, where = torch.tensor(ends, device=device), torch.tensor([ends.index(len(row) - 1) for row in rows])
    with torch.inference_mode():
        cache = copy.deepcopy(base)  # a forward pass writes into the cache that it is given
        if cache is not None:
            cache.batch_repeat_interleave(len(rows))
        logits = engine.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=kept).logits
        chosen = logits[torch.arange(len(rows)), where]
        return np.asarray(chosen.float().softmax(1).cpu())
