"""The purge as a `datasets.map` transform: repair first, then flag, drop only where nothing usable is left."""

from __future__ import annotations

import functools
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets import Features

from ..config import EntpConfig
from ..errors import ConfigError
from ..execution.own_code import Fingerprinted, forget_on_reload
from ..rules.row import Fields, Hit, Rule
from ..rules.selection import parse_thresholds, rule_name, rule_problems, selected, thresholds_of
from ..schema import FEATURES, JOIN, DroppedBy, Finding, Message, Origin, without_nulls

Batch = dict[str, list[Any]]
ROUNDS = 8  # one repair can uncover another; eight in a row have not been seen


@dataclass(frozen=True, slots=True)
class Purged:
    """A row after the purge: its turns, its separate input, what was found, and "purge:rule" if it is dropped.

    `texts` goes with `findings`: the text that a finding's span counts in, and what a repair made of it.
    """

    messages: list[Message]
    input: str
    findings: list[Finding]
    dropped_by: str | None
    changed: bool
    texts: list[tuple[str, str]]


@dataclass(frozen=True)
class Purge(Fingerprinted):
    """Runs the rules over rows of `schema.FEATURES`, or over any rows with `messages`.

    `rules` empty: the default set. `drop` names rules whose flags shall drop; `thresholds` are (rule, number)
    pairs. Rows with `dropped_by` set, and with `only_pool` those outside the pool, pass untouched. Needs the column
    `messages`; adds `findings` and `dropped_by` where they are missing and returns every column it was given. A
    second run changes nothing. Rows without a column `original` get one: JSON of `messages` and `input` as they came
    in, null where nothing was changed.
    """

    rules: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    thresholds: tuple[tuple[str, float], ...] = ()
    only_pool: bool = False

    def __post_init__(self) -> None:
        """Lists become tuples; raises ConfigError for unknown rules and thresholds."""
        problems = []
        for name in ("rules", "off", "drop"):
            names = getattr(self, name)
            if isinstance(names, str):
                problems.append(f"{name}: {names!r} is a string; give a list of names, as [{names!r}]")
            else:
                object.__setattr__(self, name, tuple(names))
        pairs = self.thresholds.items() if isinstance(self.thresholds, Mapping) else self.thresholds
        object.__setattr__(self, "thresholds", tuple((str(rule), value) for rule, value in pairs))
        if not problems:
            entries = [f"{rule}={value}" for rule, value in self.thresholds]
            found = rule_problems(self.rules, self.off, self.drop, entries)
            problems = [problem.removeprefix("purge_") for problem in found]
        if problems:
            raise ConfigError(problems)

    @classmethod
    def from_config(cls, config: EntpConfig) -> Purge:
        """The purge that a configuration asks for, for all rows: `only_pool` is the caller's to set, since rows that
        the pipeline made are in no pool and must be purged too.
        """
        return cls(
            tuple(config.purge_rules),
            tuple(config.purge_off),
            tuple(config.purge_drop),
            parse_thresholds(config.purge_thresholds),
        )

    def __call__(self, batch: Batch) -> Batch:
        """One batch of columns in, the same columns (and `findings`, `dropped_by`) out."""
        count = len(batch["messages"])
        messages, findings = list(batch["messages"]), [list(f or ()) for f in batch.get("findings") or [()] * count]
        inputs, dropped = list(batch.get("input") or [""] * count), list(batch.get("dropped_by") or [None] * count)
        in_pool = batch.get("in_pool") or [True] * count
        original = list(batch.get("original") or [None] * count)
        # A user's own column of that name stays as it is; of our rows, generated ones have no original.
        origin = batch.get("origin") or [Origin.INPUT if "original" not in batch else ""] * count
        for i in range(count):
            if dropped[i] or (self.only_pool and not in_pool[i]):
                continue
            result = self.row(messages[i], inputs[i] or "")
            if result.changed:
                if original[i] is None and origin[i] == Origin.INPUT:
                    original[i] = _as_json(messages[i], inputs[i])
                messages[i], inputs[i] = result.messages, result.input
            _extend(findings[i], result.findings)
            dropped[i] = result.dropped_by
        given = {"input": inputs} if "input" in batch else {}
        marks = {"findings": findings, "dropped_by": dropped, "original": original}
        return {**batch, "messages": messages, **given, **marks}

    def features(self, features: Features) -> Features:
        """What the rows' features are after the purge: `findings`, `dropped_by`, `original` added where missing.

        Rows without these columns need it, `rows.map(purge, batched=True, features=purge.features(rows.features))`:
        `map` takes a new column's type from the first batch, and would learn "null" where nothing is found there.
        """
        return Features({**{name: FEATURES[name] for name in ("findings", "dropped_by", "original")}, **features})

    def row(self, messages: list[Message], given: str = "") -> Purged:
        """Purge one conversation. `given` is the part of its first user turn that is a separate input."""
        return _Run(_plan(self), messages, given).purged()

    def names(self) -> list[str]:
        """The rules that run, in their order."""
        return [rule.name for rule in _plan(self).rules]

    def timed(self, batch: Batch) -> dict[str, float]:
        """Seconds that each rule takes on a batch of rows as they stand: for reports, not part of the map.

        A text is masked, split and lower-cased once, in the time of the first rule that needs it.
        """
        seconds: dict[str, float] = defaultdict(float)
        plan = _plan(self)
        for messages, given in zip(
            batch["messages"], batch.get("input") or [""] * len(batch["messages"]), strict=True
        ):
            fields = Fields(messages, given or "")
            for rule in plan.rules:
                begun = time.perf_counter()
                list(rule.check(fields, plan.thresholds[rule.name]))
                seconds[rule.name] += time.perf_counter() - begun
        return dict(seconds)


@dataclass(frozen=True)
class _Plan:
    rules: tuple[Rule, ...]
    thresholds: Mapping[str, float]
    drop: frozenset[str]
    order: Mapping[str, int] = field(init=False)
    repairing: tuple[tuple[Rule, float], ...] = field(init=False)
    marking: tuple[tuple[Rule, float], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", {rule.name: place for place, rule in enumerate(self.rules)})
        for name, repairs in (("repairing", True), ("marking", False)):
            chosen = ((rule, self.thresholds[rule.name]) for rule in self.rules if rule.repairs == repairs)
            object.__setattr__(self, name, tuple(chosen))


@functools.lru_cache(maxsize=16)
def _plan(purge: Purge) -> _Plan:
    rules = selected(purge.rules, purge.off)
    thresholds = {rule_name(name): value for name, value in purge.thresholds}
    return _Plan(tuple(rules), thresholds_of(rules, thresholds), frozenset(map(rule_name, purge.drop)))


forget_on_reload(_plan.cache_clear)


class _Run:
    """One row on its way through the rules."""

    def __init__(self, plan: _Plan, messages: list[Message], given: str) -> None:
        self.plan, self.given = plan, given
        self.messages = [
            {**without_nulls(m), "role": m["role"] or "", "content": m["content"] or ""} for m in messages
        ]
        self.findings: list[Finding] = []
        self.texts: list[tuple[str, str]] = []
        self.changed = False

    def purged(self) -> Purged:
        marks = self._oversized()
        if not marks:
            fields, marks = self._repair()
            for rule, threshold in self.plan.marking:
                for hit in rule.check(fields, threshold):
                    marks.append((rule, hit))  # noqa: PERF401 - most rules find nothing, and a list each costs more
        dropped_by = None
        for rule, hit in sorted(marks, key=lambda mark: self.plan.order[mark[0].name]):
            finding = _finding(rule, hit, self.plan.drop)
            self._note(finding, hit)
            if finding.action == "drop" and dropped_by is None:
                dropped_by = DroppedBy.by_rule(rule.name)
        return Purged(self.messages, self.given, self.findings, dropped_by, self.changed, self.texts)

    def _oversized(self) -> list[tuple[Rule, Hit]]:
        """The drops by `corrupt_length`: a row with a field that long is lost, and no other rule needs to read it."""
        for rule, threshold in self.plan.marking:
            if rule.name == "corrupt_length" and any(len(m["content"]) > threshold for m in self.messages):
                hits = rule.check(Fields(self.messages, self.given), threshold)
                return [(rule, hit) for hit in hits if hit.action == "drop"]
        return []

    def _note(self, finding: Finding, hit: Hit) -> None:
        text = hit.part.text if hit.part else ""
        self.findings.append(finding)
        self.texts.append((text, text if hit.text is None else hit.text))

    def _repair(self) -> tuple[Fields, list[tuple[Rule, Hit]]]:
        """Apply repairs until none is left; the marks come from the last pass, so they fit the text as it is then."""
        fields = Fields(self.messages, self.given)
        for _ in range(ROUNDS):
            marks: list[tuple[Rule, Hit]] = []
            mended = False
            for rule, threshold in self.plan.repairing:
                if not (hits := list(rule.check(fields, threshold))):
                    continue
                repairs = [hit for hit in hits if hit.repairs]
                marks += [(rule, hit) for hit in hits if not hit.repairs]
                if repairs and self._apply(rule, repairs, fields):
                    fields, mended = Fields(self.messages, self.given), True
            if not mended:
                break
        return fields, marks

    def _apply(self, rule: Rule, repairs: list[Hit], fields: Fields) -> bool:
        before = (self.messages, self.given)
        for hit in repairs:
            if hit.messages is not None:
                self.messages = list(hit.messages)
            elif hit.part is not None and hit.text is not None:
                self._rewrite(hit, fields)
            self._note(_finding(rule, hit, frozenset(), "repair"), hit)
        mended = before != (self.messages, self.given)
        if not mended:
            del self.findings[-len(repairs) :], self.texts[-len(repairs) :]
        self.changed |= mended
        return mended

    def _rewrite(self, hit: Hit, fields: Fields) -> None:
        assert hit.part is not None and hit.text is not None
        part, text = hit.part, hit.text
        if part.field == "input":
            instruction = next(p.text for p in fields.parts if p.field == "instruction" and p.turn == part.turn)
            # Another repair of the same rule may have rewritten the instruction already.
            current = self.messages[part.turn]["content"].removesuffix(JOIN + self.given)
            content = (current or instruction) + (JOIN + text if text else "")
            self.given = text
        elif part.field == "instruction" and part.turn == fields.input.turn and self.given:
            content = text + JOIN + self.given
        else:
            content = text
        turn = self.messages[part.turn]
        if not turn["content"] and turn.get("tool_calls"):  # the part was the turn's calls
            changed = _with_calls(turn, content)
        else:
            changed = {**turn, "content": content}
        self.messages = [changed if at == part.turn else m for at, m in enumerate(self.messages)]


def _with_calls(turn: Message, text: str) -> Message:
    """The turn with its calls as a repair of their text left them; unchanged where these are other calls."""
    try:
        read = json.loads(text)
    except ValueError:
        return turn
    functions = read if isinstance(read, list) else [read]
    calls = turn["tool_calls"]
    known = [isinstance(f, dict) and {"name", "arguments"} <= set(f) for f in functions]
    if len(functions) != len(calls) or not all(known):
        return turn
    after = [
        {**call, "function": {"name": f["name"], "arguments": json.dumps(f["arguments"], ensure_ascii=False)}}
        for call, f in zip(calls, functions, strict=True)
    ]
    return {**turn, "tool_calls": after}


def _as_json(messages: list[Message], given: str) -> str:
    return json.dumps(
        {"messages": [without_nulls(m) for m in messages], **({"input": given} if given else {})}, ensure_ascii=False
    )


def _finding(rule: Rule, hit: Hit, drop: frozenset[str], action: str = "") -> Finding:
    action = action or hit.action or ("flag" if rule.action == "repair" else rule.action)
    if rule.name in drop and action == "flag":
        action = "drop"
    where, turn = (hit.part.field, hit.part.turn) if hit.part else ("response", -1)
    return Finding(rule.name, where, action, turn, hit.start, hit.end, float(hit.score), hit.detail)


def _extend(known: list[dict[str, Any]], new: list[Finding]) -> None:
    """Append findings that are not there yet; scores are left out, since the column rounds them to 32 bits."""
    seen = {tuple(v for k, v in sorted(f.items()) if k != "score") for f in known}
    for finding in new:
        entry = finding.as_dict()
        key = tuple(v for k, v in sorted(entry.items()) if k != "score")
        if key not in seen:
            seen.add(key)
            known.append(entry)
