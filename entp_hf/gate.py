"""The gate that every made row must pass. Each check is a function, each bound a knob."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

import numpy as np

from .config import EntpConfig
from .embed import Embed
from .groups import defects
from .neighbours import Floats
from .purge import Purge
from .purge.contamination import Contamination
from .schema import Row, instruction_of, response_of, text_of
from .stage import Batch, rows_of

_LEAKS = re.compile(
    r"\b(?:row|sample|instruction) [12345]\b|\bmerged (?:instruction|row|response)\b"
    r"|\bthe (?:given|rewritten) prompt\b"
    r"|<the new (?:instruction|response)>|\bdefects seen\b", re.I,
)  # fmt: skip
# Vowel signs of Indic and South-East Asian scripts are no letters for `re`, and would break every word.
_WORD = re.compile(
    "(?:[^\\W_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31-\u0ecd\u1000-\u109f\u1780-\u17ff])+"
)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\U0003ffff]")
_STOP = frozenset(
    "a an and are as at be but by can do does for from had has have how i if in into is it its me my no not of on or "
    "our should so some such than that the their them then there these they this to was we were what when where which "
    "who why will with would you your please write give explain describe list".split()
)


@dataclass(frozen=True)
class Verdict:
    """`reason` is "" for a row that passed; `row` is as the purge repaired it; `figures` go into its `gate`."""

    row: Row
    reason: str
    figures: dict[str, float] = field(default_factory=dict)


def content_words(text: str) -> set[str]:
    """Words that carry content: lower case, no stop words; pairs of characters for scripts without spaces."""
    words: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if not word.isascii() and len(word) > 1 and _UNSPACED.search(word):
            words.update(word[i : i + 2] for i in range(len(word) - 1))
        elif word not in _STOP and (len(word) > 2 or word.isdigit()):
            words.add(word[:-1] if len(word) > 4 and word.endswith("s") else word)
    return words


def coverage(parent: Row, made: Row) -> float:
    """Share of the parent's content words and numbers that the made row has; 1 for a parent without any."""
    wanted = content_words(text_of(parent))
    return len(wanted & content_words(text_of(made))) / len(wanted) if wanted else 1.0


def copied(parent: Row, made: Row) -> float:
    """Share of the made row's response that is one block of the parent's response."""
    ours, theirs = response_of(made), response_of(parent)
    if not ours or not theirs:
        return 0.0
    block = SequenceMatcher(None, ours, theirs, autojunk=len(ours) * len(theirs) > 4_000_000).find_longest_match()
    return block.size / len(ours)


def leaks_prompt(made: Row, parents: Sequence[Row] = ()) -> str:
    """What of the fusion prompt stands in the made row, or ""; what a parent says too (row 1 of a table) is none."""
    known = "\n".join(text_of(parent) for parent in parents).casefold()
    for found in _LEAKS.finditer(f"{instruction_of(made)}\n{response_of(made)}"):
        if found.group(0).casefold() not in known:
            return found.group(0)
    return ""


@dataclass(frozen=True)
class Gate:
    """Judges made rows against their parents, the purge rules, the benchmarks, and the rows accepted before."""

    purge: Purge
    embed: Embed
    contamination: Contamination | None
    similarity: float
    coverage: float
    copy: float
    duplicate: float

    @classmethod
    def from_config(cls, config: EntpConfig, contamination: Contamination | None = None) -> Gate:
        """The gate that the configuration asks for."""
        return cls(
            Purge.from_config(config), Embed.from_config(config), contamination, config.gate_similarity,
            config.gate_coverage, config.gate_copy, config.gate_duplicate,
        )  # fmt: skip

    def judge(
        self, made: Sequence[Row], parents: Sequence[Sequence[Row]], accepted: Floats
    ) -> tuple[list[Verdict], Floats]:
        """Judge rows in order; returns verdicts, and `accepted` (n, d) with the embeddings of those that passed.

        A row that passed counts as accepted for the rows after it.
        """
        purged = self._purged(made)
        vectors = self.embed.encode([text_of(row) for row in purged]) if purged else np.zeros((0, 1), np.float32)
        flat = [row for rows in parents for row in rows]
        known = self.embed.encode([text_of(row) for row in flat]) if flat else np.zeros((0, 1), np.float32)
        verdicts, kept, at = [], [accepted] if accepted.size else [], 0
        for row, vector, mine in zip(purged, vectors, parents, strict=True):
            near = known[at : at + len(mine)]
            at += len(mine)
            figures, reason = self._check(row, vector, mine, near, kept)
            if not reason:
                kept.append(vector[None])
            verdicts.append(Verdict({**row, "gate": json.dumps(figures)}, reason, figures))
        return verdicts, np.concatenate(kept) if kept else accepted

    def _purged(self, made: Sequence[Row]) -> list[Row]:
        if not made:
            return []
        batch: Batch = {name: [row[name] for row in made] for name in made[0]}
        return rows_of(self.purge(batch))

    def _check(
        self, row: Row, vector: Floats, parents: Sequence[Row], near: Floats, kept: Sequence[Floats]
    ) -> tuple[dict[str, float], str]:
        centre = near.mean(axis=0)
        covers = [coverage(parent, row) for parent in parents]
        figures = {
            "similarity": round(float(vector @ centre / max(float(np.linalg.norm(centre)), 1e-9)), 4),
            "novelty": round(1 - float((near @ vector).max()), 4),
            "coverage": round(min(covers), 4),
            "copy": round(max(copied(parent, row) for parent in parents), 4),
            "duplicate": round(max((float((block @ vector).max()) for block in kept), default=-1.0), 4),
        }
        if row["dropped_by"]:
            return figures, f"purge rule {row['dropped_by'].split(':', 1)[1]}"
        if flagged := sorted(defects(row)):
            return figures, f"purge rule {flagged[0]}"
        if leak := leaks_prompt(row, parents):
            return figures, f"it speaks of the prompt ({leak!r})"
        if figures["similarity"] < self.similarity:
            return figures, f"too far from its parents (similarity {figures['similarity']}, bound {self.similarity})"
        if figures["coverage"] < self.coverage:
            return (
                figures,
                f"leaves out row {int(np.argmin(covers)) + 1} (coverage {figures['coverage']}, bound {self.coverage})",
            )
        if figures["copy"] >= self.copy and len(parents) > 1:
            return figures, f"copies one row (share {figures['copy']}, bound {self.copy})"
        if any(text_of(parent) == text_of(row) for parent in parents):
            return figures, "changes nothing"
        if figures["duplicate"] >= self.duplicate:
            return (
                figures,
                f"near-duplicate of an accepted row (cosine {figures['duplicate']}, bound {self.duplicate})",
            )
        if self.contamination is not None and (hits := self.contamination.find(row)):
            return figures, f"holds a benchmark item ({hits[0].detail})"
        return figures, ""


def reason_kind(reason: str) -> str:
    """A reason without its figures: what the counts are kept by."""
    return re.sub(r"\s*[(:].*", "", reason, flags=re.S).strip()
