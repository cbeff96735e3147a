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
from .grammar import Grammar, guide
from .protocol import ChatRequest


@dataclass(frozen=True, eq=False)
class Engine:
    """A loaded model: its stop tokens, and the most tokens that it can attend to (None: no bound known)."""

    model: Any
    tokenizer: Any
    stops: frozenset[int]
    context: int | None

    @functools.cached_property
    def guide(self) -> Any:
        """The tokenizer for grammars; made at the first request with a schema."""
        return guide(self.tokenizer, self.model.get_output_embeddings().weight.shape[0])

    def prompt_ids(self, request: ChatRequest, thinking: str = "auto") -> tuple[list[int], str]:
        """Token ids of the chat-formatted prompt and "", or [] and why the request can't be answered.

        `thinking` off: told to the chat template in the words of Qwen3 and of DeepSeek; others leave them unread.
        """
        options: dict[str, Any] = {"enable_thinking": False, "thinking": False} if thinking == "off" else {}
        try:
            ids = self.tokenizer.apply_chat_template(
                request.as_messages(), add_generation_prompt=True, tokenize=True, return_dict=True, **options
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


EXACT = 500_000_000  # parameters up to which ratings are computed in float32 where bfloat16 would do (ours)


def load(model: str, device: str, cache_dir: str, dtype: str = "auto", exact: bool = False) -> Engine:
    """The engine of `model`, loaded once a process.

    Args:
        model: as `models.loading.find` takes it
        device: auto, cpu, cuda or mps
        cache_dir: the cache folder, where fetched and converted models are
        dtype: auto, float32 or bfloat16; see `models.loading.generation_dtype`
        exact: float32 on a CPU for a model of at most `EXACT` parameters, where `dtype` is auto: an expected digit of
            SmolLM2 in bfloat16 varies by a quarter of its standard deviation with the rows that share its batch
    """
    require("torch", "models", "A model in this process")
    from ..execution.threads import set_threads

    set_threads()
    return _loaded(model, device, cache_dir, dtype, exact)


@functools.cache
def _loaded(model: str, device: str, cache_dir: str, dtype: str, exact: bool) -> Engine:
    from ..models import loading as models

    path, place = models.resolve(model, cache_dir), models.pick_device(device)
    tokenizer = models.load_tokenizer(path)
    chosen = models.generation_dtype(place, dtype)
    if exact and dtype == "auto" and place == "cpu" and 0 < models.parameters(path) <= EXACT:
        chosen = "float32"
    network = models.load_causal_lm(path, place, chosen).eval()
    ends = network.generation_config.eos_token_id
    stops = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return Engine(network, tokenizer, frozenset(stops), context)


@dataclass
class _Reply:
    """One reply as it grows; `grammar` where it must be JSON."""

    request: ChatRequest
    grammar: Grammar | None
    generator: Any
    tokens: list[int]
    ended: bool = False

    def add(self, scores: Any, stops: frozenset[int]) -> None:
        """Draw the next token."""
        if self.grammar is not None:
            self.grammar.forbid(scores)
        token = _draw(scores, self.request.temperature, self.generator)
        self.tokens.append(token)
        self.ended = self.grammar.take(token) if self.grammar is not None else token in stops

    @property
    def open(self) -> bool:
        """Whether a token more may come."""
        return not self.ended and len(self.tokens) < self.request.max_tokens


def generate(
    engine: Engine,
    prompts: Sequence[list[int]],
    requests: Sequence[ChatRequest],
    doing: Callable[[str], None],
    prefix: Prefix | None = None,
) -> Iterator[tuple[int, list[int], bool]]:
    """Yield (row, drawn tokens, whether it ended by itself) as each row finishes; finished rows leave the batch.

    Args:
        engine: the model
        prompts: token ids of each row, those of `prefix` included
        requests: what each row asks for; one with a schema gets JSON by grammar
        doing: called after each step with how far the rows are
        prefix: tokens that all prompts begin with, computed already
    """
    import torch

    if not prompts:
        return
    device = engine.model.device
    shared = prefix.size if prefix else 0
    width = max(map(len, prompts)) - shared
    tokens = torch.tensor([[0] * (width + shared - len(p)) + p[shared:] for p in prompts], device=device)
    mask = torch.tensor([[1] * shared + [0] * (width + shared - len(p)) + [1] * (len(p) - shared) for p in prompts])
    mask = mask.to(device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
    rows = list(range(len(prompts)))
    replies = [
        _Reply(request, Grammar(engine.guide, request.schema) if request.schema else None, _generator(request), [])
        for request in requests
    ]
    cache = prefix.copy(len(prompts)) if prefix else None
    doing(f"reading {width * len(rows):,} tokens of prompts")
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
                replies[row].add(scores, engine.stops)
            doing(f"{len(replies[rows[0]].tokens)} tokens")
            stay = [k for k, r in enumerate(rows) if replies[r].open]
            left = [r for r in rows if not replies[r].open]
            if stay and left:
                index = torch.tensor(stay, device=device)
                cache.batch_select_indices(index)
                mask, positions = mask[index], positions[index]
            rows = [rows[k] for k in stay]
            if rows:
                tokens = torch.tensor([[replies[r].tokens[-1]] for r in rows], device=device)
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                positions = positions[:, -1:] + 1
        for row in left:
            yield row, replies[row].tokens, replies[row].ended


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


MIN_PREFIX = 16  # tokens that prompts must have in common to be computed apart (ours)


@dataclass(frozen=True)
class Prefix:
    """The keys and values of the first `size` tokens of several prompts."""

    size: int
    cache: Any

    def copy(self, rows: int) -> Any:
        """A cache of its own for a batch: a forward pass writes into the one that it is given."""
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(rows)
        return cache


def shared_prefix(engine: Engine, prompts: Sequence[list[int]]) -> Prefix | None:
    """What the prompts begin with, computed once; None for one prompt, or where they have too little in common."""
    size = shared_count(prompts[0], prompts) if len(prompts) > 1 else 0
    return Prefix(size, prefill(engine, prompts[0][:size])) if size >= MIN_PREFIX else None


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
