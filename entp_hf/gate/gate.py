"""The gate that every generated row must pass. Each check is a function of this folder, each bound a setting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Float64, FloatMatrix
from ..config import EntpConfig
from ..embedding.embed import Embed
from ..embedding.exact import fine
from ..execution.stage import Batch, rows_of
from ..llm.prompts import shorten
from ..purge.contamination.index import Contamination
from ..purge.purge import Purge
from ..rules.selection import defects
from ..schema import Origin, Row, reason_of, response_of, said_by, text_of
from ..text.overlap import copied, coverage
from ..text.words import sentences
from .contradictions import contradiction
from .fusion_checks import (
    clauses,
    dangling,
    defects_kept,
    described,
    handed_back,
    numbers_kept,
    request_coverage,
    said_twice,
    short_of,
)
from .judge import Judge
from .list_checks import disordered, repeats, surplus
from .score import Score, load_score
from .text_checks import language_changed, leaks_prompt, unfinished

_SHORT = 20  # characters of a sentence that is too short to be a stranger: "Yes.", a name (ours)
WRITTEN = (Origin.FUSED, Origin.CURED)  # origins of rows that a model wrote
_OF_PARENTS = frozenset({"coverage", "sentence", "parent_similarity"})  # a cure needs none of the old answer
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
    clauses: Float64  # (c, d) of the parts of the request
    request: Float64  # (d,) of the request as a whole


def sentence_coverage(parent: Vectors, made: Vectors) -> float:
    """Mean over the parent's sentences of the cosine to the nearest sentence of the made row."""
    return float((parent.sentences @ made.sentences.T).max(axis=1).mean())


def least_asked(asks: Float64, parts: Float64) -> float:
    """The cosine of the ask (a, d) that the parts (p, d) of a request or of an answer speak least of."""
    return float((asks @ parts.T).max(axis=1).min())


def nearest_pair(parts: Float64) -> float:
    """The largest cosine of two parts (p, d) of one text; 0 for a single part."""
    if len(parts) < 2:
        return 0.0
    near = parts @ parts.T
    np.fill_diagonal(near, 0.0)
    return float(near.max())


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
    words: bool = True
    judge_model: Judge | None = None
    score: float = 0.0  # least learned score; 0: off, -1: as fitted
    score_file: str = ""

    @classmethod
    def from_config(cls, config: EntpConfig, contamination: Contamination | None = None, asks: bool = False) -> Gate:
        """The gate that the configuration asks for; `asks`: a model may be asked about each row (`gate_ask`)."""
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
            config.gate_words,
            Judge.from_config(config) if asks else None,
            config.gate_score,
            config.gate_score_file,
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
        spans = []
        for mine in parents:
            spans.append(known[at : at + len(mine)])
            at += len(mine)
        measured = [
            self._figures(row, vector, mine, near, by_sentence)
            for row, vector, mine, near in zip(purged, exact, parents, spans, strict=True)
        ]
        first = [
            next(self._reasons(row, mine, *found), "")
            for row, mine, found in zip(purged, parents, measured, strict=True)
        ]
        told = self._asked_model(purged, parents, first)
        for row, vector, mine, (figures, _), reason, answers in zip(
            purged, exact, parents, measured, first, told, strict=True
        ):
            figures |= answers
            figures["duplicate"] = round(float((kept_exact[:count] @ vector).max(initial=-1.0)), 4)
            reason = reason or next(self._later_reasons(row, mine, figures), "")
            figures["margin"] = self._margin(figures, reason, row["origin"])
            if not reason:
                kept[count] = kept_exact[count] = vector
                count += 1
            verdicts.append(Verdict({**row, "gate": json.dumps(figures)}, reason, figures))
        return verdicts, kept[:count] if count else accepted

    def _asked_model(
        self, rows: Sequence[Row], parents: Sequence[Sequence[Row]], reasons: Sequence[str]
    ) -> list[dict[str, float]]:
        """What the model says about each row that nothing else speaks against; for a cured row of the old one too."""
        open_rows = [i for i, row in enumerate(rows) if row["origin"] in WRITTEN and not reasons[i]]
        out: list[dict[str, float]] = [{} for _ in rows]
        if self.judge_model is None or not open_rows:
            return out
        cured = [i for i in open_rows if rows[i]["origin"] == Origin.CURED]
        asked = [(rows[i], parents[i]) for i in open_rows] + [(parents[i][0], parents[i]) for i in cured]
        told = self.judge_model.ask([row for row, _ in asked], [mine for _, mine in asked])
        for i, answers in zip(open_rows, told[: len(open_rows)], strict=True):
            out[i] = dict(answers)
        for i, answers in zip(cured, told[len(open_rows) :], strict=True):
            out[i] |= {f"old_{name}": value for name, value in answers.items()}
        return out

    def _purged(self, made: Sequence[Row]) -> list[Row]:
        batch: Batch = {name: [row[name] for row in made] for name in made[0]}
        return rows_of(self.purge(batch))

    def _by_sentence(self, made: Sequence[Row], parents: Sequence[Sequence[Row]]) -> dict[str, Vectors]:
        """Vectors of every row that is to be looked at by sentence, by row id; one pass of the encoder for all."""
        rows: dict[str, Row] = {}
        for row, mine in zip(made, parents, strict=True):
            if row["origin"] != Origin.MOSAIC:
                rows |= {one["id"]: one for one in (row, *mine)}
        parts = {
            key: (_turns(row, False), _turns(row, True), clauses(said_by(row, "user")), said_by(row, "user"))
            for key, row in rows.items()
        }
        texts = list(
            dict.fromkeys(t for asked, said, split, whole in parts.values() for t in (*asked, *said, *split, whole))
        )
        at = dict(zip(texts, fine(self.embed.encode(texts)), strict=True)) if texts else {}
        return {
            key: Vectors(
                np.stack([at[t] for t in (*asked, *said)]),
                len(asked),
                tuple(map(len, (*asked, *said))),
                np.stack([at[t] for t in split]),
                at[whole],
            )
            for key, (asked, said, split, whole) in parts.items()
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
        if row["id"] in by_sentence:
            figures |= self._asked(row, parents, own, others)
        return {name: round(value, 4) for name, value in figures.items()}, int(np.argmin(covers))

    def _asked(self, row: Row, parents: Sequence[Row], own: Vectors, others: Sequence[Vectors]) -> dict[str, float]:
        """How the row's request holds what its parents ask, and how its answer meets the request."""
        answer, asked = own.sentences[own.answer :], np.stack([parent.request for parent in others])
        words = len(response_of(row).split()) or len(response_of(row)) / 2
        return {
            "request_coverage": min(request_coverage(parent, row) for parent in parents),
            "numbers_kept": min(numbers_kept(parent, row) for parent in parents),
            "asked": least_asked(asked, np.vstack([own.clauses, own.request[None]])),
            "answered": least_asked(np.vstack([asked, own.clauses]), answer),
            "answered_whole": float((answer @ own.request).mean()),
            "asks_apart": nearest_pair(asked),
            "clauses_apart": nearest_pair(own.clauses),
            "sentences_apart": nearest_pair(answer),
            "said_twice": float(bool(said_twice(row, parents))),
            "handed_back": float(bool(handed_back(row, parents))),
            "described": float(bool(described(row))),
            "dangling": float(bool(dangling(row))),
            "short": short_of(row),
            "defects_kept": float(len(defects_kept(row, parents))),
            "words": float(np.log1p(words)),
            "words_an_ask": float(np.log1p(words / max(len(own.clauses), len(parents)))),
            "parents": float(len(parents)),
        }

    def _reasons(self, row: Row, parents: Sequence[Row], figures: dict[str, float], left_out: int) -> Iterator[str]:
        """Everything that is wrong with a row, in words that a model can mend it by."""
        written, fused = row["origin"] in WRITTEN, row["origin"] == Origin.FUSED
        if row["dropped_by"]:
            yield f"purge rule {reason_of(row['dropped_by'])[1]}"
        yield from (f"purge rule {rule}" for rule in sorted(defects(row)))
        if leak := leaks_prompt(row, parents):
            yield f"it speaks of the prompt ({leak!r})"
        if written and self.language and (language := language_changed(row, parents)):
            yield f"in another language than its rows ({language})"
        if figures["similarity"] < self.similarity:
            yield f"too far from its parents (similarity {figures['similarity']}, bound {self.similarity})"
        if row["origin"] != Origin.CURED and figures["coverage"] < self.coverage:
            yield f"leaves out row {left_out + 1} (coverage {figures['coverage']}, bound {self.coverage})"
        if fused and figures["parent_similarity"] < self.parent_similarity:
            near, bound = figures["parent_similarity"], self.parent_similarity
            yield f"has nothing of one row (similarity {near}, bound {bound})"
        if row["origin"] != Origin.CURED and figures["sentence"] < self.sentence:
            yield f"says what none of its rows is about (similarity {figures['sentence']}, bound {self.sentence})"
        if written and self.unfinished and (end := unfinished(row, parents)):
            yield f"breaks off (at {end!r})"
        if fused and self.contradictions and (wrong := contradiction(row, parents)):
            yield f"contradicts its rows ({wrong})"
        if written and self.contradictions and (wrong := disordered(row, parents)):
            yield f"numbers its list out of order ({wrong})"
        if written and figures["repeats"] > self.repeats:
            yield f"says things twice (share {figures['repeats']}, bound {self.repeats})"
        if written and figures["surplus"] > self.surplus:
            yield f"lists more than is asked for ({figures['surplus']:g} times, bound {self.surplus:g})"
        if figures["copy"] >= self.copy and len(parents) > 1:
            yield f"copies one row (share {figures['copy']}, bound {self.copy})"
        if any(text_of(parent) == text_of(row) for parent in parents):
            yield "changes nothing"
        if written and self.words:
            yield from self._said(row, parents)

    def _said(self, row: Row, parents: Sequence[Row]) -> Iterator[str]:
        """The faults that real fusions have, by their words alone (`fusion_checks.py`)."""
        if row["origin"] == Origin.FUSED and (text := dangling(row)):
            yield f"speaks of a text that it does not hold ({text!r})"
        if again := said_twice(row, parents):
            yield f"says the same twice ({shorten(again, 60)!r})"
        if whole := handed_back(row, parents):
            yield f"hands one row back ({whole})"
        if opening := described(row):
            yield f"describes the task in place of doing it ({opening!r})"
        if kept := defects_kept(row, parents):
            yield f"keeps a defect of its rows ({', '.join(sorted(kept))})"

    def _later_reasons(self, row: Row, parents: Sequence[Row], figures: dict[str, float]) -> Iterator[str]:
        """The checks that need the rows accepted before, or a model's answers."""
        if figures["duplicate"] >= self.duplicate:
            yield f"near-duplicate of an accepted row (cosine {figures['duplicate']}, bound {self.duplicate})"
        if self.contamination is not None and (hits := self.contamination.find(row)):
            yield f"holds a benchmark item ({hits[0].detail})"
        if row["origin"] == Origin.CURED and figures.get("good", 1.0) <= figures.get("old_good", 0.0):
            yield f"no better than the old answer (good {figures['good']}, before {figures['old_good']})"
        if row["origin"] in WRITTEN and self.score and (found := self._score(row["origin"], figures)):
            figures["score"] = round(found.probability(figures), 4)
            bound = found.bound if self.score < 0 else self.score
            if figures["score"] < bound:
                worst = found.worst(figures)
                yield f"scores too low (score {figures['score']}, bound {bound}, most against it: {worst})"

    def _score(self, origin: str, figures: Mapping[str, float]) -> Score | None:
        """The learned score for rows of this origin: with the model's answers where there are any."""
        kind = f"{origin}_asked" if "good" in figures else f"{origin}_words"
        return load_score(kind, self.score_file)

    def _margin(self, figures: dict[str, float], reason: str, origin: str) -> float:
        """How far the row is over the nearest bound, -1..1: a score to rank rows by. Below 0 for a refused row."""
        bounded = _BOUNDED - {Origin.FUSED: frozenset[str](), Origin.CURED: _OF_PARENTS}.get(
            Origin(origin), frozenset({"parent_similarity"})
        )
        least = min(figures[name] - float(getattr(self, name)) for name in bounded)
        least = min(least, self.copy - figures["copy"], self.duplicate - figures["duplicate"])
        if "score" in figures:
            return figures["score"] if not reason else figures["score"] - 1
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
