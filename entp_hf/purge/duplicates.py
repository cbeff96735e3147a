"""D1-D4: exact, near and semantic duplicates, and groups of rows with the same prompt."""

from __future__ import annotations

import hashlib
import time
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from ..schema import Finding, instruction_of
from ..stage import rows_of, set_columns
from .near import near_pairs

Array = npt.NDArray[Any]
BLOCK = 1024  # rows read, or embeddings compared, at once


class Duplicate(NamedTuple):
    """Why a row goes, the index of the row that stays for it, and how alike the two are (Jaccard, cosine or 1)."""

    rule: str
    keeper: int
    score: float = 1.0


def normalised(text: str) -> str:
    """What exact duplicates are equal in: NFC, case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def find_duplicates(
    rows: Dataset,
    embeddings: Array | None,
    near: float,
    semantic: float,
    off: Collection[str] = (),
    seconds: dict[str, float] | None = None,
) -> dict[int, Duplicate]:
    """Row index -> exact_duplicate, near_duplicate or semantic_duplicate, and the row that stays.

    `near`: least Jaccard similarity of word 5-grams (character 5-grams in scripts without spaces). `semantic`: least
    cosine of `embeddings` (rows, width; L2-normalised, in row order); 1, or no embeddings, turns it off. Of two rows
    the one with the higher `expected_score` stays (null is lowest), then the longer response, then the first. Rows
    that are dropped already take no part. `off`: kinds not to look for. `seconds` is filled with each kind's time.
    """
    return _duplicates(_View(rows), embeddings, near, semantic, off, {} if seconds is None else seconds)


def _duplicates(
    view: _View, embeddings: Array | None, near: float, semantic: float, off: Collection[str], spent: dict[str, float]
) -> dict[int, Duplicate]:
    found: dict[int, Duplicate] = {}
    if "exact_duplicate" not in off:
        with _clock(spent, "exact_duplicate"):
            for group in view.equal(view.texts):
                found.update((index, Duplicate("exact_duplicate", group[0])) for index in group[1:])
    if "near_duplicate" not in off:
        with _clock(spent, "near_duplicate"):
            pairs = near_pairs(view.texts, [i for i in view.order if i not in found], near)
            found.update((index, Duplicate("near_duplicate", *pair)) for index, pair in pairs.items())
    if embeddings is not None and semantic < 1 and "semantic_duplicate" not in off:
        with _clock(spent, "semantic_duplicate"):
            _semantic([i for i in view.order if i not in found], np.asarray(embeddings), semantic, found)
    return {index: hit._replace(keeper=_root(found, hit.keeper)) for index, hit in sorted(found.items())}


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begun


def same_prompts(rows: Dataset, without: Collection[int] = ()) -> dict[int, tuple[int, int]]:
    """Row index -> (index of the group's best row, size) for rows that share a prompt, the best one included.

    Rows in `without` (duplicates) and rows that are dropped take no part.
    """
    return _same_prompts(_View(rows), without)


def _same_prompts(view: _View, without: Collection[int]) -> dict[int, tuple[int, int]]:
    prompts = {i: text.partition("\x1e")[0] for i, text in view.texts.items() if i not in without}
    groups = view.equal(prompts)
    return {index: (group[0], len(group)) for group in groups for index in group}


def _root(found: dict[int, Duplicate], index: int) -> int:
    while index in found:
        index = found[index].keeper
    return index


class _View:
    """Texts of the rows that are not dropped, and the order in which they have a right to stay."""

    def __init__(self, rows: Dataset) -> None:
        self.texts: dict[int, str] = {}
        rank = []
        for i, row in enumerate(_rows(rows)):
            if row.get("dropped_by"):
                continue
            messages, given, score = row["messages"], row.get("input") or "", row.get("expected_score")
            turns = [normalised(f"{m['role']}:{m['content']}") for m in messages[_first_user(messages) :]]
            answers = "\x1e".join(turns)
            self.texts[i] = f"{normalised(instruction_of(row))}\x1f{normalised(given)}\x1e{answers}"
            answer = next((turn for turn in reversed(turns) if turn.startswith("assistant:")), "assistant:")
            length = len(answer.removeprefix("assistant:").strip())
            rank.append((-(score if score is not None and score == score else -1.0), -length, i))
        self.order = [i for _, _, i in sorted(rank)]

    def equal(self, texts: dict[int, str]) -> Iterator[list[int]]:
        """Groups of two or more rows with equal texts, the one that stays first."""
        groups: dict[bytes, list[int]] = defaultdict(list)
        for index in self.order:
            if index not in texts:
                continue
            groups[hashlib.blake2b(texts[index].encode("utf-8", "surrogatepass"), digest_size=16).digest()].append(
                index
            )
        return (group for group in groups.values() if len(group) > 1)


def _rows(rows: Dataset) -> Iterator[dict[str, Any]]:
    names = [n for n in ("messages", "input", "dropped_by", "expected_score") if n in rows.column_names]
    chosen = rows.select_columns(names)
    for begin in range(0, len(rows), BLOCK):  # by rows, or whole columns, it takes several times as long
        yield from rows_of(chosen[begin : begin + BLOCK])


def _first_user(messages: Sequence[dict[str, str]]) -> int:
    return next((i + 1 for i, m in enumerate(messages) if m["role"] == "user"), 0)


def _semantic(alive: Sequence[int], embeddings: Array, semantic: float, found: dict[int, Duplicate]) -> None:
    """Greedy, best rows first: a row goes if a row that stays is at least as near. Blocks of faiss range searches."""
    import faiss

    if not alive:
        return
    vectors = np.ascontiguousarray(embeddings[np.asarray(alive)], np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    stay: list[int] = []
    for begin in range(0, len(vectors), BLOCK):
        block = vectors[begin : begin + BLOCK]
        keeper, score = np.full(len(block), -1), np.zeros(len(block), np.float32)
        if stay:
            cosines, nearest = index.search(block, 1)
            keeper = np.where(cosines[:, 0] >= semantic, np.asarray(stay)[nearest[:, 0]], -1)
            score = cosines[:, 0]
        inside = block @ block.T
        for row in range(len(block)):
            rivals = np.flatnonzero((inside[row, :row] >= semantic) & (keeper[:row] < 0))
            if keeper[row] < 0 and len(rivals):
                keeper[row], score[row] = begin + int(rivals[0]), inside[row, rivals[0]]
        for row in np.flatnonzero(keeper >= 0).tolist():
            found[alive[begin + row]] = Duplicate("semantic_duplicate", alive[int(keeper[row])], float(score[row]))
        kept = np.flatnonzero(keeper < 0)
        stay += (begin + kept).tolist()
        index.add(np.ascontiguousarray(block[kept]))


def mark_duplicates(
    rows: Dataset,
    embeddings: Array | None = None,
    near: float = 0.8,
    semantic: float = 0.97,
    off: Collection[str] = (),
    seconds: dict[str, float] | None = None,
) -> Dataset:
    """Drop duplicates: `dropped_by` "purge:near_duplicate" and the like, a finding with the id of the row that stays.

    The row that stays gets a finding with action "keep" and the ids that it stays for. Rows that share a prompt get a
    flag `same_prompt`. Marked rows stay in the dataset. `off`, `seconds`: as in `find_duplicates`.
    """
    spent = {} if seconds is None else seconds
    view = _View(rows)
    found = _duplicates(view, embeddings, near, semantic, off, spent)
    ids, findings, dropped = rows["id"][:], [list(f or ()) for f in rows["findings"][:]], rows["dropped_by"][:]
    stands_for: dict[tuple[int, str], list[str]] = defaultdict(list)
    for index, (rule, keeper, score) in found.items():
        dropped[index] = f"purge:{rule}"
        findings[index].append(Finding(rule, "response", "drop", score=score, detail=ids[keeper]).as_dict())
        stands_for[keeper, rule].append(ids[index])
    for (keeper, rule), gone in stands_for.items():
        findings[keeper].append(Finding(rule, "response", "keep", detail=", ".join(gone)).as_dict())
    with _clock(spent, "same_prompt"):
        prompts = {} if "same_prompt" in off else _same_prompts(view, found)
    for index, (best, size) in prompts.items():
        if not any(f["rule"] == "same_prompt" for f in findings[index]):
            detail = f"{size} rows with the prompt of {ids[best]}"
            findings[index].append(Finding("same_prompt", "instruction", "flag", detail=detail).as_dict())
    return set_columns(rows, {"findings": findings, "dropped_by": dropped})
