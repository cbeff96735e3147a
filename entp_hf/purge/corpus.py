"""F1, F11, F20: what tells of a row only beside all others. Each rule is given the rows that no other dropped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from ..schema import Finding, instruction_of, response_of
from ..stage import rows_of, set_columns
from .endings import unfinished

if TYPE_CHECKING:
    from ..config import EntpConfig

Row = dict[str, Any]
Found = Iterator[tuple[int, Finding]]
Floats = npt.NDArray[np.float64]
_NEAR, _TIMES, _LEAST_WORDS = 20, 5.0, 30  # of a pile-up: bins on either side, how far over their mean, words (ours)


def length_pileup(rows: Sequence[Row], threshold: float, config: EntpConfig) -> Found:
    """Answers without an end whose length, in words or characters, is that of `threshold` others like it or more.

    That many must also be five times the mean of the lengths around: a limit cut them all at the same place. A limit
    in a tokenizer's tokens shows in neither length, unless the tokenizer is one of words or bytes.
    """
    answers = [response_of(row) for row in rows]
    cut = [i for i, answer in enumerate(answers) if len(answer.split()) >= _LEAST_WORDS and unfinished(answer)]
    seen: set[int] = set()
    for unit, size in (("words", lambda text: len(text.split())), ("characters", len)):
        sizes = {i: size(answers[i]) for i in cut}
        counts = Counter(sizes.values())
        for i in cut:
            here = counts[sizes[i]]
            around = sum(counts[sizes[i] + step] for step in range(-_NEAR, _NEAR + 1)) - here
            if here >= threshold and here > _TIMES * around / (2 * _NEAR) and i not in seen:
                seen.add(i)
                detail = f"{here} unfinished answers have {sizes[i]} {unit}"
                yield i, _flag("length_pileup", len(rows[i]["messages"]) - 1, here, detail)


def length_percentile(rows: Sequence[Row], threshold: float, config: EntpConfig) -> Found:
    """Instructions or answers among the shortest or longest `threshold` percent of their kind.

    The score is the percentile from the nearer end. Fewer than 100 / `threshold` rows have no such percentile.
    """
    if not rows or len(rows) * threshold < 100:
        return
    for field, text_of in (("instruction", instruction_of), ("response", response_of)):
        lengths = np.array([len(text_of(row)) for row in rows], float)
        low, high = np.percentile(lengths, [threshold, 100 - threshold])
        ranks = np.sort(lengths)
        for i in np.flatnonzero((lengths < low) | (lengths > high)).tolist():
            below = np.searchsorted(ranks, lengths[i], "left" if lengths[i] > high else "right") / len(rows)
            detail = f"{lengths[i]:.0f} characters, outside {low:.0f} to {high:.0f}"
            turn = _turn(rows[i], "user" if field == "instruction" else "assistant")
            yield (
                i,
                Finding("length_percentile", field, "flag", turn, score=100 * min(below, 1 - below), detail=detail),
            )


def off_topic(rows: Sequence[Row], threshold: float, config: EntpConfig) -> Found:
    """Answers in the lowest `threshold` percent of cosine similarity to their question (data-juicer, text pairs).

    The question is the instruction with its input. The score is the percentile. Needs the embedder.
    """
    from ..embed import Embed

    if not rows or len(rows) * threshold < 100:
        return
    embed = Embed.from_config(config)
    asked = embed.encode([f"{instruction_of(row)}\n\n{row['input'] or ''}".strip() for row in rows], desc="questions")
    told = embed.encode([response_of(row) for row in rows], desc="answers")
    cosines = np.einsum("ij,ij->i", asked, told).astype(float)
    ranks = 100 * np.argsort(np.argsort(cosines, kind="stable"), kind="stable") / len(rows)
    for i in np.flatnonzero(ranks < threshold).tolist():
        yield i, _flag("off_topic", _turn(rows[i], "assistant"), ranks[i], f"cosine {cosines[i]:.2f} to the question")


def instruction_difficulty(rows: Sequence[Row], threshold: float, config: EntpConfig) -> Found:
    """Answers with an IFD over `threshold`: the question makes them no likelier (Cherry_LLM, arXiv 2308.12032).

    Needs the chat model in this process; answers beyond its first 1,024 tokens are judged by those.
    """
    from ..baselines.likelihood import losses

    found = losses(rows, config, 1024) if rows else np.zeros((0, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = found[:, 0] / found[:, 1]
    for i in np.flatnonzero(ratio > threshold).tolist():
        turn = _turn(rows[i], "assistant")
        yield i, _flag("instruction_difficulty", turn, ratio[i], f"IFD {ratio[i]:.2f}: the question does not help")


CORPUS: Mapping[str, Callable[[Sequence[Row], float, EntpConfig], Found]] = {
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
    wanted = [name for name in CORPUS if name not in off]
    gone = rows["dropped_by"][:]
    alive = [i for i, reason in enumerate(gone) if not reason]
    if not wanted or not alive:
        return rows
    chosen = rows_of(rows.select_columns(["messages", "input"]).select(alive)[:])
    findings, dropped, changed = [list(f or ()) for f in rows["findings"][:]], list(gone), False
    for name in wanted:
        begun = time.perf_counter()
        for at, finding in CORPUS[name](chosen, thresholds[name], config):
            index = alive[at]
            if any(f["rule"] == name and f["field"] == finding.field for f in findings[index]):
                continue
            changed = True
            action = "drop" if name in drop else finding.action
            findings[index].append({**finding.as_dict(), "action": action})
            if action == "drop" and not dropped[index]:
                dropped[index] = f"purge:{name}"
        if seconds is not None:
            seconds[name] = time.perf_counter() - begun
    return set_columns(rows, {"findings": findings, "dropped_by": dropped}) if changed else rows


def _turn(row: Row, role: str) -> int:
    turns = [turn for turn, message in enumerate(row["messages"]) if message["role"] == role]
    return (turns[0] if role == "user" else turns[-1]) if turns else -1


def _flag(rule: str, turn: int, score: float, detail: str) -> Finding:
    return Finding(rule, "response", "flag", turn, score=float(score), detail=detail)
