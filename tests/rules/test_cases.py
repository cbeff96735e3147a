"""Every rule's cases, in purge_cases/RULE.jsonl: what it finds, and what only looks like it and is left alone.

A case is {"want": repair | drop | flag | nothing, "answer": ...} with "ask" and "input" where they differ from the
usual ones, "after" (the answer as it is after a repair), or "turns" for a whole conversation. A text may be written
as [piece, times, end].
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from entp_hf.purge import RULES, Purge
from entp_hf.schema import JOIN

FOLDER = Path(__file__).parent / "purge_cases"
ASK = "Explain how bread rises."
CASES = [
    pytest.param(path.stem, json.loads(line), id=f"{path.stem}-{number}")
    for path in sorted(FOLDER.glob("*.jsonl"))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
]


def text(value):
    return value if isinstance(value, str) else value[0] * value[1] + "".join(value[2:])


def conversation(case):
    """The messages and the separate input of a case."""
    if "turns" in case:
        return [{"role": role, "content": content} for role, content in case["turns"]], ""
    given = text(case.get("input", ""))
    ask = text(case.get("ask", ASK)) + (JOIN + given if given else "")
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": text(case["answer"])}], given


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule, case):
    purge = Purge(rules=(rule,))
    messages, given = conversation(case)
    result = purge.row(messages, given)
    want = case["want"]
    assert {(f.rule, f.action) for f in result.findings} == ({(rule, want)} if want != "nothing" else set())
    assert result.dropped_by == (f"purge:{rule}" if want == "drop" else None)
    assert result.changed == (want == "repair")
    if want != "repair":
        return
    answer = result.messages[-1]["content"]
    assert answer == case.get("after", answer) and result.input == case.get("after_input", given)
    assert answer.startswith(case.get("after_starts", ""))
    assert [[m["role"], m["content"]] for m in result.messages] == case.get("after_turns") or "turns" not in case
    again = purge.row(result.messages, result.input)
    assert (again.findings, again.changed) == ([], False)


def test_every_rule_has_eight_cases_and_eight_near_misses():
    found = Counter(case.values[0] for case in CASES if case.values[1]["want"] != "nothing")
    missed = Counter(case.values[0] for case in CASES if case.values[1]["want"] == "nothing")
    assert set(found) == set(missed) == set(RULES)
    few = {name: (found[name], missed[name]) for name in RULES if found[name] < 8 or missed[name] < 8}
    assert few == {}
