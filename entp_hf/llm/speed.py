"""How fast a model in this process reads and writes on this machine: measured once, kept in the cache folder."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..config import SMOLLM2
from ..execution.threads import cpu_count
from .local import LocalChat

SPEEDS = "speeds.json"  # the file's name in the cache folder
_PROMPTS, _PROMPT, _STEPS = 4, 192, 6  # prompts of the probe, their tokens, and the tokens written after them (ours)


@dataclass(frozen=True)
class Speed:
    """Prompt tokens a second; seconds for one more token of every reply in a batch of 1, and of `_PROMPTS` or more.

    `measured`: on this machine; else assumed.
    """

    prompt: float
    step_one: float
    step_four: float
    measured: bool = True

    def step(self, rows: float) -> float:
        """Seconds to write a token in each of `rows` replies: reading the weights, and a share for each reply."""
        share = max(0.0, (self.step_four - self.step_one) / (_PROMPTS - 1))
        return self.step_one + share * (max(1.0, rows) - 1)

    def seconds(self, prompt: float, reply: float, calls: float, batch: int) -> float:
        """For so many prompt and reply tokens in so many calls, `batch` at once."""
        rows = min(max(calls, 1.0), float(batch))
        return prompt / self.prompt + reply / rows * self.step(rows)


# Two cores with AVX2 and nothing more: what is assumed where nothing was measured (ours).
ASSUMED = {True: Speed(500.0, 0.06, 0.08, False), False: Speed(60.0, 0.4, 0.5, False)}


def assumed(model: str) -> Speed:
    """A guess, for a model of 135M parameters or of 1.5B."""
    return ASSUMED[model == SMOLLM2]


def known_speed(chat: LocalChat, exact: bool = False) -> Speed:
    """The speed in the cache folder, or an assumed one; quick, and nothing is loaded. `exact` as in `load`."""
    found = _read(Path(chat.cache_dir) / SPEEDS).get(_key(chat, exact))
    return Speed(**found) if found else assumed(chat.model)


def speed(chat: LocalChat, exact: bool = False) -> Speed:
    """The speed of `chat` on this machine; where it isn't known yet the model is loaded and measured, in 5 to 30 s."""
    known = known_speed(chat, exact)
    if known.measured:
        return known
    found = _measured(chat, exact)
    path = Path(chat.cache_dir) / SPEEDS
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({**_read(path), _key(chat, exact): asdict(found)}, indent=1), encoding="utf-8")
    os.replace(temporary, path)
    return found


def _key(chat: LocalChat, exact: bool) -> str:
    """All that the speed depends on, as far as it can be had without loading anything."""
    parts = [chat.name, chat.device, chat.dtype, "exact" * exact, platform.node(), f"{cpu_count()} CPUs"]
    return " ".join(filter(None, parts))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _measured(chat: LocalChat, exact: bool) -> Speed:
    import torch

    engine = chat.engine(exact)
    device = engine.model.device
    vocabulary = engine.model.get_output_embeddings().weight.shape[0]
    ids = torch.randint(vocabulary, (_PROMPTS, _PROMPT), generator=torch.Generator().manual_seed(0)).to(device)

    def forward(tokens: Any, cache: Any) -> tuple[float, Any]:
        begun = time.perf_counter()
        out = engine.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        out.logits.sum().item()  # waits for a GPU
        return time.perf_counter() - begun, out.past_key_values

    with torch.inference_mode():
        forward(ids[:1, :8], None)  # the first pass also sets things up
        read, cache = forward(ids, None)
        four = min(forward(ids[:, :1], cache)[0] for _ in range(_STEPS))
        _, single = forward(ids[:1], None)
        one = min(forward(ids[:1, :1], single)[0] for _ in range(_STEPS))
    return Speed(_PROMPTS * _PROMPT / read, one, max(one, four))
