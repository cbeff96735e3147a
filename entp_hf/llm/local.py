"""A causal language model in this process: batched chat, and ratings read off its next-token probabilities."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import EntpError, memory_advice
from ..execution.progress import Bar
from ..models.loading import fingerprint
from ..text.reasoning import split_reasoning
from .budget import Claim, current
from .generation import Engine, digit_ids, generate, load, next_token, prefill, shared_count, shared_prefix
from .protocol import BUDGET, ChatReply, ChatRequest
from .server_state import reply_limit

BATCH_TOKENS = 16_384  # most tokens in one forward pass, padding included: bounds memory for long prompts (ours)
LEAST_MASS = 1e-4  # with less probability on all digits together the expectation is noise: NaN (ours)


@dataclass(frozen=True)
class LocalChat:
    """A model loaded by this process at its first use, and kept until the process ends.

    Replies do not depend on which requests share a batch, up to rounding of the arithmetic: temperature 0 is greedy,
    and else each request draws from its own random numbers, seeded by the request. A request with a schema is answered
    with JSON of that schema, by grammar. What all prompts of a call begin with is computed once.

    Args:
        model: a name that `models.loading.find` takes
        device: auto, cpu, cuda or mps
        batch_size: most rows in one forward pass
        cache_dir: the cache folder, where fetched and converted models are
        dtype: auto, float32 or bfloat16. In bfloat16 rounding is coarse enough to change words of a greedy reply from
            batch to batch; ratings of small models are computed in float32 all the same
        thinking: auto, or off where the chat template can tell the model not to think
    """

    model: str
    device: str = "auto"
    batch_size: int = 16
    cache_dir: str = ""
    dtype: str = "auto"
    thinking: str = "auto"

    @property
    def name(self) -> str:
        """`local:` and the model; a folder by its last part and a hash of its files, so that new weights show."""
        return fingerprint(self.model) + ("#thinking=off" if self.thinking == "off" else "")

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Answer all requests, in order. A prompt too long for the model is a reply with `error`, never cut."""
        replies = dict(self.stream(requests, desc))
        return [replies[i] for i in range(len(requests))]

    def stream(self, requests: Sequence[ChatRequest], desc: str = "") -> Iterator[tuple[int, ChatReply]]:
        """Yield (index, reply) as batches finish: shortest prompts first."""
        if not requests:
            return
        engine = self.engine()
        if not getattr(engine.tokenizer, "chat_template", None):
            raise EntpError(f"{self.model} has no chat template, so it can't chat; name an instruction-tuned model")
        prompts: dict[int, list[int]] = {}
        with Bar(len(requests), desc or "Asking", "call") as bar:
            for i, request in enumerate(requests):
                ids, problem = engine.prompt_ids(request, self.thinking)
                if problem:
                    bar.update()
                    yield i, ChatReply(finish_reason="error", error=problem)
                else:
                    prompts[i] = ids
            sizes = {i: len(ids) + requests[i].max_tokens for i, ids in prompts.items()}
            prefix = shared_prefix(engine, list(prompts.values())) if prompts else None
            waiting = deque(_batches({i: len(ids) for i, ids in prompts.items()}, self.batch_size, sizes))
            while waiting:
                claims, refused, later = _claimed(waiting.popleft(), prompts, requests)
                waiting.extendleft([later] if later else [])
                bar.update(len(refused))
                yield from refused.items()
                batch = list(claims)
                asked = [prompts[i] for i in batch], [requests[i] for i in batch]
                for i, ids, done in generate(engine, *asked, bar.doing, prefix):
                    bar.update()
                    reply = _reply(engine, requests[batch[i]], len(prompts[batch[i]]), ids, done)
                    current().settle(claims[batch[i]], reply)
                    yield batch[i], reply

    def digit_expectations(
        self, prompts: Sequence[str], prefix: str, digits: Sequence[int] = range(6), desc: str = ""
    ) -> NDArray[np.float64]:
        """(N, 2) float64: expected digit after `prefix + prompt`, and the probability of all digits together.

        The expectation is over the digits' next-token probabilities, renormalised; NaN where they sum to less than
        `LEAST_MASS`. The text goes in as it is, without a chat template. The keys and values of the tokens of `prefix`
        are computed once for all rows.
        """
        return in_rows(self.digit_stream(prompts, prefix, digits, desc), len(prompts))

    def digit_stream(
        self, prompts: Sequence[str], prefix: str, digits: Sequence[int] = range(6), desc: str = ""
    ) -> Iterator[list[tuple[int, float, float]]]:
        """Yield batches of (index, expected digit, mass), shortest first; else as `digit_expectations`.

        Raises EntpError where a digit is no token of its own, or a row is over the model's context.
        """
        if not prompts:
            return
        engine = self.engine(exact=True)
        whole = [engine.tokenizer(prefix + prompt)["input_ids"] for prompt in prompts]
        longest = max(len(ids) for ids in whole)
        if engine.context and longest > engine.context:
            raise EntpError(
                f"a rating prompt has {longest} tokens, over the {engine.context} of {self.model}; shorten the rows"
            )
        shared = shared_count(engine.tokenizer(prefix)["input_ids"] if prefix else [], whole)
        wanted = digit_ids(engine.tokenizer, prefix + prompts[0], digits, self.model)
        base = prefill(engine, whole[0][:shared])
        lengths = {i: len(ids) - shared for i, ids in enumerate(whole)}
        with Bar(len(prompts), desc or "Rating", "row") as bar:
            for batch in _batches(lengths, self.batch_size, {i: len(ids) for i, ids in enumerate(whole)}):
                chances = next_token(engine, base, [whole[i][shared:] for i in batch])[:, wanted].astype(np.float64)
                bar.update(len(batch))
                yield [(i, *_expectation(row, digits, self.model)) for i, row in zip(batch, chances, strict=True)]

    def engine(self, exact: bool = False) -> Engine:
        """The model, loaded at the first call; `exact` as in `generation.load`."""
        with memory_advice(f"the model {self.model}", "Lower batch_size, take a smaller model, or use a server."):
            return load(self.model, self.device, self.cache_dir, self.dtype, exact)


def in_rows(parts: Iterable[list[tuple[int, float, float]]], rows: int) -> NDArray[np.float64]:
    """What `digit_stream` yields as (rows, 2), each in its place."""
    found = np.full((rows, 2), np.nan)
    for part in parts:
        for i, expected, mass in part:
            found[i] = expected, mass
    return found


def _expectation(chances: NDArray[np.float64], digits: Sequence[int], model: str) -> tuple[float, float]:
    mass = float(chances.sum())
    if not np.isfinite(mass):
        raise EntpError(f"{model} gives probabilities that are not numbers: its weights or its precision are broken")
    return float(chances @ np.array(digits) / mass) if mass >= LEAST_MASS else float("nan"), mass


def _claimed(
    batch: Sequence[int], prompts: dict[int, list[int]], requests: Sequence[ChatRequest]
) -> tuple[dict[int, Claim], dict[int, ChatReply], list[int]]:
    """The calls of a batch that budget and time allow, with what they may use; replies for those that they do not;
    and calls that must wait until it is known what the others have used.
    """
    claims: dict[int, Claim] = {}
    refused: dict[int, ChatReply] = {}
    later = []
    for i in batch:
        claim = Claim(len(prompts[i]), requests[i].max_tokens)
        wait, why = current().enter(claim, paced=False)
        if why:
            refused[i] = ChatReply(finish_reason=BUDGET, error=why)
        elif wait:
            later.append(i)
        else:
            claims[i] = claim
    return claims, refused, later


def _batches(lengths: dict[int, int], batch_size: int, sizes: dict[int, int]) -> list[list[int]]:
    """Indices in fixed batches by (length, index): at most `batch_size` rows, and `BATCH_TOKENS` in rows x size."""
    batches: list[list[int]] = []
    widest = 0
    for i in sorted(lengths, key=lambda i: (lengths[i], i)):
        widest = max(widest, sizes[i])
        full = not batches or len(batches[-1]) == batch_size or (len(batches[-1]) + 1) * widest > BATCH_TOKENS
        if full:
            batches.append([])
            widest = sizes[i]
        batches[-1].append(i)
    return batches


def _reply(engine: Engine, request: ChatRequest, prompt_tokens: int, ids: list[int], done: bool) -> ChatReply:
    """`ids` are all tokens that were drawn; the end token counts as one of the reply's tokens."""
    text = engine.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if not done and (split := split_reasoning(text)) is not None and not split.closed:
        return ChatReply("", "length", prompt_tokens, len(ids), reply_limit(request), cut_in_thoughts=True)
    reason, error = ("stop", "") if done else ("length", "")
    if done and not text.strip():
        reason, error = "error", "the model gave an empty answer"
    return ChatReply(text, reason, prompt_tokens, len(ids), error)
