"""K1, K2: rows that hold test items of benchmarks, found by hashed word n-grams."""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from ...config import EntpConfig
from ...execution.stage import set_columns
from ...schema import DroppedBy, Finding
from ..ngrams import Hashes, codes_of, joined_codes, ngrams, sets_of
from .benchmark_items import LONG, items_of, words_of

SHORT = 8  # words an n-gram of items that have fewer than LONG words
LEAST_WORDS = 5  # shorter items ("What is 2 + 2?") are found in any pool and prove nothing
SLACK = 3  # words that a prompt may have beside a test question of under SHORT words
_INNER_MARKS = re.compile(r"(?<=\w)[^\w\s]+(?=\w)")
_BITS = 24  # of the filter that spares most look-ups: 2^24 bytes


@functools.lru_cache(maxsize=4)
def _filter(grams: bytes) -> npt.NDArray[np.bool_]:
    """True where some hash has these low bits."""
    bits = np.zeros(1 << _BITS, bool)
    bits[np.frombuffer(grams, np.uint64) & np.uint64((1 << _BITS) - 1)] = True
    return bits


@functools.lru_cache(maxsize=4)
def _distinct(sizes: bytes) -> list[int]:
    return sorted(set(sizes))


def _spellings(text: str) -> list[list[str]]:
    """Words of an item, and as they are where somebody took the marks inside words out ("dont", "831997")."""
    bare = _INNER_MARKS.sub("", text)
    return [words_of(text)] if bare == text else [words_of(text), words_of(bare)]


@dataclass(frozen=True)
class Contamination:
    """Knows benchmark items by the hashes of their n-grams only; frozen, picklable, usable in `datasets.map`.

    An item of 13 words or more is cut into 13-grams, a shorter one into 8-grams (or taken whole, from 5 words on).
    A row is contaminated where it holds at least `coverage` of an item's n-grams, or where an answer shares a full
    13-gram with an item. As a map transform it sets `dropped_by` "purge:contamination" on rows that are not dropped.
    """

    coverage: float = 0.5
    only_pool: bool = False
    items: tuple[str, ...] = ()  # name of each item: file and number
    sizes: bytes = field(default=b"", repr=False)  # n-gram size of each item, uint8
    counts: bytes = field(default=b"", repr=False)  # distinct n-grams of each item, uint32
    grams: bytes = field(default=b"", repr=False)  # sorted hashes, uint64
    owners: bytes = field(default=b"", repr=False)  # item of each hash, uint32
    digest: str = ""  # of the hashes: what tells two indexes apart in a repr

    @classmethod
    def from_files(cls, paths: Sequence[str | Path], coverage: float = 0.5, only_pool: bool = False) -> Contamination:
        """Index JSONL, JSON or CSV files, folders of them, and datasets of the Hub ("openai/gsm8k", its split "test").

        Raises InputError for what can't be read or is empty.
        """
        return cls.from_texts((item for path in paths for item in items_of(path)), coverage, only_pool)

    @classmethod
    def from_texts(
        cls, named: Iterable[tuple[str, str]], coverage: float = 0.5, only_pool: bool = False
    ) -> Contamination:
        """Index (name, text) pairs; equal texts count once, texts under 5 words are left out.

        A text with marks inside words counts as two items: as it is, and without those marks.
        """
        texts: dict[tuple[str, ...], str] = {}
        for name, text in named:
            for words in _spellings(text):
                if len(words) >= LEAST_WORDS:
                    texts.setdefault(tuple(words), name)
        names = list(texts.values())
        sizes = [LONG if len(words) >= LONG else min(SHORT, len(words)) for words in texts]
        grams = [np.empty(0, np.uint64)] * len(names)
        for size in set(sizes):
            chosen = [(item, words) for item, words in enumerate(texts) if sizes[item] == size]
            for (item, _), found in zip(chosen, sets_of([words for _, words in chosen], size), strict=True):
                grams[item] = found
        every = np.concatenate([np.empty(0, np.uint64), *grams])
        order = np.argsort(every, kind="stable")
        owner = np.repeat(np.arange(len(names), dtype=np.uint32), [len(g) for g in grams])[order]
        stored = every[order].tobytes()
        digest = hashlib.blake2b(stored, digest_size=8).hexdigest()
        return cls(
            coverage,
            only_pool,
            tuple(names),
            np.asarray(sizes, np.uint8).tobytes(),
            np.asarray([len(g) for g in grams], np.uint32).tobytes(),
            stored,
            owner.tobytes(),
            digest,
        )

    @classmethod
    def from_config(cls, config: EntpConfig) -> Contamination | None:
        """The index of `benchmark_files`; None if there are none."""
        if not config.benchmark_files:
            return None
        return cls.from_files(config.benchmark_files, config.contamination_coverage)

    def __repr__(self) -> str:
        return f"Contamination(coverage={self.coverage}, only_pool={self.only_pool}, items={len(self)}, {self.digest})"

    def __len__(self) -> int:
        return len(self.items)

    def covered(self, text: str) -> dict[int, float]:
        """Item number -> share of its n-grams that the text holds; items without any are left out."""
        return self._covered(codes_of(words_of(text)))

    def _covered(self, codes: Hashes) -> dict[int, float]:
        known, owners = np.frombuffer(self.grams, np.uint64), np.frombuffer(self.owners, np.uint32)
        counts = np.frombuffer(self.counts, np.uint32)
        found: Counter[int] = Counter()
        for size in _distinct(self.sizes) if len(codes) >= LEAST_WORDS else ():
            grams = ngrams(codes, size)
            grams = grams[_filter(self.grams)[grams & np.uint64((1 << _BITS) - 1)]]
            if not len(grams):
                continue
            grams = np.unique(grams)
            left, right = np.searchsorted(known, grams), np.searchsorted(known, grams, "right")
            for begin, end in zip(left, right, strict=True):
                found.update(owners[begin:end].tolist())
        return {item: number / int(counts[item]) for item, number in sorted(found.items())}

    def find(self, row: Mapping[str, Any] | str) -> list[Finding]:
        """The items that a row, or a text, holds: worst first. `detail` names item and share, `score` is the share."""
        if isinstance(row, str):
            return self._hits([("response", 0, codes_of(words_of(row)))])
        fields = {"user": "instruction", "assistant": "response", "system": "system"}
        parts = [
            (fields.get(m["role"], "tool"), turn, codes_of(words_of(m["content"] or "")))
            for turn, m in enumerate(row["messages"])
        ]
        # The bridge: an item may be parted between a question and its answer.
        bridges = [
            ("response", -1, np.concatenate([a[2][-LONG * 8 :], b[2][: LONG * 8]]))
            for a, b in pairwise(parts)
            if b[0] == "response"
        ]
        return self._hits([*parts, *bridges])

    def _hits(self, parts: Sequence[tuple[str, int, Hashes]]) -> list[Finding]:
        sizes = np.frombuffer(self.sizes, np.uint8)
        best: dict[int, Finding] = {}
        for where, turn, codes in parts:
            for item, share in self._covered(codes).items():
                if sizes[item] < SHORT and (where != "instruction" or len(codes) > sizes[item] + SLACK):
                    continue  # a short question is an item only where it is the prompt
                full = where == "response" and turn >= 0 and sizes[item] == LONG
                if share < self.coverage and not full:
                    continue
                if item not in best or share > best[item].score:
                    detail = f"{self.items[item]}, {share:.0%} of it"
                    best[item] = Finding("contamination", where, "drop", turn, score=share, detail=detail)
        return sorted(best.values(), key=lambda f: (-f.score, f.detail))[:5]

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Mark the contaminated rows of a batch; needs `messages`, adds `findings` and `dropped_by` if missing."""
        count = len(batch["messages"])
        findings = [list(f or ()) for f in batch.get("findings") or [()] * count]
        dropped = list(batch.get("dropped_by") or [None] * count)
        in_pool = batch.get("in_pool") or [True] * count
        alive = [i for i in range(count) if not dropped[i] and (in_pool[i] or not self.only_pool)]
        for at in self._suspects([batch["messages"][i] for i in alive]):
            index = alive[at]
            hits = self.find({"messages": batch["messages"][index]})
            if hits:
                findings[index] += [hit.as_dict() for hit in hits]
                dropped[index] = DroppedBy.by_rule("contamination")
        return {**batch, "findings": findings, "dropped_by": dropped}

    def mark(self, rows: Dataset) -> Dataset:
        """The same for a whole dataset, without writing it anew: only `findings` and `dropped_by` are replaced."""
        names = [n for n in ("messages", "findings", "dropped_by", "in_pool") if n in rows.column_names]
        chosen, gone = rows.select_columns(names), rows["dropped_by"][:]
        findings: list[Any] = []
        dropped: list[Any] = []
        for begin in range(0, len(rows), 1000):
            batch = self(chosen[begin : begin + 1000])
            findings += batch["findings"]
            dropped += batch["dropped_by"]
        return rows if dropped == gone else set_columns(rows, {"findings": findings, "dropped_by": dropped})

    def _suspects(self, conversations: Sequence[Sequence[Mapping[str, Any]]]) -> list[int]:
        """Numbers of the conversations that hold any n-gram of the index, within a turn or over two: few do.

        All are hashed at once, which takes a tenth of the time that `find` takes for each.
        """
        known = np.frombuffer(self.grams, np.uint64)
        words = [[w for m in messages for w in words_of(m["content"] or "")] for messages in conversations]
        codes, lengths = joined_codes(words)
        owner = np.repeat(np.arange(len(words)), lengths)
        suspects: set[int] = set()
        for size in _distinct(self.sizes) if len(known) else ():
            grams = ngrams(codes, size)
            at = np.flatnonzero(_filter(self.grams)[grams & np.uint64((1 << _BITS) - 1)])
            at = at[owner[at] == owner[at + size - 1]]
            place = np.searchsorted(known, grams[at])
            at = at[known[np.minimum(place, len(known) - 1)] == grams[at]]
            suspects.update(owner[at].tolist())
        return sorted(suspects)
