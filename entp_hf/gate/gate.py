"""The gate that every generated row must pass. Each check is a function of this folder, each bound a setting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Float64, FloatMatrix
from ..config import EntpConfig
from ..embedding.embed import Embed
from ..embedding.exact import fine
from ..execution.stage import Batch, rows_of
from ..purge.contamination.index import Contamination
from ..purge.purge import Purge
from ..rules.selection import defects
from ..schema import Origin, Row, reason_of, text_of
from ..text.overlap import copied, coverage
from ..text.words import sentences
from .contradictions import contradiction
from .list_checks import disordered, repeats, surplus
from .text_checks import language_changed, leaks_prompt, unfinished

_SHORT = 20  # characters of a sentence that is too short to be a stranger: "Yes.", a name (ours)
_BOUNDED = frozenset({"similarity", "parent_similarity", "coverage", "sentence"})


@dataclass(frozen=True)
class Verdict:
    """`reason` is "" for a row that passed; `row` is as the purge repaired it; `figures` go into its `gate`."""

    row: Row
    reason: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Vectors:
    """Embeddings (m, d) of the sentences of a row, question first; `answer` is where the answer's begin."""

    sentences: Float64
    answer: int
    lengths: tuple[int, ...]


def sentence_coverage(parent: Vectors, made: Vectors) -> float:
    """Mean over the parent's sentences of the cosine to the nearest sentence of the made row."""
    return float((parent.sentences @ made.sentences.T).max(axis=1).mean())


def strangest_sentence(made: Vectors, parents: Sequence[Vectors], whole: Float64) -> float:
    """Least cosine of a sentence of the made answer to the nearest thing that its parents or its own question say.

    `whole` (n, d) are the parents as wholes. 1.0 where all sentences are too short to tell.
    """
    known = np.concatenate([*(parent.sentences for parent in parents), whole, made.sentences[: made.answer]])
    near = (made.sentences[made.answer :] @ known.T).max(axis=1)
    told = [float(n) for n, length in zip(near, made.lengths[made.answer :], strict=True) if length >= _SHORT]
    return min(told, default=1.0)


@dataclass(frozen=True)
class Gate:
    """Judges made rows against their parents, the purge rules, the benchmarks, and the rows accepted before."""

    purge: Purge
    embed: Embed
    contamination: Contamination | None
    similarity: float
    parent_similarity: float
    coverage: float
    sentence: float
    copy: float
    duplicate: float
    repeats: float
    surplus: float
    contradictions: bool = True
    unfinished: bool = True
    language: bool = True

    @classmethod
    def from_config(cls, config: EntpConfig, contamination: Contamination | None = None) -> Gate:
        """The gate that the configuration asks for."""
        return cls(
            Purge.from_config(config),
            Embed.from_config(config),
            contamination,
            config.gate_similarity,
            config.gate_parent_similarity,
            config.gate_coverage,
            config.gate_sentence,
            config.gate_copy,
            config.gate_duplicate,
            config.gate_repeats,
            config.gate_surplus,
            config.gate_contradiction,
            config.gate_unfinished,
            config.gate_language,
        )

    def judge(
        self, made: Sequence[Row], parents: Sequence[Sequence[Row]], accepted: FloatMatrix
    ) -> tuple[list[Verdict], FloatMatrix]:
        """Judge rows in order; returns verdicts, and `accepted` (n, d) with the embeddings of those that passed.

        A row that passed counts as accepted for the rows after it. Compositions (origin mosaic) hold their parents'
        own sentences, so that these are not looked at one by one, nor each parent's embedding, which a long
        composition's own, made of its beginning, would miss.
        """
        if not made:
            return [], accepted
        purged = self._purged(made)
        vectors = self.embed.encode([text_of(row) for row in purged], "gate: embed")
        exact = fine(vectors)  # so that the figures do not depend on the processor
        flat = [row for rows in parents for row in rows]
        known = fine(self.embed.encode([text_of(row) for row in flat])) if flat else np.zeros((0, 1))
        by_sentence = self._by_sentence(purged, parents)
        verdicts, at = [], 0
        before = len(accepted) if accepted.size else 0
        kept = np.zeros((before + len(purged), vectors.shape[1]), np.float32)
        kept[:before] = accepted[:before]
        kept_exact = fine(kept)
        count = before
        for row, vector, mine in zip(purged, exact, parents, strict=True):
            near = known[at : at + len(mine)]
            at += len(mine)
            figures, left_out = self._figures(row, vector, mine, near, by_sentence)
            figures["duplicate"] = round(float((kept_exact[:count] @ vector).max(initial=-1.0)), 4)
            reason = next(self._reasons(row, mine, figures, left_out), "")
            figures["margin"] = self._margin(figures, reason, row["origin"] != Origin.MOSAIC)
            if not reason:
                kept[count] = kept_exact[count] = vector
                count += 1
            verdicts.append(Verdict({**row, "gate": json.dumps(figures)}, reason, figures))
        return verdicts, kept[:count] if count else accepted

    def _purged(self, made: Sequence[Row]) -> list[Row]:
        batch: Batch = {name: [row[name] for row in made] for name in made[0]}
        return rows_of(self.purge(batch))

    def _by_sentence(self, made: Sequence[Row], parents: Sequence[Sequence[Row]]) -> dict[str, Vectors]:
        """Vectors of every row that is to be looked at by sentence, by row id; one pass of the encoder for all."""
        rows: dict[str, Row] = {}
        for row, mine in zip(made, parents, strict=True):
            if row["origin"] != Origin.MOSAIC:
                rows |= {one["id"]: one for one in (row, *mine)}
        parts = {key: (_turns(row, False), _turns(row, True)) for key, row in rows.items()}
        texts = list(dict.fromkeys(text for asked, said in parts.values() for text in (*asked, *said)))
        at = dict(zip(texts, fine(self.embed.encode(texts)), strict=True)) if texts else {}
        return {
            key: Vectors(np.stack([at[t] for t in (*asked, *said)]), len(asked), tuple(map(len, (*asked, *said))))
            for key, (asked, said) in parts.items()
        }

    def _figures(
        self, row: Row, vector: Float64, parents: Sequence[Row], near: Float64, by_sentence: dict[str, Vectors]
    ) -> tuple[dict[str, float], int]:
        """The figures of a row, and which of its parents it covers least (from 0)."""
        centre = near.mean(axis=0)
        to_each = near @ vector
        covers = [coverage(parent, row) for parent in parents]
        strange = 1.0
        if row["id"] in by_sentence:
            own, others = by_sentence[row["id"]], [by_sentence[parent["id"]] for parent in parents]
            covers = [(words + sentence_coverage(p, own)) / 2 for words, p in zip(covers, others, strict=True)]
            strange = strangest_sentence(own, others, near)
        figures = {
            "similarity": float(vector @ centre / max(float(np.linalg.norm(centre)), 1e-9)),
            "parent_similarity": float(to_each.min()),
            "novelty": 1 - float(to_each.max()),
            "coverage": min(covers),
            "sentence": strange,
            "copy": max(copied(parent, row) for parent in parents),
            "repeats": repeats(row, parents),
            "surplus": surplus(row),
        }
        return {name: round(value, 4) for name, value in figures.items()}, int(np.argmin(covers))

    def _reasons(self, row: Row, parents: Sequence[Row], figures: dict[str, float], left_out: int) -> Iterator[str]:
        """Everything that is wrong with a row, in words that a model can mend it by."""
        fused = row["origin"] != Origin.MOSAIC
        if row["dropped_by"]:
            yield f"purge rule {reason_of(row['dropped_by'])[1]}"
        yield from (f"purge rule {rule}" for rule in sorted(defects(row)))
        if leak := leaks_prompt(row, parents):
            yield f"it speaks of the prompt ({leak!r})"
        if fused and self.language and (language := language_changed(row, parents)):
            yield f"in another language than its rows ({language})"
        if figures["similarity"] < self.similarity:
            yield f"too far from its parents (similarity {figures['similarity']}, bound {self.similarity})"
        if figures["coverage"] < self.coverage:
            yield f"leaves out row {left_out + 1} (coverage {figures['coverage']}, bound {self.coverage})"
        if fused and figures["parent_similarity"] < self.parent_similarity:
            near, bound = figures["parent_similarity"], self.parent_similarity
            yield f"has nothing of one row (similarity {near}, bound {bound})"
        if figures["sentence"] < self.sentence:
            yield f"says what none of its rows is about (similarity {figures['sentence']}, bound {self.sentence})"
        if fused and self.unfinished and (end := unfinished(row, parents)):
            yield f"breaks off (at {end!r})"
        if fused and self.contradictions and (wrong := contradiction(row, parents)):
            yield f"contradicts its rows ({wrong})"
        if fused and self.contradictions and (wrong := disordered(row, parents)):
            yield f"numbers its list out of order ({wrong})"
        if fused and figures["repeats"] > self.repeats:
            yield f"says things twice (share {figures['repeats']}, bound {self.repeats})"
        if fused and figures["surplus"] > self.surplus:
            yield f"lists more than is asked for ({figures['surplus']:g} times, bound {self.surplus:g})"
        if figures["copy"] >= self.copy and len(parents) > 1:
            yield f"copies one row (share {figures['copy']}, bound {self.copy})"
        if any(text_of(parent) == text_of(row) for parent in parents):
            yield "changes nothing"
        if figures["duplicate"] >= self.duplicate:
            yield f"near-duplicate of an accepted row (cosine {figures['duplicate']}, bound {self.duplicate})"
        if self.contamination is not None and (hits := self.contamination.find(row)):
            yield f"holds a benchmark item ({hits[0].detail})"

    def _margin(self, figures: dict[str, float], reason: str, fused: bool) -> float:
        """How far the row is over the nearest bound, -1..1: a score to rank rows by. Below 0 for a refused row."""
        bounded = _BOUNDED if fused else _BOUNDED - {"parent_similarity"}
        least = min(figures[name] - float(getattr(self, name)) for name in bounded)
        least = min(least, self.copy - figures["copy"], self.duplicate - figures["duplicate"])
        return round(min(least, 0.0) - 0.5 if reason and least >= 0 else least, 4)


def _turns(row: Row, answer: bool) -> list[str]:
    """Sentences of the row's answers, or of all other turns but the system's."""
    return [
        part
        for m in row["messages"]
        if m["role"] != "system" and (m["role"] == "assistant") == answer
        for part in sentences(m["content"])
    ]


def reason_kind(reason: str) -> str:
    """A reason without its figures: what the counts are kept by."""
    return re.sub(r"\s*[(:].*", "", reason, flags=re.S).strip()
