"""Ask a model about a made row: yes or no to five questions, read off its next-token probabilities.

Not in the paper (arXiv 2510.23160). All questions stand in the prompt; the reply is given up to each number, every
question before answered with yes, so that one forward pass reads the five probabilities and no token is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..llm.factory import model_of
from ..llm.generation import Engine, load
from ..llm.prompts import load_prompt, shorten
from ..llm.protocol import ChatRequest
from ..models.loading import fingerprint
from ..models.losses import Tokens, scored_on_disk
from ..schema import JOIN, Row, response_of, said_by
from .score import ASKED

MOST_CHARS = 3000  # of a request or an answer that the model reads


@dataclass(frozen=True)
class Judge:
    """Asks the model `model`, in this process, about made rows; probabilities are kept in the cache folder."""

    model: str
    config: EntpConfig

    @classmethod
    def from_config(cls, config: EntpConfig) -> Judge | None:
        """The judge of the configuration: `judge_model`, else the fusion model where it runs in this process.

        None with `gate_ask` off, or where there is only a server, which is not asked for log-probabilities.
        """
        model, endpoint = model_of(config, "judge")
        if not config.gate_ask or endpoint or (config.provider and not config.judge_model):
            return None
        return cls(model, config)

    def ask(self, rows: Sequence[Row], parents: Sequence[Sequence[Row]]) -> list[dict[str, float]]:
        """The probability of "yes" to each question (`score.ASKED`) of each row; {} where the model can't read it."""
        engine = load(self.model, self.config.device, str(self.config.cache_path()), self.config.model_dtype)
        texts = [self._text(row, mine) for row, mine in zip(rows, parents, strict=True)]
        pairs = [_marked(engine, text) for text in texts]
        fits = [i for i, (ids, _) in enumerate(pairs) if ids]
        if not fits:
            return [{} for _ in rows]
        version = load_prompt("judge", self.config.prompt_dir).version
        kind = f"judge\x1f{version}\x1f{fingerprint(self.model)}"
        told = scored_on_disk(
            [pairs[i] for i in fits], kind, lambda part: _yes(engine, part), self.config, "gate: ask the model"
        )
        out: list[dict[str, float]] = [{} for _ in rows]
        for i, chances in zip(fits, told, strict=True):
            out[i] = {name: round(float(chance), 4) for name, chance in zip(ASKED, chances, strict=True)}
        return out

    def _text(self, row: Row, parents: Sequence[Row]) -> str:
        people = [f"Person {i}: {shorten(said_by(p, 'user'), MOST_CHARS)}" for i, p in enumerate(parents, 1)]
        return load_prompt("judge", self.config.prompt_dir).fill(
            rows="\n".join(people),
            request=shorten(said_by(row, "user"), MOST_CHARS),
            answer=shorten(JOIN.join([response_of(row)]), MOST_CHARS),
        )


def _marked(engine: Engine, text: str) -> Tokens:
    """Token ids of the prompt and of a reply up to the last question's number; 1 where a "yes" or "no" comes next.

    ([], []) for a prompt that is over the model's context.
    """
    ids, problem = engine.prompt_ids(ChatRequest((("user", text),), 8 * len(ASKED)))
    if problem:
        return [], []
    marks = [0] * len(ids)
    for number in range(1, len(ASKED) + 1):
        more = _plain(engine, f"{number}." if number == 1 else f" yes\n{number}.")
        ids, marks = [*ids, *more], [*marks, *[0] * (len(more) - 1), 1]
    return ids, marks


def _plain(engine: Engine, text: str) -> list[int]:
    return list(engine.tokenizer(text, add_special_tokens=False)["input_ids"])


def _yes(engine: Engine, part: Sequence[Tokens]) -> FloatMatrix:
    """(B, questions): probability of "yes" beside "no" at the marked places."""
    import torch

    width = max(len(ids) for ids, _ in part)
    # Padding is on the right, where causal attention never looks back from.
    tokens = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids, _ in part], device=engine.model.device)
    places = [[i for i, mark in enumerate(marks) if mark] for _, marks in part]
    kept = sorted({i for row in places for i in row})
    at = torch.tensor([[kept.index(i) for i in row] for row in places], device=tokens.device)
    with torch.inference_mode():
        logits: Any = engine.model(input_ids=tokens, logits_to_keep=torch.tensor(kept, device=tokens.device)).logits
        logits = logits.float().gather(1, at[..., None].expand(-1, -1, logits.shape[-1])).softmax(-1)
        yes, no = (logits[..., _first(engine, word)].sum(-1) for word in ("yes", "no"))
        return np.asarray((yes / (yes + no).clamp(min=1e-9)).cpu(), np.float32)


def _first(engine: Engine, word: str) -> list[int]:
    return sorted({_plain(engine, form)[0] for form in (f" {word}", f" {word.title()}")})
