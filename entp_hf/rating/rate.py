"""Rate rows on 0..5: by an LLM's judgement, a local model's next-token probabilities, columns, or your own rater."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Features
from pydantic import BaseModel, Field

from ..errors import ConfigError
from ..execution.own_code import Fingerprinted
from ..execution.stage import Batch, rows_of
from ..execution.usage import record
from ..llm.prompts import load_prompt, shorten
from ..llm.protocol import ChatClient, ChatReply, ChatRequest
from ..schema import FEATURES, LEVELS, Row, instruction_of, response_of

MOST_CHARS = {"instruction": 500, "response": 700}  # of a row that the logits rater reads (not in the paper)
RATE_TOKENS = 160  # longest judgement


class Judgement(BaseModel):
    """What the LLM rater must answer (ENTP, rating prompt after DS2)."""

    rarity: float = Field(ge=1, le=10)
    complexity: float = Field(ge=1, le=10)
    informativeness: float = Field(ge=1, le=10)
    overall: float = Field(ge=1, le=10)
    reason: str = ""


@dataclass(frozen=True)
class Rate(Fingerprinted):
    """Appends one rating to each row's `ratings`; null, with a note, where none could be had.

    `llm`: the client judges each row on 1..10, compressed to 0..5 as DS2 does. `logits`: the expected digit 0..5 under
    the client's next-token probabilities; a raw expectation that says more about order than about level, so a run
    maps it to 0..5 by quantiles (`to_levels`).
    """

    client: ChatClient
    method: str = "llm"
    prompt_dir: str = ""
    rate_tokens: int = RATE_TOKENS

    def __post_init__(self) -> None:
        """Raises ConfigError for an unknown method."""
        if self.method not in ("llm", "logits"):
            raise ConfigError([f"method: {self.method!r} is neither llm nor logits"])

    def __call__(self, batch: Batch) -> Batch:
        """Rate a batch that has `messages`."""
        rows = rows_of(batch)
        open_rows = [row for row in rows if row.get("dropped_by") is None]
        values, notes = self._rate(open_rows)
        rated = iter(zip(values, notes, strict=True))
        out: Batch = {**batch, "ratings": [], "notes": []}
        for row in rows:
            value, note = next(rated) if row.get("dropped_by") is None else (None, "")
            out["ratings"].append([*(row.get("ratings") or []), value])
            out["notes"].append("; ".join(filter(None, [row.get("notes"), note])))
        return out

    def features(self, features: Features) -> Features:
        """The rows' features with `ratings` and `notes`, for `rows.map(rate, batched=True, features=...)`.

        Rows without these columns need it: `map` takes a new column's type from the first batch, and would learn
        "null" where no row of it could be rated.
        """
        return Features({**{name: FEATURES[name] for name in ("ratings", "notes")}, **features})

    def _rate(self, rows: Sequence[Row]) -> tuple[list[float | None], list[str]]:
        return (
            judge(rows, self.client, self.prompt_dir, self.rate_tokens) if self.method == "llm" else self._expect(rows)
        )

    def _expect(self, rows: Sequence[Row]) -> tuple[list[float | None], list[str]]:
        prompt = load_prompt("logits", self.prompt_dir)
        prefix = prompt.text.split("${row}")[0]
        texts = [
            f"Instruction: {_one_line(instruction_of(row), 'instruction')}\n"
            + (f"Input: {_one_line(row['input'], 'instruction')}\n" if row.get("input") else "")
            + f"Response: {_one_line(response_of(row), 'response')}\nScore: "
            for row in rows
        ]
        scorer = getattr(self.client, "digit_expectations", None)
        if scorer is None:
            raise ConfigError(
                [f"raters: 'logits' needs a model in this process; {self.client.name} gives no probabilities"]
            )
        found = scorer(texts, prefix, desc="rate")
        notes = ["" if np.isfinite(value) else "rating failed: no probability on any digit" for value, _ in found]
        return [float(value) if np.isfinite(value) else None for value, _ in found], notes


def judge(
    rows: Sequence[Row], client: ChatClient, prompt_dir: str = "", rate_tokens: int = RATE_TOKENS
) -> tuple[list[float | None], list[str]]:
    """One judgement a row; a reply that can't be read is asked again once, with what was wrong with it."""
    from ..llm.structured import parse_json

    prompt = load_prompt("rate", prompt_dir)
    schema = json.dumps(Judgement.model_json_schema())
    asks = [
        ChatRequest(
            (("user", prompt.fill(conversation=_conversation(row))),), rate_tokens, 0.0, schema, prompt.version
        )
        for row in rows
    ]
    values: list[float | None] = [None] * len(rows)
    notes = [""] * len(rows)
    todo = list(range(len(rows)))
    for attempt in (0, 1):
        replies = client.chat([asks[i] for i in todo], desc="rate" if attempt == 0 else "rate again")
        record(replies)
        failed = []
        for i, reply in zip(todo, replies, strict=True):
            values[i], notes[i] = _read(reply, parse_json)
            if values[i] is None and not reply.error:
                failed.append(i)
                again = f"That could not be read ({notes[i]}). Answer with the JSON object alone."
                turns = (*asks[i].messages, ("assistant", reply.text), ("user", again))
                asks[i] = ChatRequest(turns, rate_tokens, 0.0, schema, prompt.version, attempt + 1)
        todo = failed
        if not todo:
            break
    return values, [f"rating failed: {note}" if note else "" for note in notes]


def _read(reply: ChatReply, parse: Callable[[str, type[Judgement]], tuple[Any, str]]) -> tuple[float | None, str]:
    if not reply.ok:
        return None, reply.error or "cut off at the token limit"
    judgement, reason = parse(reply.text, Judgement)
    return (None, reason) if judgement is None else (compress(judgement.overall), "")


def compress(overall: float) -> float:
    """A judgement on 1..10 as a rating on 0..5: min(9, max(4, r)) - 4 (DS2, arXiv 2410.10877)."""
    return min(9.0, max(4.0, float(round(overall)))) - 4


def to_levels(values: Sequence[float | None]) -> list[float | None]:
    """Expected digits as levels 0..5 with equal shares of the run's rows (not in the paper).

    Equal values get one level; null stays null.
    """
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return list(values)
    unique, position, counts = np.unique(known, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    levels = iter(np.minimum((middle[position] * LEVELS).astype(int), LEVELS - 1))
    return [None if value is None else float(next(levels)) for value in values]


def _conversation(row: Row) -> str:
    return "\n\n".join(f"[{m['role']}]\n{shorten(m['content'], 4000)}" for m in row["messages"])


def _one_line(text: str, part: str) -> str:
    return " ".join(shorten(text, MOST_CHARS[part]).split())
