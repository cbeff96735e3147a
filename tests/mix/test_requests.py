"""Which rows can be fused: the kind of task, vectors of requests, groups, and what is done with the others."""

from __future__ import annotations

import numpy as np
import pytest

from entp_hf.config import EntpConfig
from entp_hf.mix.groups import related_groups
from entp_hf.mix.requests import RELATED, SAME, knows, measure_of, request_bounds, subject_words, task_of
from entp_hf.mix.triage import triage, triaged
from entp_hf.schema import JOIN, Finding, new_row


def row(question: str, answer: str = "It is so.", **values):
    return new_row([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **values)


@pytest.mark.parametrize(
    ("asked", "task"),
    [
        ("Explain how vaccines work.", "ask-en"),
        ("List three side effects of vaccines.", "ask-en"),
        ("What is the capital of Norway?", "ask-en"),
        ("描述挪威的气候。", "ask-zh"),
        ("列出使用电脑的两个好处", "ask-zh"),
        ("Write a poem about rain.", ""),
        ("Explain the given passage.", ""),
        ("Describe your favourite book.", ""),
        ("写一首关于日出的诗", ""),
        ("Expliquez comment fonctionne un vaccin.", ""),
    ],
)
def test_only_requests_for_knowledge_have_a_task(asked, task):
    assert task_of(row(asked)) == task


def test_rows_with_a_text_or_several_turns_have_none():
    assert task_of(row(f"What is this about?{JOIN}Bees fly.", input="Bees fly.")) == ""
    assert task_of(new_row([{"role": r, "content": "Why is it so?"} for r in ("user", "assistant") * 2])) == ""


def test_an_english_embedder_is_not_asked_about_chinese():
    assert knows("sentence-transformers/all-MiniLM-L6-v2", "ask-en")
    assert measure_of("ask-zh", "sentence-transformers/all-MiniLM-L6-v2") == "characters"
    assert measure_of("ask-zh", "BAAI/bge-m3") == "embedder"
    assert request_bounds(["ask-en", ""], "x") == {"ask-en": (RELATED["embedder"], SAME["embedder"])}


def test_subject_words_leave_the_form_out():
    assert subject_words("List three benefits of sleeping") == {"sleep"}
    assert subject_words("描述挪威的气候") == frozenset()


def circle(*degrees: float) -> np.ndarray:
    angles = np.radians(np.array(degrees, dtype=float))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def groups_of(texts, degrees, tasks=None, order=None, neighbors=2, most=9):
    rows = [row(text) for text in texts]
    at = {r["id"]: i for i, r in enumerate(rows)}
    tasks = tasks or ["ask-en"] * len(rows)
    bounds = {"ask-en": (0.8, 0.999), "ask-zh": (0.8, 0.999)}  # 37 and 2.6 degrees
    found = related_groups(rows, circle(*degrees), tasks, order or range(len(rows)), neighbors, bounds, most)
    return [[at[r["id"]] for r in group.rows] for group in found]


BEES = [f"What about bees and {x}?" for x in ("wax", "honey", "wings", "hives", "stings")]


def test_every_two_rows_of_a_group_are_related_and_none_ask_the_same():
    assert groups_of(BEES, [0, 30, 60, 1, 90]) == [[0, 1], [2, 4]]  # 60 is too far from 0, 1 asks the same as 0
    assert groups_of(BEES, [0, 10, 20, 30, 35], neighbors=1) == [[0, 1], [2, 3]]


def test_another_task_or_subject_stays_out():
    tasks = ["ask-en", "ask-zh", "", "ask-en", "ask-en"]
    assert groups_of(BEES, [0, 10, 11, 20, 30], tasks) == [[0, 3, 4]]
    assert groups_of(["What is wax?", "What is rain?"], [0, 10]) == []


def test_no_more_groups_than_are_asked_for_and_in_the_order_given():
    assert groups_of(BEES, [0, 10, 20, 30, 35], neighbors=1, most=1, order=[4, 0]) == [[4, 3]]


def flagged(rule: str, field: str = "response") -> list[dict]:
    return [Finding(rule, field, "flag").as_dict()]


def test_triage():
    config = EntpConfig()
    rows = {
        "keep": [row("Name a metal.", "Iron."), row("Why?", expected_score=2.5), row("Why?", findings=flagged("pii"))],
        "cure": [row("Why?", findings=flagged("truncated")), row("Why?", expected_score=1.5)],
        "drop": [row("Sum up the text.", findings=flagged("missing_reference", "instruction"))],
    }
    for wanted, those in rows.items():
        assert [triage(one, config) for one in those] == [wanted] * len(those)
    assert triaged([one for those in rows.values() for one in those], config) == {"keep": 3, "cure": 2, "drop": 1}
