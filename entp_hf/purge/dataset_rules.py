"""F1, F11, F20: what tells of a row only beside all others. Each rule is given the rows that no other dropped.

Rows go by in blocks; what a rule holds of each one is numbers.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from ..config import EntpConfig
from ..execution.tables import blocks, column, each, pick, table_rows
from ..rules.truncation import unfinished
from ..schema import JOIN, Finding, Row, instruction_of, response_of
from .duplicates.search import marked

Found = Iterator[tuple[int, Finding]]
Float64 = npt.NDArray[np.float64]
_NEAR, _TIMES, _LEAST_WORDS = 20, 5.0, 30  # of a pile-up: bins on either side, how far over their mean, words (ours)


def length_pileup(rows: Dataset, threshold: float, config: EntpConfig) -> Found:
    """Answers without an end whose length, in words or characters, is that of `threshold` others like it or more.

    That many must also be five times the mean of the lengths around: a limit cut them all at the same place. A limit
    in a tokenizer's tokens shows in neither length, unless the tokenizer is one of words or bytes. The score is the
    number of answers of that length; where both lengths pile up, of the one that more share.
    """

    def sizes(row: Row) -> tuple[int, int, int]:
        answer = response_of(row)
        words = len(answer.split()) if unfinished(answer) else 0
        return (words, len(answer), _turn(row, "assistant")) if words >= _LEAST_WORDS else (0, 0, 0)

    table = _numbers(rows, sizes, 3)
    cut = np.flatnonzero(table[:, 0])
    best: dict[int, tuple[int, str]] = {}
    for unit, lengths in (("words", table[cut, 0].tolist()), ("characters", table[cut, 1].tolist())):
        counts = Counter(lengths)
        for i, size in zip(cut.tolist(), lengths, strict=True):
            here = counts[size]
            around = sum(counts[size + step] for step in range(-_NEAR, _NEAR + 1)) - here
            if here >= threshold and here > _TIMES * around / (2 * _NEAR) and here > best.get(i, (0, ""))[0]:
                best[i] = here, f"{here} unfinished answers have {size:.0f} {unit}"
    for i, (here, detail) in best.items():
        yield i, _flag("length_pileup", table[i, 2], here, detail)


def length_percentile(rows: Dataset, threshold: float, config: EntpConfig) -> Found:
    """Instructions or answers among the shortest or longest `threshold` percent of their kind.

    The score is the percentile from the nearer end. Fewer than 100 / `threshold` rows have no such percentile.
    """
    if len(rows) * threshold < 100:
        return
    table = _numbers(rows, lambda row: (len(instruction_of(row)), len(response_of(row))), 2)
    for at, (field, role) in enumerate((("instruction", "user"), ("response", "assistant"))):
        lengths = table[:, at]
        low, high = np.percentile(lengths, [threshold, 100 - threshold])
        ranks = np.sort(lengths)
        for i in np.flatnonzero((lengths < low) | (lengths > high)).tolist():
            below = np.searchsorted(ranks, lengths[i], "left" if lengths[i] > high else "right") / len(rows)
            score = 100 * min(below, 1 - below)
            detail = f"{lengths[i]:.0f} characters, outside {low:.0f} to {high:.0f}"
            yield i, Finding("length_percentile", field, "flag", _turn(rows[i], role), score=score, detail=detail)


def off_topic(rows: Dataset, threshold: float, config: EntpConfig) -> Found:
    """Answers in the lowest `threshold` percent of cosine similarity to their question (data-juicer, text pairs).

    The question is the instruction with its input. The score is the percentile. Needs the embedder.
    """
    from ..embedding.embed import BLOCK, Embed
    from ..embedding.exact import fine

    if not len(rows) or len(rows) * threshold < 100:
        return
    embed = Embed.from_config(config)
    asked = embed.encode_rows(rows, "questions", _question)
    told = embed.encode_rows(rows, "answers", response_of)
    cosines = np.empty(len(rows))
    for part in (slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK)):
        cosines[part] = np.einsum("ij,ij->i", fine(asked[part]), fine(told[part]))
    ranks = 100 * np.argsort(np.argsort(cosines, kind="stable"), kind="stable") / len(rows)
    turns = _answers(rows)
    for i in np.flatnonzero(ranks < threshold).tolist():
        yield i, _flag("off_topic", turns[i], ranks[i], f"cosine {cosines[i]:.2f} to the question")


def instruction_difficulty(rows: Dataset, threshold: float, config: EntpConfig) -> Found:
    """Answers with an IFD over `threshold`: the question makes them no likelier (Cherry_LLM, arXiv 2308.12032).

    Needs the chat model in this process; answers beyond its first 1,024 tokens are judged by those.
    """
    from ..models.losses import losses

    parts = [losses(list(table_rows(block)), config, 1024) for block in blocks(rows, ["messages"])]
    found = np.concatenate([np.zeros((0, 2)), *parts])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = found[:, 0] / found[:, 1]
    turns = _answers(rows)
    for i in np.flatnonzero(ratio > threshold).tolist():
        told = ": the question does not help" if ratio[i] > 1 else ""
        yield i, _flag("instruction_difficulty", turns[i], ratio[i], f"IFD {ratio[i]:.2f}{told}")


CORPUS: Mapping[str, Callable[[Dataset, float, EntpConfig], Found]] = {
    "length_pileup": length_pileup, "length_percentile": length_percentile, "off_topic": off_topic,
    "instruction_difficulty": instruction_difficulty,
}  # fmt: skip


def mark_corpus(
    rows: Dataset,
    config: EntpConfig,
    thresholds: Mapping[str, float],
    off: Collection[str] = (),
    drop: Collection[str] = (),
    seconds: dict[str, float] | None = None,
) -> Dataset:
    """Run the rules of `CORPUS` that are not in `off` over the rows that no rule dropped; those in `drop` drop.

    `seconds` is filled with each rule's time. A row that has a rule's finding gets no second one.
    """
    alive = np.array([not reason for reason in column(rows, "dropped_by")], bool)
    new: dict[int, list[Finding]] = defaultdict(list)
    known: dict[int, set[tuple[str, str]]] = {}
    for name, index, finding in found_in(rows, alive, config, thresholds, off, drop, seconds):
        if index not in known:
            known[index] = {(f["rule"], f["field"]) for f in rows[index]["findings"] or ()}
        if (name, finding.field) not in known[index]:
            new[index].append(finding)
    return marked(rows, new) if new else rows


def found_in(
    rows: Dataset,
    alive: npt.NDArray[np.bool_],
    config: EntpConfig,
    thresholds: Mapping[str, float],
    off: Collection[str] = (),
    drop: Collection[str] = (),
    seconds: dict[str, float] | None = None,
) -> Iterator[tuple[str, int, Finding]]:
    """What `mark_corpus` marks: rule, the row's place, finding. The rules see the rows where `alive` (n,) is true."""
    wanted = [name for name in CORPUS if name not in off]
    if not wanted or not alive.any():
        return
    chosen, places = pick(rows.select_columns(["messages", "input"]), alive), np.flatnonzero(alive)
    for name in wanted:
        begun = time.perf_counter()
        for at, finding in CORPUS[name](chosen, thresholds[name], config):
            yield name, int(places[at]), replace(finding, action="drop") if name in drop else finding
        if seconds is not None:
            seconds[name] = time.perf_counter() - begun


def _numbers(rows: Dataset, of: Callable[[Row], tuple[float, ...]], width: int) -> Float64:
    """(N, width): `of` each row."""
    return np.fromiter(map(of, each(rows, "messages", "input")), np.dtype((np.float64, width)), len(rows))


def _question(row: Row) -> str:
    return f"{instruction_of(row)}{JOIN}{row['input'] or ''}".strip()


def _answers(rows: Dataset) -> npt.NDArray[np.int32]:
    """The turn of each row's last answer."""
    return np.fromiter((_turn(row, "assistant") for row in each(rows, "messages")), np.int32, len(rows))


def _turn(row: Row, role: str) -> int:
    turns = [turn for turn, message in enumerate(row["messages"]) if message["role"] == role]
    return (turns[0] if role == "user" else turns[-1]) if turns else -1


def _flag(rule: str, turn: float, score: float, detail: str) -> Finding:
    return Finding(rule, "response", "flag", int(turn), score=float(score), detail=detail)
