"""A model in the workers of Ray, as a client: requests go out in blocks, replies come back, the cache stays here."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..execution.progress import Bar
from ..execution.ray_engine import WAVE, RayEngine
from .budget import current
from .local import LocalChat, in_rows
from .protocol import ChatReply, ChatRequest

ANSWERS = pa.schema({"answer": pa.binary()})


@dataclass(frozen=True)
class RayChat:
    """`client` in each worker of `ray`; for anything else it is that client, by its name too.

    Requests are sorted by length and shared out in blocks of the client's batch size, larger ones where that would be
    more than `WAVE` blocks. Replies are the client's own; which requests share a batch changes rounding alone.
    """

    client: LocalChat
    ray: RayEngine = field(repr=False)

    @property
    def name(self) -> str:
        """The client's own name: where it runs changes nothing."""
        return self.client.name

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Answer all requests, in order."""
        replies = dict(self.stream(requests, desc))
        return [replies[i] for i in range(len(requests))]

    def stream(self, requests: Sequence[ChatRequest], desc: str = "") -> Iterator[tuple[int, ChatReply]]:
        """Yield (index, reply) as blocks come back: shortest requests first.

        Calls with a limit are counted in one place, and so made by this process.
        """
        most = current().limits
        if most.calls or most.tokens or most.cost or most.seconds:
            yield from self.client.stream(requests, desc)
            return
        lengths = [sum(len(content) for _, content in request.messages) for request in requests]
        for part in self._ask(_Ask(self.client, "chat"), requests, lengths, desc or "Asking"):
            yield from part

    def digit_expectations(
        self, prompts: Sequence[str], prefix: str, digits: Sequence[int] = range(6), desc: str = ""
    ) -> NDArray[np.float64]:
        """As `LocalChat.digit_expectations`."""
        return in_rows(self.digit_stream(prompts, prefix, digits, desc), len(prompts))

    def digit_stream(
        self, prompts: Sequence[str], prefix: str, digits: Sequence[int] = range(6), desc: str = ""
    ) -> Iterator[list[tuple[int, float, float]]]:
        """Yield blocks of (index, expected digit, mass), shortest first."""
        work = _Ask(self.client, "digit_expectations", (prefix, digits))
        for part in self._ask(work, prompts, [len(prompt) for prompt in prompts], desc or "Rating"):
            yield [(i, float(expected), float(mass)) for i, (expected, mass) in part]

    def _ask(
        self, work: _Ask, questions: Sequence[Any], lengths: Sequence[int], desc: str
    ) -> Iterator[list[tuple[int, Any]]]:
        order = sorted(range(len(questions)), key=lambda i: lengths[i])
        size = max(self.client.batch_size, -(-len(order) // WAVE))
        blocks = [order[start : start + size] for start in range(0, len(order), size)]
        tables = (pa.table({"question": [pickle.dumps(questions[i]) for i in block]}) for block in blocks)
        with Bar(len(order), desc, "call") as bar:
            for block, table in zip(blocks, self.ray.run(work, tables, ANSWERS), strict=True):
                bar.update(len(block))
                yield [(i, pickle.loads(answer)) for i, answer in zip(block, table["answer"].to_pylist(), strict=True)]


@dataclass(frozen=True)
class _Ask:
    """A method of the client, called in a worker: a column `question` becomes a column `answer`, both pickled."""

    client: LocalChat
    method: str
    more: tuple[Any, ...] = ()

    def __call__(self, batch: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
        questions = [pickle.loads(question) for question in batch["question"]]
        answers = getattr(self.client, self.method)(questions, *self.more)
        return {"answer": [pickle.dumps(answer) for answer in answers]}
