"""The faults that real fusions have, by their words alone."""

from __future__ import annotations

import pytest

from entp_hf.gate.fusion_checks import (
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
from entp_hf.schema import Finding, new_row


def row(question: str, answer: str = "It is so.", **values):
    return new_row([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **values)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Summarize the given passage in one sentence.", "the given passage"),
        ("Explain the main idea of this article.", "this article"),
        ("概括以下文章。", "以下文章"),
        ("Summarize the following text: Bees fly by day.", ""),
        ('Correct this sentence: "He go home."', ""),
        ("Write a poem about rain.", ""),
    ],
)
def test_a_request_that_points_to_a_text_must_hold_it(asked, found):
    assert dangling(row(asked)) == found


def test_a_request_is_cut_into_what_it_asks():
    assert clauses("Explain why bees fly, and then list three of their plants.") == [
        "Explain why bees fly",
        "list three of their plants",
    ]
    assert clauses("Compare the climates of Norway and Egypt.") == ["Compare the climates of Norway and Egypt"]
    assert clauses("列出使用电脑的两个好处，解释笔记本电脑的特点。") == [
        "列出使用电脑的两个好处",
        "解释笔记本电脑的特点",
    ]


def test_what_a_parent_asks_must_be_in_the_request():
    parent, made = row("List 3 metals found in Wales."), row("Name metals found in England.")
    assert request_coverage(parent, made) == pytest.approx(2 / 4)  # metal, found; not: 3, wales
    assert numbers_kept(parent, made) == 0.0
    assert numbers_kept(parent, row("List three metals.")) == 1.0
    assert request_coverage(row("描述挪威的气候"), row("分别描述挪威和埃及的气候")) > 0.6


@pytest.mark.parametrize(
    ("asked", "answer", "twice"),
    [
        ("What is a glacier? What is a glacier?", "Ice that flows.", "What is a glacier?"),
        ("Why?", "Bees fly by day. They sleep at night. Bees fly by day.", "Bees fly by day."),
        ("Name tools.", "1. Hammer\n2. Saw\n3. Hammer", "Hammer"),
        ("Write a song.", "Bees fly by day.\nThey sleep.\nBees fly by day.", ""),
        ("Why?", "Yes. It is. Yes. So it goes on.", ""),
    ],
)
def test_nothing_stands_twice(asked, answer, twice):
    assert said_twice(row(asked, answer), [row("Why?", "Because.")]) == twice


def test_one_row_handed_back_is_told_from_a_fusion():
    parents = [row("Why do bees fly?", "To find nectar."), row("Where do bees live?", "In hives.")]
    assert handed_back(row("Why and where?", "In hives!"), parents) == "row 2"
    assert handed_back(row("why do bees fly", "They look for nectar."), parents) == "row 1"
    assert handed_back(row("Why and where?", "To find nectar; in hives."), parents) == ""
    assert handed_back(parents[0], parents[:1]) == ""


@pytest.mark.parametrize(
    ("asked", "answer", "says"),
    [
        ("Write an e-mail to a customer.", "To write an e-mail you should greet first.", True),
        ("Write a story.", "The story should have a hero.", True),
        ("How do I write an e-mail?", "To write an e-mail you should greet first.", False),
        ("Write an e-mail to a customer.", "Dear Ms Bell, thank you for your order.", False),
    ],
)
def test_a_task_is_done_and_not_described(asked, answer, says):
    assert bool(described(row(asked, answer))) is says


def test_items_that_are_lacking_are_counted():
    assert short_of(row("List four metals.", "1. Iron\n2. Tin\n3. Zinc")) == pytest.approx(0.25)
    assert short_of(row("List three metals.", "1. Iron\n2. Tin\n3. Zinc")) == 0.0
    assert short_of(row("List three metals.", "Iron, tin and zinc.")) == 0.0  # no list that could be counted


def test_a_defect_of_a_parent_that_is_still_there():
    def flag(rule):
        return [Finding(rule, "response", "flag").as_dict()]

    assert defects_kept(row("Why?", findings=flag("pii")), [row("Why?", findings=flag("pii"))]) == {"pii"}
    assert defects_kept(row("Why?"), [row("Why?", findings=flag("pii"))]) == set()
