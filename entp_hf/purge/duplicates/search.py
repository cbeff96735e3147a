"""D1-D4: exact, near and semantic duplicates, and groups of rows with the same prompt."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset

from ...embedding.neighbors import Among
from ...execution.ray_engine import RayEngine
from ...execution.stage import set_columns
from ...execution.tables import blocks, column, each
from ...schema import DroppedBy, Finding
from ..ngrams import Hashes
from .fingerprints import fingerprint, sketches
from .minhash import Bands, near_pairs, shingles
from .semantic import semantic_pairs

Array = npt.NDArray[Any]
Sets = Callable[[Collection[int]], Mapping[int, Hashes]]


class Duplicate(NamedTuple):
    """Why a row goes, the index of the row that stays for it, and how alike the two are (Jaccard, cosine or 1)."""

    rule: str
    keeper: int
    score: float = 1.0


def find_duplicates(
    rows: Dataset, embeddings: Array | None, near: float, semantic: float, off: Collection[str] = ()
) -> dict[int, Duplicate]:
    """Row index -> exact_duplicate, near_duplicate or semantic_duplicate, and the row that stays.

    `near`: least Jaccard similarity of word 5-grams (character 5-grams in scripts without spaces). `semantic`: least
    cosine of `embeddings` (rows, width; L2-normalised, in row order); 1, or no embeddings, turns it off. Of two rows
    the one with the higher `expected_score` stays (null is lowest), then the longer response, then the first. Rows
    that are dropped already take no part. `off`: kinds not to look for.
    """
    return duplicates_in(View.of(rows, None if "near_duplicate" in off else near), embeddings, near, semantic, off, {})


def duplicates_in(
    view: View,
    embeddings: Array | None,
    near: float,
    semantic: float,
    off: Collection[str],
    spent: dict[str, float],
    neighbors: Among | None = None,
) -> dict[int, Duplicate]:
    """`find_duplicates` of the rows that `view` is of. `spent` is filled with the seconds of each kind.

    `neighbors`: of these rows (-1: a row that is none of them), so that they are not searched for again.
    """
    found: dict[int, Duplicate] = {}
    if "exact_duplicate" not in off:
        with _clock(spent, "exact_duplicate"):
            for group in view.equal(view.whole):
                found.update((index, Duplicate("exact_duplicate", group[0])) for index in group[1:])
    if view.bands is not None:
        with _clock(spent, "near_duplicate"):
            shared = view.bands.shared(found)
            pairs = near_pairs(view.sets(shared), shared, (i for i in view.order if i not in found), near)
            found.update((index, Duplicate("near_duplicate", *pair)) for index, pair in pairs.items())
    if embeddings is not None and semantic < 1 and "semantic_duplicate" not in off:
        with _clock(spent, "semantic_duplicate"):
            alive = [i for i in view.order if i not in found]
            pairs = semantic_pairs(alive, np.asarray(embeddings), semantic, neighbors)
            found.update((index, Duplicate("semantic_duplicate", *pair)) for index, pair in pairs.items())
    return {index: hit._replace(keeper=_root(found, hit.keeper)) for index, hit in sorted(found.items())}


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begun


def same_prompts(rows: Dataset, without: Collection[int] = ()) -> dict[int, tuple[int, int]]:
    """Row index -> (index of the group's best row, size) for rows that share a prompt, the best one included.

    Rows in `without` (duplicates) and rows that are dropped take no part.
    """
    return prompts_in(View.of(rows), without)


def prompts_in(view: View, without: Collection[int]) -> dict[int, tuple[int, int]]:
    """`same_prompts` of the rows that `view` is of."""
    groups = view.equal(view.prompt, without)
    return {index: (group[0], len(group)) for group in groups for index in group}


def _root(found: dict[int, Duplicate], index: int) -> int:
    while index in found:
        index = found[index].keeper
    return index


class View:
    """Hashes of the rows that are not dropped, and the `order` in which they have a right to stay.

    `bands`, made where `near` is given, are what near-duplicates are proposed by; `sets` gives the shingles of some
    rows, by their places.
    """

    def __init__(
        self, count: int, sketched: Iterable[tuple[dict[str, Any], float | None]], near: float | None, sets: Sets
    ) -> None:
        self.whole, self.prompt = np.zeros((2, count), "S16")  # digests
        self.bands = None if near is None else Bands(count, near)
        self.sets = sets
        rank = np.zeros((count, 2))  # of the rows that are there, -score and -length
        there = np.zeros(count, bool)
        for i, (sketch, score) in enumerate(sketched):
            if sketch["whole"] is None:
                continue
            self.whole[i], self.prompt[i] = sketch["whole"], sketch["prompt"]
            there[i], rank[i] = True, (-(score if score is not None and score == score else -1.0), -sketch["answer"])
            if self.bands is not None and sketch["keys"] is not None:
                self.bands.add(i, np.frombuffer(sketch["keys"], np.uint64))
        places = np.flatnonzero(there)
        self.order: list[int] = places[np.lexsort(rank[places].T[::-1])].tolist()

    @classmethod
    def of(cls, rows: Dataset, near: float | None = None, ray: RayEngine | None = None) -> View:
        """The view of `rows`; hashes are made by the workers of `ray`, or here."""
        known = "expected_score" in rows.column_names
        scores = column(rows, "expected_score") if known else [None] * len(rows)
        sketched = zip(sketches(rows, near, ray), scores, strict=True)
        return cls(len(rows), sketched, near, functools.partial(shingle_sets, rows))

    def equal(self, digests: Array, without: Collection[int] = ()) -> Iterator[list[int]]:
        """Groups of two or more rows with equal `digests`, the one that stays first."""
        places = np.array([index for index in self.order if index not in without], np.int64)
        places = places[np.argsort(digests[places], kind="stable")]
        begins = np.flatnonzero(np.r_[True, digests[places[1:]] != digests[places[:-1]], True])
        for begin, end in zip(begins[:-1], begins[1:], strict=True):
            if end - begin > 1:
                yield places[begin:end].tolist()


def shingle_sets(rows: Dataset, wanted: Collection[int]) -> dict[int, Hashes]:
    """The shingles of the rows at the places `wanted`."""
    names = [name for name in ("messages", "input") if name in rows.column_names]
    texts = {i: fingerprint(row).whole for i, row in enumerate(each(rows, *names)) if i in wanted}
    return dict(zip(texts, shingles(texts.values()), strict=True))


def mark_duplicates(
    rows: Dataset,
    embeddings: Array | None = None,
    near: float = 0.8,
    semantic: float = 0.97,
    off: Collection[str] = (),
    seconds: dict[str, float] | None = None,
    neighbors: Among | None = None,
    ray: RayEngine | None = None,
) -> Dataset:
    """Drop duplicates: `dropped_by` "purge:near_duplicate" and the like, a finding with the id of the row that stays.

    The row that stays gets a finding with action "keep" and the ids that it stays for. Rows that share a prompt get a
    flag `same_prompt`. Marked rows stay in the dataset. `off`: as in `find_duplicates`. `seconds` is filled with each
    kind's time. `neighbors`: as in `duplicates_in`.
    With `ray`, its workers hash the rows, which is most of the work; the same hashes, so the same duplicates.
    """
    spent = {} if seconds is None else seconds
    with _clock(spent, "exact_duplicate" if "near_duplicate" in off else "near_duplicate"):
        view = View.of(rows, None if "near_duplicate" in off else near, ray)
    found = duplicates_in(view, embeddings, near, semantic, off, spent, neighbors)
    with _clock(spent, "same_prompt"):
        prompts = {} if "same_prompt" in off else prompts_in(view, found)
    new = new_findings(found, prompts, column(rows, "id"))
    return marked(rows, new)


def new_findings(
    found: Mapping[int, Duplicate], prompts: Mapping[int, tuple[int, int]], ids: Sequence[str]
) -> dict[int, list[Finding]]:
    """The findings of each row that duplicates or shared prompts concern; `ids` of all rows, by place."""
    new: dict[int, list[Finding]] = defaultdict(list)
    stands_for: dict[tuple[int, str], list[str]] = defaultdict(list)
    for index, (rule, keeper, score) in found.items():
        new[index].append(Finding(rule, "response", "drop", score=score, detail=ids[keeper]))
        stands_for[keeper, rule].append(ids[index])
    for (keeper, rule), gone in stands_for.items():
        new[keeper].append(Finding(rule, "response", "keep", detail=", ".join(gone)))
    for index, (best, size) in prompts.items():
        detail = f"{size} rows with the prompt of {ids[best]}"
        new[index].append(Finding("same_prompt", "instruction", "flag", detail=detail))
    return new


def marked(rows: Dataset, new: Mapping[int, Sequence[Finding]]) -> Dataset:
    """The rows with new findings, and with `dropped_by` where one of these drops."""
    dropped = column(rows, "dropped_by")
    for index, findings in new.items():
        dropped[index] = next((DroppedBy.by_rule(f.rule) for f in findings if f.action == "drop"), dropped[index])
    return set_columns(rows, {"findings": _with_findings(rows, new), "dropped_by": dropped})


def _with_findings(rows: Dataset, new: Mapping[int, Sequence[Finding]]) -> pa.ChunkedArray:
    """The column `findings` with new ones at the end of each row's; one of a prompt that is shared comes once."""
    chunks, at = [], 0
    for block in blocks(rows, ["findings"]):
        kept = block["findings"].combine_chunks()
        if any(i in new for i in range(at, at + len(block))):
            values = [list(found or ()) for found in kept.to_pylist()]
            for i, known in enumerate(values, at):
                flagged = any(f["rule"] == "same_prompt" for f in known)
                known += [f.as_dict() for f in new.get(i, ()) if f.rule != "same_prompt" or not flagged]
            kept = pa.array(values, kept.type)
        chunks.append(kept)
        at += len(block)
    return pa.chunked_array(chunks, rows.features.arrow_schema.field("findings").type)
