"""D1-D4: exact, near and semantic duplicates, and groups of rows with the same prompt."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from ..schema import Finding, instruction_of, response_of
from .scripts import script_of

Array = npt.NDArray[Any]
NUM_PERM = 128
BLOCK = 1024  # rows of embeddings compared at once
_PRIME = (1 << 61) - 1


def normalised(text: str) -> str:
    """What exact duplicates are equal in: NFC, case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def find_duplicates(
    rows: Dataset, embeddings: Array | None, near: float, semantic: float
) -> dict[int, tuple[str, int]]:
    """Row index -> (exact_duplicate | near_duplicate | semantic_duplicate, index of the row that stays).

    `near`: least Jaccard similarity of word 5-grams (character 5-grams in scripts without spaces). `semantic`: least
    cosine of `embeddings` (rows, width; L2-normalised, in row order); 1, or no embeddings, turns it off. Of two rows
    the one with the higher `expected_score` stays (null is lowest), then the longer response, then the first. Rows
    that are dropped already take no part.
    """
    view = _View(rows)
    found: dict[int, tuple[str, int]] = {}
    for group in view.equal(view.texts):
        for index in group[1:]:
            found[index] = ("exact_duplicate", group[0])
    alive = [i for i in view.order if i not in found]
    _near(view, alive, near, found)
    if embeddings is not None and semantic < 1:
        _semantic([i for i in alive if i not in found], np.asarray(embeddings), semantic, found)
    return {index: (rule, _root(found, keeper)) for index, (rule, keeper) in sorted(found.items())}


def same_prompts(rows: Dataset, without: Collection[int] = ()) -> dict[int, tuple[int, int]]:
    """Row index -> (index of the group's best row, size) for rows that share a prompt, the best one included.

    Rows in `without` (duplicates) and rows that are dropped take no part.
    """
    view = _View(rows)
    view.order = [i for i in view.order if i not in without]
    groups = view.equal({i: text.partition("\x1e")[0] for i, text in view.texts.items()})
    return {index: (group[0], len(group)) for group in groups for index in group}


def _root(found: dict[int, tuple[str, int]], index: int) -> int:
    while index in found:
        index = found[index][1]
    return index


class _View:
    """Texts of the rows that are not dropped, and the order in which they have a right to stay."""

    def __init__(self, rows: Dataset) -> None:
        dropped = rows["dropped_by"] if "dropped_by" in rows.column_names else [None] * len(rows)
        scores = rows["expected_score"] if "expected_score" in rows.column_names else [None] * len(rows)
        inputs = rows["input"] if "input" in rows.column_names else [""] * len(rows)
        self.texts: dict[int, str] = {}
        rank = []
        for i, (messages, given, gone, score) in enumerate(
            zip(rows["messages"], inputs, dropped, scores, strict=True)
        ):
            if gone:
                continue
            row = {"messages": messages, "input": given}
            answers = "\x1e".join(normalised(f"{m['role']}:{m['content']}") for m in messages[_first_user(messages) :])
            self.texts[i] = f"{normalised(instruction_of(row))}\x1f{normalised(given or '')}\x1e{answers}"
            rank.append(
                (-(score if score is not None and score == score else -1.0), -len(normalised(response_of(row))), i)
            )
        self.order = [i for _, _, i in sorted(rank)]

    def equal(self, texts: dict[int, str]) -> Iterator[list[int]]:
        """Groups of two or more rows with equal texts, the one that stays first."""
        groups: dict[bytes, list[int]] = defaultdict(list)
        for index in self.order:
            groups[hashlib.blake2b(texts[index].encode("utf-8", "surrogatepass"), digest_size=16).digest()].append(
                index
            )
        return (group for group in groups.values() if len(group) > 1)


def _first_user(messages: Sequence[dict[str, str]]) -> int:
    return next((i + 1 for i, m in enumerate(messages) if m["role"] == "user"), 0)


def shingles(text: str) -> Array:
    """Sorted hashes (uint64) of a text's distinct 5-grams: words, or characters in scripts without spaces."""
    units: Sequence[str] = text.split()
    if not text.isascii() and not script_of(text[:400]).spaced:
        units = "".join(units)
    if not units:
        return np.empty(0, np.uint64)
    codes = np.fromiter((_code(unit) for unit in units), np.uint64, len(units))
    size = min(5, len(codes))
    grams = np.zeros(len(codes) - size + 1, np.uint64)
    for k in range(size):
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + codes[k : len(codes) - size + 1 + k]
    grams ^= grams >> np.uint64(29)
    return np.unique(grams * np.uint64(0xBF58476D1CE4E5B9))


def _code(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _signatures(sets: Sequence[Array]) -> npt.NDArray[np.uint32]:
    """MinHash signatures (rows, NUM_PERM) by seeded multiply-shift hashing of 64-bit shingles to 32 bits."""
    rng = np.random.default_rng(1)
    factors = rng.integers(1, 2**63, NUM_PERM, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = rng.integers(0, 2**63, NUM_PERM, dtype=np.uint64)
    out = np.full((len(sets), NUM_PERM), np.iinfo(np.uint32).max, np.uint32)
    for row, grams in enumerate(sets):
        if len(grams):
            hashed = (grams[:, None] * factors + offsets) >> np.uint64(32)
            out[row] = hashed.min(axis=0).astype(np.uint32)
    return out


def bands_for(near: float, miss: float = 0.002) -> tuple[int, int]:
    """(bands, rows a band) of the LSH: the most rows that let at most `miss` of pairs at `near` slip by."""
    fits = [r for r in range(1, NUM_PERM + 1) if (1 - near**r) ** (NUM_PERM // r) <= miss]
    width = max(fits, default=1)
    return NUM_PERM // width, width


def _near(view: _View, alive: Sequence[int], near: float, found: dict[int, tuple[str, int]]) -> None:
    sets = [shingles(view.texts[i]) for i in alive]
    signatures = _signatures(sets)
    bands, width = bands_for(near)
    buckets: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(bands)]
    for place, index in enumerate(alive):
        keys = [signatures[place, b * width : (b + 1) * width].tobytes() for b in range(bands)]
        rivals = sorted({rival for b, key in enumerate(keys) for rival in buckets[b].get(key, ())})
        keeper = next((r for r in rivals if _jaccard(sets[r], sets[place]) >= near), None)
        if keeper is not None:
            found[index] = ("near_duplicate", alive[keeper])
            continue
        for b, key in enumerate(keys):
            buckets[b][key].append(place)


def _jaccard(one: Array, other: Array) -> float:
    """Exact Jaccard similarity of two sorted sets."""
    if not len(one) or not len(other):
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _semantic(alive: Sequence[int], embeddings: Array, semantic: float, found: dict[int, tuple[str, int]]) -> None:
    """Greedy, best rows first: a row goes if a row that stays is at least as near. Blocks of faiss range searches."""
    import faiss

    if not alive:
        return
    vectors = np.ascontiguousarray(embeddings[np.asarray(alive)], np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    stay: list[int] = []
    for begin in range(0, len(vectors), BLOCK):
        block = vectors[begin : begin + BLOCK]
        keeper = np.full(len(block), -1)
        if stay:
            cosines, nearest = index.search(block, 1)
            keeper = np.where(cosines[:, 0] >= semantic, np.asarray(stay)[nearest[:, 0]], -1)
        inside = block @ block.T >= semantic
        for row in range(len(block)):
            rivals = np.flatnonzero(inside[row, :row] & (keeper[:row] < 0))
            if keeper[row] < 0 and len(rivals):
                keeper[row] = begin + int(rivals[0])
        for row in np.flatnonzero(keeper >= 0).tolist():
            found[alive[begin + row]] = ("semantic_duplicate", alive[int(keeper[row])])
        kept = np.flatnonzero(keeper < 0)
        stay += (begin + kept).tolist()
        index.add(np.ascontiguousarray(block[kept]))


def mark_duplicates(
    rows: Dataset,
    embeddings: Array | None = None,
    near: float = 0.8,
    semantic: float = 0.97,
    off: Collection[str] = (),
) -> Dataset:
    """Drop duplicates: `dropped_by` "purge:near_duplicate" and the like, a finding with the id of the row that stays.

    Rows that share a prompt get a flag `same_prompt`. Marked rows stay in the dataset. `off`: kinds to leave alone.
    """
    from ..stage import set_columns

    found = {i: hit for i, hit in find_duplicates(rows, embeddings, near, semantic).items() if hit[0] not in off}
    prompts = {} if "same_prompt" in off else same_prompts(rows, found)
    ids = rows["id"]
    findings, dropped = [list(f or ()) for f in rows["findings"]], list(rows["dropped_by"])
    for index, (rule, keeper) in found.items():
        dropped[index] = f"purge:{rule}"
        findings[index].append(Finding(rule, "response", "drop", detail=ids[keeper]).as_dict())
    for index, (best, size) in prompts.items():
        if not any(f["rule"] == "same_prompt" for f in findings[index]):
            detail = f"{size} rows with the prompt of {ids[best]}"
            findings[index].append(Finding("same_prompt", "instruction", "flag", detail=detail).as_dict())
    return set_columns(rows, {"findings": findings, "dropped_by": dropped})
