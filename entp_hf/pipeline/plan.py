"""Dry run: rows, LLM calls, tokens, time and cost of a run, estimated without calling a model.

How long replies will be is known from the cache: the run's own where they are there, else the mean of those that the
same model gave to the same prompt. A sample of groups, which the run then finds in the cache, can be asked to know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import EntpConfig
from ..correction.correct import correct_ratings
from ..io.manifest import Manifest, SourceFile
from ..io.reader import read_rows
from ..io.sources import Source
from ..llm.budget import Limits, spending
from ..llm.factory import local_chat, make_client, settled
from ..llm.local import LocalChat
from ..llm.protocol import ChatReply, ChatRequest
from ..llm.reply_cache import CachedChat
from ..llm.speed import Speed, known_speed, speed
from ..llm.tokens import count_prompts, count_text, local_tokenizer
from ..mix.fusion import (
    FUSERS,
    answer_of,
    asks_directly,
    direct_limit,
    direct_request,
    first_requests,
    fusion_request,
    in_one_reply,
)
from ..mix.stage import group_size, groups_possible, round_groups
from ..rating.rate import RATE_TOKENS
from ..schema import LEVELS, text_of
from .run import prepare

RETRY_TOKENS = 120  # at most, that a reason for refusal adds
PROMPT_TOKENS = 260  # of a fusion or rating prompt without its rows
EMBEDDED = 50.0  # rows a second that the packaged embedder does on 2 cores
LOGITS_TOKENS = 160  # most of a row's tokens, on average, that the rater `logits` reads after its prefix

EXACT_ROWS = 5000  # up to here an exact plan purges, embeds and clusters as the run would


@dataclass(frozen=True)
class Plan:
    """`lines`: (what, least, most) in the order of the run. Equal where known; else gate, scores or replies decide.

    `exact`: the first round's groups are the run's own, and its prompts counted by the model's tokenizer where there
    is one on this machine.
    """

    rows: int
    marked: int
    files: list[SourceFile]
    lines: list[tuple[str, float, float]]
    exact: bool = False


@dataclass(frozen=True)
class _Asked:
    """Calls and prompt tokens of the first attempts of the first round, and groups: (least, most)."""

    groups: tuple[int, int]
    direct: tuple[int, int]
    fusing: tuple[int, int]
    prompt: tuple[float, float]
    expected: tuple[float, float] | None = None  # prompt and reply tokens, where replies in the cache tell


def plan(inputs: Source | Sequence[Source], config: EntpConfig, exact: bool = False, sample: int = 0) -> Plan:
    """Plan a run over `inputs`; no chat model is asked, but for the first attempts of `sample` groups.

    With `exact`, and where ratings are in columns or not needed and there are at most `EXACT_ROWS` rows, the steps
    before the first fusion are done, and their embeddings kept for the run. Else all figures are bounds.
    """
    config = settled(config.validate())
    rows, info = read_rows(inputs, config)
    usable = [row for row in rows if row["dropped_by"] is None]
    low, high = _pool_bounds([row["ratings"] for row in usable], config)
    known = exact and set(config.raters) <= {"column"} and 0 < len(usable) <= EXACT_ROWS
    tokenizer = local_tokenizer(config.model, str(config.cache_path())) if exact else None
    lengths = [count_text(tokenizer, text_of(row)) for row in usable[:2000]]
    size = float(np.mean(lengths)) if lengths else 0.0
    asked = _counted(inputs, config, tokenizer, sample) if known else _bounded(high, size, config)
    rating = len(usable) if "llm" in config.raters else 0
    rated = rating * (PROMPT_TOKENS + size)
    direct_cap = direct_limit(config)
    calls = rating + asked.direct[0] + asked.fusing[0], rating * 2 + asked.direct[1] + asked.fusing[1]
    prompt = (
        rated + asked.prompt[0],
        rated * 2 + asked.prompt[1] + asked.fusing[1] * (direct_cap if asked.direct[1] else 0),
    )
    reply = (
        rating * 60 + asked.direct[0] * min(80, direct_cap) + asked.fusing[0] * min(size * 2, config.max_new_tokens),
        rating * 2 * RATE_TOKENS + asked.direct[1] * direct_cap + asked.fusing[1] * config.max_new_tokens,
    )
    lines: list[tuple[str, float, float]] = [
        ("low-quality pool, rows", low, high),
        ("rows embedded", len(usable), 2 * len(usable)),
        ("fusion groups", *asked.groups),
        ("LLM calls", *calls),
        ("prompt tokens, about", *prompt),
        ("reply tokens, about", *reply),
        *_expected(asked, config),
        *_minutes(len(usable), size, calls, prompt, reply, config, exact),
        *_money(prompt, reply, config),
    ]
    return Plan(len(rows), len(rows) - len(usable), info["files"], lines, known)


def _expected(asked: _Asked, config: EntpConfig) -> list[tuple[str, float, float]]:
    if asked.expected is None:
        return []
    scope = "" if config.retries == 0 and config.rounds == 1 else " of the first attempts"
    names = (f"{kind} tokens{scope}, expected" for kind in ("prompt", "reply"))
    return [(name, tokens, tokens) for name, tokens in zip(names, asked.expected, strict=True)]


def _minutes(
    rows: int,
    size: float,
    calls: tuple[float, float],
    prompt: tuple[float, float],
    reply: tuple[float, float],
    config: EntpConfig,
    probe: bool,
) -> list[tuple[str, float, float]]:
    """Minutes of a run whose models are in this process, from their speed here.

    It is measured once where `probe` and the model is on this machine, and taken from the cache or assumed else.
    """
    if config.endpoint or config.provider:
        return []
    cache, seconds = str(config.cache_path()), rows / EMBEDDED
    pace: Speed | None = None
    if "logits" in config.raters:
        rater = local_chat(config, config.rater_model or config.model)
        pace = _speed(rater, probe, cache, exact=True)
        seconds += rows * min(size, LOGITS_TOKENS) / pace.prompt
    if FUSERS[config.fuser] is not None or "llm" in config.raters:
        pace = _speed(local_chat(config, config.model), probe, cache)
        least, most = (
            seconds + pace.seconds(p, r, c, config.batch_size) for p, r, c in zip(prompt, reply, calls, strict=True)
        )
    else:
        least = most = seconds
    where = "on this machine" if pace is None or pace.measured else "on 2 cores"
    return [(f"minutes {where}, about", least / 60, most / 60)]


def _speed(chat: LocalChat, probe: bool, cache: str, exact: bool = False) -> Speed:
    here = probe and local_tokenizer(chat.model, cache) is not None
    return speed(chat, exact) if here else known_speed(chat, exact)


def _money(
    prompt: tuple[float, float], reply: tuple[float, float], config: EntpConfig
) -> list[tuple[str, float, float]]:
    if not (config.price_in or config.price_out):
        return []
    cost = [(p * config.price_in + r * config.price_out) / 1e6 for p, r in zip(prompt, reply, strict=True)]
    return [("cost, at the prices given", min(cost), max(cost))]


def _counted(inputs: Source | Sequence[Source], config: EntpConfig, tokenizer: Any, sample: int) -> _Asked:
    """The requests of the first round as the run will make them; later attempts and rounds as bounds."""
    before = prepare(inputs, config, Manifest.start(config.to_dict()))
    groups, _ = round_groups(before.corpus, before.clusters, set(), before.around, config)
    fuser = FUSERS[config.fuser]
    client = make_client(config)
    asks = fuser is not None and asks_directly(fuser, config)
    whole = [i for i, group in enumerate(groups) if fuser and asks and in_one_reply(group, fuser, config)]
    direct = [direct_request(groups[i], config) for i in whole]
    answers = _replies(client, direct, sample, config)
    texts = {i: answer_of(reply) if reply else "" for i, reply in zip(whole, answers, strict=True)}
    fusing = [ask for i, g in enumerate(groups) if fuser for ask in first_requests(g, fuser, config, texts.get(i, ""))]
    fused = _replies(client, fusing, sample, config)
    each = [count_prompts(tokenizer, requests) for requests in (direct, fusing)]
    by_prompt: dict[str, list[int]] = {}
    for i, ask in enumerate(fusing):
        by_prompt.setdefault(ask.prompt_version, []).append(i)
    lengths = [_length(client, direct, answers)]
    lengths += [_length(client, [fusing[i] for i in at], [fused[i] for i in at]) for at in by_prompt.values()]
    expected = None
    if fusing and None not in lengths:
        unseen = answers.count(None)  # first answers, which the prompts of the fusions will hold
        added = 0.0
        if unseen and fuser:
            bare, told = (fusion_request(groups[whole[0]], fuser, config, text, "", 0) for text in ("", "-"))
            label = int(np.diff(count_prompts(tokenizer, [bare, told]))[0]) - 1
            # A first answer that was cut is not shown: as many of the others will be as of those that are known.
            shown = [(reply.completion_tokens + label) * bool(answer_of(reply)) for reply in answers if reply]
            added = unseen * (float(np.mean(shown)) if shown else (_mean(client, direct, answers) or 0) + label)
        expected = float(sum(map(sum, each)) + added), float(sum(length or 0 for length in lengths))
    longest = [max(counts, default=0) for counts in each]  # what a later round's groups hold is not known
    further = groups_possible(len(before.corpus), 0, config) * (config.rounds - 1)
    more = further if fuser else 0
    tries = config.retries + 1
    attempts = (len(fusing) + more) * tries
    most = sum(each[0]) + more * longest[0] + (sum(each[1]) + more * longest[1]) * tries
    return _Asked(
        (len(groups), len(groups) + further),
        (len(direct), len(direct) + (more if direct else 0)),
        (len(fusing), attempts),
        (sum(map(sum, each)), most + RETRY_TOKENS * (attempts - len(fusing) - more)),
        expected,
    )


def _replies(
    client: CachedChat, requests: Sequence[ChatRequest], sample: int, config: EntpConfig
) -> list[ChatReply | None]:
    """The replies in the cache, after `sample` of the requests, from all over, have been asked."""
    if sample and requests:
        chosen = np.unique(np.linspace(0, len(requests) - 1, min(sample, len(requests))).round().astype(int))
        with spending(Limits.from_config(config)):
            client.chat([requests[i] for i in chosen], desc="sample")
    return client.known(requests)


def _mean(client: CachedChat, requests: Sequence[ChatRequest], known: Sequence[ChatReply | None]) -> float | None:
    """Mean tokens of the known replies; where there are none, of those to other requests with the same prompt."""
    seen = [reply.completion_tokens for reply in known if reply is not None]
    return float(np.mean(seen)) if seen else client.mean_reply(requests[0])


def _length(client: CachedChat, requests: Sequence[ChatRequest], known: Sequence[ChatReply | None]) -> float | None:
    """Tokens of all replies, the known ones exactly and the others at the mean; None where nothing tells."""
    total = float(sum(reply.completion_tokens for reply in known if reply is not None))
    if not (unknown := known.count(None)):
        return total
    mean = _mean(client, requests, known)
    return None if mean is None else total + unknown * mean


def _bounded(high: int, size: float, config: EntpConfig) -> _Asked:
    """Bounds for a pool of at most `high` rows of `size` tokens on average.

    What the purge drops and which rows have a related one is not known before it is done: there may be no group.
    """
    groups = 0, groups_possible(high, 0, config) * config.rounds
    fuser = FUSERS[config.fuser]
    direct = groups if fuser and asks_directly(fuser, config) else (0, 0)
    fusing = (groups[0], groups[1] * (config.retries + 1)) if fuser else (0, 0)
    shown = group_size(config) + int(config.context_row)
    least, most = (d * size / 2 + f * (PROMPT_TOKENS + shown * size) for d, f in zip(direct, fusing, strict=True))
    return _Asked(groups, direct, fusing, (least, most))


def _pool_bounds(ratings: Sequence[Sequence[float | None]], config: EntpConfig) -> tuple[int, int]:
    n = len(ratings)
    if config.pool == "quantile":
        return int(n * config.pool_quantile), int(n * config.pool_quantile)
    if config.pool == "all" or set(config.raters) != {"column"}:
        return (n, n) if config.pool == "all" else (0, n)
    values = np.array([[np.nan if v is None else v for v in r] for r in ratings], dtype=float)
    if values.shape[1] < 3:  # the correction needs embeddings: say what the raw ratings say, and no more
        mean = np.nanmean(values, axis=1)
        most_mean = min(config.pool_max_score + 2, LEVELS)
        return int((mean <= config.pool_max_score - 1).sum()), int((mean < most_mean).sum())
    score = correct_ratings(values, method=config.correction, levels=config.levels, seed=config.seed).score
    pool = int((score <= config.pool_max_score).sum())
    return pool, pool
