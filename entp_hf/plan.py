"""What a run would do: rows, LLM calls, tokens, time and money, found out without calling anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .config import EntpConfig
from .fuse import FUSERS
from .inputs import read_rows
from .mix import group_size, groups_possible
from .rate import RATE_TOKENS
from .schema import LEVELS, text_of
from .sources import Source

CHARS_PER_TOKEN = 4.0  # English prose under common tokenizers (ours)
PROMPT_TOKENS = 260  # of a fusion or rating prompt without its rows (ours)
LOCAL_SPEED = {"rate": 4.0, "embed": 50.0, "generate": 40.0}  # rows/s, rows/s, tokens/s of the small models on 2 cores


@dataclass(frozen=True)
class Plan:
    """`lines`: (what, least, most) in the order of the run. The rest are bounds, since scores and the gate decide."""

    rows: int
    marked: int
    files: list[dict[str, Any]]
    lines: list[tuple[str, float, float]]


def plan(inputs: Source | Sequence[Source], config: EntpConfig) -> Plan:
    """Plan a run over `inputs`. The pool's size is known only where ratings are in columns; else it is a bound."""
    config.validate()
    rows, info = read_rows(inputs, config)
    usable = [row for row in rows if row["dropped_by"] is None]
    size = float(np.mean([len(text_of(row)) for row in usable])) / CHARS_PER_TOKEN if usable else 0.0
    low, high = _pool_bounds([row["ratings"] for row in usable], config)
    groups = groups_possible(low, 0, config), groups_possible(high, 0, config) * config.rounds
    fuser = FUSERS[config.fuser]
    judged = "llm" in config.raters
    rating = len(usable) if judged else 0
    direct = groups if fuser and fuser.direct and config.direct_answer else (0, 0)
    fusing = (groups[0], groups[1] * (config.retries + 1)) if fuser else (0, 0)
    calls = rating + direct[0] + fusing[0], rating * 2 + direct[1] + fusing[1]
    shown = group_size(config) + int(config.context_row) + int(direct[0] > 0)
    prompt = [
        r * (PROMPT_TOKENS + size) + d * size / 2 + f * (PROMPT_TOKENS + shown * size)
        for r, d, f in ((rating, direct[0], fusing[0]), (rating * 2, direct[1], fusing[1]))
    ]
    most_reply = (
        rating * 2 * RATE_TOKENS + direct[1] * max(64, config.max_new_tokens // 2) + fusing[1] * config.max_new_tokens
    )
    reply = [(rating * 60 + direct[0] * 80 + fusing[0] * size * 2), most_reply]
    lines: list[tuple[str, float, float]] = [
        ("low-quality pool, rows", low, high),
        ("rows embedded", len(usable), 2 * len(usable)),
        ("fusion groups", *groups),
        ("LLM calls", *calls),
        ("prompt tokens, about", prompt[0], prompt[1]),
        ("reply tokens, about", min(reply), max(reply)),
    ]
    if not config.endpoint and not config.provider:
        before = len(usable) / LOCAL_SPEED["embed"]
        before += len(usable) / LOCAL_SPEED["rate"] if "logits" in config.raters else 0
        least, most = ((before + r / LOCAL_SPEED["generate"]) / 60 for r in (min(reply), max(reply)))
        lines.append(("minutes on 2 cores, about", least, most))
    if config.price_in or config.price_out:
        cost = [(p * config.price_in + r * config.price_out) / 1e6 for p, r in zip(prompt, reply, strict=True)]
        lines.append(("cost, at the prices given", min(cost), max(cost)))
    return Plan(len(rows), len(rows) - len(usable), info["files"], lines)


def _pool_bounds(ratings: Sequence[Sequence[float | None]], config: EntpConfig) -> tuple[int, int]:
    n = len(ratings)
    if config.pool == "quantile":
        return int(n * config.pool_quantile), int(n * config.pool_quantile)
    if config.pool == "all" or set(config.raters) != {"column"}:
        return (n, n) if config.pool == "all" else (0, n)
    from .correct import correct_ratings

    values = np.array([[np.nan if v is None else v for v in r] for r in ratings], dtype=float)
    if values.shape[1] < 3:  # the correction needs embeddings: say what the raw ratings say, and no more
        mean = np.nanmean(values, axis=1)
        most_mean = min(config.pool_max_score + 2, LEVELS)
        return int((mean <= config.pool_max_score - 1).sum()), int((mean < most_mean).sum())
    score = correct_ratings(values, method=config.correction, levels=config.levels, seed=config.seed).score
    pool = int((score <= config.pool_max_score).sum())
    return pool, pool
