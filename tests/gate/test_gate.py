"""The gate with its real embedder: what passes, what is refused and why, and that each bound is a setting."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sample_rows import row

from entp_hf.config import EntpConfig
from entp_hf.gate.gate import Gate, reason_kind
from entp_hf.mix.groups import Group
from entp_hf.mix.mosaic import mosaic
from entp_hf.purge.contamination.index import Contamination

NONE = np.zeros((0, 1), np.float32)
QUESTION = "How do I boil an egg and cook rice for breakfast?"
ANSWER = (
    "Put the egg into boiling water for eight minutes and cool it under cold water so that it peels well. "
    "Rinse the rice, add twice its volume of water and let it simmer under a lid for eighteen minutes."
)


CHINESE = "把鸡蛋放入沸水中煮八分钟，然后用冷水冷却。把米洗净，加两倍的水，盖上锅盖煮十八分钟。"
BOILED = "Put the egg into boiling water for {} minutes. Cool it in cold water, it peels well."
EGG = row("How do I boil an egg?", BOILED.format("eight"))
RICE = row("How to cook rice?", "Rinse it. Add twice its volume of water and simmer under a lid for eighteen minutes.")
STARS = row("Why do stars twinkle?", "The air bends their light this way and that, since it is never still or even.")
PARENTS = [EGG, RICE]


def made(question: str = QUESTION, answer: str = ANSWER, parents=PARENTS, **values):
    return row(question, answer, origin="fused", parents=[parent["id"] for parent in parents], **values)


def judge(fused, parents=PARENTS, accepted=NONE, contamination=None, **settings):
    [verdict], after = Gate.from_config(EntpConfig(**settings), contamination).judge([fused], [parents], accepted)
    return verdict, after


def why(*args, **settings) -> str:
    return judge(*args, **settings)[0].reason


def test_a_faithful_fusion_passes_and_counts_as_accepted():
    verdict, accepted = judge(made())
    assert verdict.reason == ""
    assert accepted.shape == (1, 384)
    figures = json.loads(verdict.row["gate"])
    assert figures == verdict.figures
    assert figures["margin"] > 0.1 and figures["coverage"] > 0.6 and figures["sentence"] > 0.6


@pytest.mark.parametrize(
    ("fused", "kind"),
    [
        (made(answer=STARS["messages"][1]["content"]), "leaves out row 2"),
        (made(STARS["messages"][0]["content"], STARS["messages"][1]["content"]), "too far from its parents"),
        (made("How do I boil an egg?", f"{ANSWER.split('Rinse')[0]}Do not let it crack."), "has nothing of one row"),
        (made(answer=EGG["messages"][1]["content"]), "copies one row"),
        (made(answer=f"{ANSWER} {STARS['messages'][1]['content']}"), "says what none of its rows is about"),
        (made(answer=ANSWER[: len(ANSWER) - 30]), "breaks off"),
        (made(answer=f"{ANSWER[:-1]}, as row 2 says."), "it speaks of the prompt"),
        (made(answer=ANSWER.replace("minutes", "minutes, or 8 in digits", 1)), ""),
        (made(answer=CHINESE), "purge rule language"),
        (made("煮饭", CHINESE), "in another language"),
    ],
)
def test_what_is_refused_and_why(fused, kind):
    assert reason_kind(why(fused)).startswith(kind)
    assert (judge(fused)[0].figures["margin"] < 0) == bool(kind)


def test_a_changed_number_is_refused():
    egg = row("How do I boil an egg?", BOILED.format("8"))
    fused = made(answer=ANSWER.replace("eight minutes", "11 minutes"), parents=[egg, RICE])
    assert why(fused, [egg, RICE]) == "contradicts its rows (11 in place of 8)"
    assert why(fused, [egg, RICE], gate_contradiction=False) == ""


BENEFITS = (
    "1. It helps doctors find illnesses early. 2. It takes over dull paperwork. 3. It lowers costs of care. "
    "4. It helps doctors find illnesses early. 5. It takes over dull paperwork. 6. It lowers costs of care."
)


def test_a_list_that_repeats_itself_or_is_longer_than_asked_is_refused():
    parents = [
        row("What good does software do in hospitals?", "It helps doctors find illnesses and lowers costs."),
        row("Name a benefit of software for nurses.", "It takes over dull paperwork."),
    ]
    fused = made("List two benefits of software in hospitals for doctors and nurses.", BENEFITS, parents)
    assert why(fused, parents) == "says things twice (share 0.5, bound 0.15)"
    assert why(fused, parents, gate_repeats=0.5) == "lists more than is asked for (3 times, bound 1.5)"
    assert why(fused, parents, gate_repeats=0.5, gate_surplus=3.0, gate_words=False) == ""


def test_a_row_handed_back_as_it_is_changes_nothing():
    assert why(made(*(m["content"] for m in EGG["messages"]), parents=[EGG]), [EGG]) == "changes nothing"


def test_a_near_duplicate_of_an_accepted_row_is_refused():
    rows = [made(), made(answer=ANSWER.replace("so that", "so"))]
    verdicts, accepted = Gate.from_config(EntpConfig()).judge(rows, [PARENTS, PARENTS], NONE)
    assert [reason_kind(v.reason) for v in verdicts] == ["", "near-duplicate of an accepted row"]
    assert len(accepted) == 1
    assert why(rows[1], accepted=accepted).startswith("near-duplicate")
    assert why(rows[1], accepted=accepted, gate_duplicate=1.0) == ""


def test_a_benchmark_item_is_refused(tmp_path):
    item = (
        "Anna boils 12 eggs on Monday and twice as many on Tuesday, gives 7 of them to her neighbor Paul and eats "
        "two each day. How many eggs are left on Sunday evening?"
    )
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": item, "answer": "15"}), encoding="utf-8")
    tests = Contamination.from_files([str(tmp_path / "test.jsonl")], 0.5)
    reason = why(made(answer=f"{ANSWER} {item}"), contamination=tests, gate_sentence=-1.0, gate_contradiction=False)
    assert reason.startswith("holds a benchmark item")


def test_what_the_purge_flags_is_refused():
    assert why(made(answer="As an AI language model, I can't boil an egg or cook rice.")).startswith("purge rule ")


@pytest.mark.parametrize(
    ("setting", "bound", "kind"),
    [
        ("gate_similarity", 0.99, "too far from its parents"),
        ("gate_parent_similarity", 0.99, "has nothing of one row"),
        ("gate_coverage", 0.99, "leaves out row"),
        ("gate_sentence", 1.0, "says what none of its rows is about"),
        ("gate_copy", 0.01, "copies one row"),
    ],
)
def test_each_bound_is_a_setting(setting, bound, kind):
    assert reason_kind(why(made(), **{setting: bound})).startswith(kind)


def test_switches():
    cut = made(answer=ANSWER[: len(ANSWER) - 30])
    assert why(cut, gate_unfinished=False) == ""
    assert not why(made("煮饭", CHINESE), gate_language=False).startswith("in another language")


def test_a_composition_is_not_looked_at_by_sentence():
    composed = mosaic(Group(EGG, (RICE, STARS)), 1)
    verdict, _ = judge(composed, [EGG, RICE, STARS])
    assert verdict.reason == ""
    assert verdict.figures["sentence"] == 1.0 and verdict.figures["coverage"] == 1.0


def test_nothing_to_judge():
    verdicts, accepted = Gate.from_config(EntpConfig()).judge([], [], NONE)
    assert verdicts == [] and accepted.shape == NONE.shape
