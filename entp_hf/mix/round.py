"""One round of fusion: every group is asked for, judged, asked again with the reason, and composed where it failed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..execution.usage import metered
from ..gate.gate import Gate, Verdict, reason_kind
from ..io.manifest import RoundSection
from ..llm.batch import end_of_stage
from ..llm.factory import make_client, model_of
from ..llm.protocol import ChatClient
from ..rating.rate import judge
from ..schema import Origin, Row
from .fusion import FUSERS
from .groups import Group
from .mosaic import mosaic
from .writer import Writer, likelihood


class Round:
    """One round of fusion: `rows` holds a made row for each group, or None where its representative goes through."""

    def __init__(
        self, groups: Sequence[Group], config: EntpConfig, gate: Gate, accepted: FloatMatrix, number: int
    ) -> None:
        self.groups, self.config, self.gate, self.accepted, self.number = groups, config, gate, accepted, number
        self.rows: list[Row | None] = [None] * len(groups)
        self.verdicts: dict[int, Verdict] = {}  # of the rows that passed, by group number
        self.vectors: dict[int, FloatMatrix] = {}
        self.reasons: Counter[str] = Counter()
        self.refused: dict[int, tuple[Row, str]] = {}  # the last row of a group that the gate refused, and why
        self.attempts = 0
        self.replies = 0  # to fusion requests, whole and without an error
        self.stopped = ""  # which limit forbade calls

    def run(self, client: ChatClient | None) -> RoundSection:
        """Ask the model, compose what it could not fuse, and return the round's figures."""
        begun = time.perf_counter()
        with metered() as usage:
            if FUSERS[self.config.fuser] is not None and client is not None:
                self._ask(client)
            if "mosaic" in (self.config.on_reject, self.config.fuser):
                self._compose()
        origins = Counter(row["origin"] for row in self.rows if row is not None)
        return {
            "round": self.number,
            "groups": len(self.groups),
            "fused": origins[Origin.FUSED],
            "cured": origins[Origin.CURED],
            "mosaic": origins[Origin.MOSAIC],
            "passthrough": len(self.groups) - len(self.verdicts),
            "attempts": self.attempts,
            "replies": self.replies,
            "reasons": dict(self.reasons.most_common()),
            "similarity": self._mean("similarity"),
            "novelty": self._mean("novelty"),
            "reject_rate": round(1 - (origins[Origin.FUSED] + origins[Origin.CURED]) / self.attempts, 4)
            if self.attempts
            else None,
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "seconds": round(time.perf_counter() - begun, 3),
        }

    def new_vectors(self) -> FloatMatrix:
        """Embeddings of the made rows, (m, d), in the order of their groups."""
        passed = [self.vectors[i] for i in sorted(self.vectors)]
        return np.stack(passed) if passed else self.accepted[:0]

    def _mean(self, figure: str) -> float | None:
        values = [verdict.figures[figure] for verdict in self.verdicts.values()]
        return round(float(np.mean(values)), 4) if values else None

    def _ask(self, client: ChatClient) -> None:
        """Let the model write a row for each group; what the gate refuses is asked again, `retries` times.

        Of several `candidates` the gate's score, or the likelihood under `candidate_model`, picks the best.
        """
        fuser = FUSERS[self.config.fuser]
        assert fuser is not None
        todo = list(range(len(self.groups)))
        written = Writer(self.groups, fuser, self.config, client, self.number)
        why = dict.fromkeys(todo, "")
        for attempt in range(self.config.retries + 1):
            candidates = []
            for number in range(self.config.candidates):
                rows, failed = written.write(todo, why, attempt, number)
                candidates.append(rows)
                if not number or self.config.candidates == 1:
                    first_failures = failed
            self.attempts += written.asked
            self.replies += written.replies
            self.stopped = written.stopped
            found = candidates[0] if len(candidates) == 1 else self._best(candidates)
            why |= first_failures | self._judge(found)
            why |= self._rerate(list(found), client)
            todo = [i for i in todo if self.rows[i] is None]
            self.reasons.update(reason_kind(why[i]) for i in todo)
            self.refused |= {i: (found[i], why[i]) for i in todo if i in found}
            if not todo or self.stopped:
                break

    def _best(self, candidates: Sequence[Mapping[int, Row]]) -> dict[int, Row]:
        """Of each group's candidates the best one that the gate lets through, else the best of those it refuses."""
        before = np.concatenate([self.accepted, self.new_vectors()])
        best: dict[int, tuple[tuple[bool, float], Row]] = {}
        for rows in candidates:
            order = sorted(rows)
            judged, _ = self.gate.judge([rows[i] for i in order], [self._parents(i, rows[i]) for i in order], before)
            likely = likelihood([verdict.row for verdict in judged], self.config)
            for i, verdict, plus in zip(order, judged, likely, strict=True):
                rank = (not verdict.reason, verdict.figures["margin"] if plus is None else plus)
                if i not in best or rank > best[i][0]:
                    best[i] = rank, rows[i]
        return {i: row for i, (_, row) in best.items()}

    def _parents(self, number: int, row: Row) -> list[Row]:
        return [parent for parent in self.groups[number].rows if parent["id"] in row["parents"]]

    def _rerate(self, numbers: Sequence[int], client: ChatClient) -> dict[int, str]:
        """Rate what passed the gate (`gate_rerate`), and take back rows below their best parent, with the reason.

        A row whose rating failed stays, with a note: the gate found nothing wrong with it.
        """
        passed = {i: row for i in numbers if (row := self.rows[i]) is not None}
        if not self.config.gate_rerate or not passed:
            return {}
        config = self.config
        own = model_of(config, "judge") != model_of(config)
        judged_by = make_client(config, "judge") if own else client
        values, notes = judge(list(passed.values()), judged_by, config.prompt_dir, config.rate_tokens)
        end_of_stage()
        why = {}
        for (i, row), value, note in zip(passed.items(), values, notes, strict=True):
            best = max((row["score"] for row in self.groups[i].rows if row["score"] is not None), default=0)
            if value is not None and value < best:
                why[i] = f"rated below its best parent (rating {value:g}, parent {best})"
                self.rows[i] = None
                del self.verdicts[i], self.vectors[i]
            else:
                score = None if value is None else int(value)
                self.rows[i] = {**row, "ratings": [value], "score": score, "notes": note}
        return why

    def _compose(self) -> None:
        """Mosaics for the groups that have no row yet."""
        open_groups = [i for i, row in enumerate(self.rows) if row is None and self.groups[i].neighbors]
        styles, seed = self.config.mosaic_styles, self.config.seed
        made = {i: mosaic(self.groups[i], self.number, styles, seed) for i in open_groups}
        found = {i: row for i, row in made.items() if row is not None}
        why = self._judge(found)
        self.reasons.update(f"mosaic: {reason_kind(reason)}" for reason in why.values() if reason)

    def _judge(self, found: Mapping[int, Row]) -> dict[int, str]:
        """Let the gate judge rows, by group number; keeps those that pass and returns every row's reason."""
        order = sorted(found)
        parents = [self._parents(i, found[i]) for i in order]
        before = np.concatenate([self.accepted, self.new_vectors()])
        judged, now = self.gate.judge([found[i] for i in order], parents, before)
        new = iter(now[len(before) :])
        for i, verdict in zip(order, judged, strict=True):
            if not verdict.reason:
                self.rows[i], self.verdicts[i], self.vectors[i] = verdict.row, verdict, next(new)
        return {i: verdict.reason for i, verdict in zip(order, judged, strict=True)}
