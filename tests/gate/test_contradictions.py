"""What the gate finds against a made row's parents: numbers and names changed, with rows that it must let pass."""

from __future__ import annotations

import pytest
from africa import MERGED, PARENTS, answered, row

from entp_hf.gate.contradictions import contradiction


def test_a_faithful_merge_contradicts_nothing():
    assert not contradiction(MERGED, PARENTS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("6,650", "4,870", "4870 in place of 6650"),
        ("68,800", "68,801", "68801 in place of 68800"),
        ("Victoria", "Superior", "Superior in place of Victoria"),
        ("Uganda", "Canada", "Canada in place of Uganda"),
        ("Kenya", "Norway", "Norway in place of Kenya"),
    ],
)
def test_a_changed_number_or_name_is_a_contradiction(old, new, said):
    assert contradiction(answered(MERGED["messages"][1]["content"].replace(old, new)), PARENTS) == said


def test_new_facts_and_left_out_ones_contradict_nothing():
    more = MERGED["messages"][1]["content"] + " Lake Tanganyika is 1,470 m deep, and Egypt lives by the Nile."
    assert not contradiction(answered(more), PARENTS)
    assert not contradiction(answered("The longest river is the Nile River."), PARENTS)
    assert not contradiction(answered("It is 6,650 km long, 68,800 km2 large."), PARENTS)


def test_another_count_of_the_same_things_is_a_contradiction():
    recipe = [row("How do I make an omelette?", "Beat 2 eggs with 3 spoons of milk, then fry them for 5 minutes.")]
    assert contradiction(answered("Beat 3 eggs with 3 spoons of milk."), recipe) == "3 eggs in place of 2"
    assert not contradiction(answered("Beat 2 eggs with 3 spoons of milk. 5 minutes later, eat."), recipe)
    assert not contradiction(answered("Beat 2 eggs, or 3 eggs for two people."), recipe)


def test_the_answer_must_keep_to_its_own_question():
    made = row("What is the Internet of Things?", "The Amendment of Things joins devices.")
    assert contradiction(made, [row("Why connect devices?", "To steer them.")]) == "Amendment in place of Internet"


@pytest.mark.parametrize(
    ("question", "told", "answer", "said"),
    [
        (
            "Chance of a heart?",
            "A heart of a deck of 52 cards is 1/4 or 25%.",
            "A deck of 52 cards has 1/4 or 67%.",
            "67 in place of 25",
        ),
        ("Explain it.", "Solar energy works by light.", "Then Lunar energy is used.", "Lunar in place of Solar"),
        (
            "Explain MVC.",
            "Use Model-View-Controller (MVC).",
            "Use This-View-Controller (MVC).",
            "This in place of Model",
        ),
        ("Add up 4, 6, 7, 2.", "Sums add up.", "The sum of 4, 6, 7, and 5 is 19.", "5 in place of 2"),
        ("Sort [7, 3, 11, 9].", "Sorting orders.", "Sorted: 9, 11, 5, 7", "5 in place of 3"),
        ("Who was it?", "Its author is Émile Zola.", "The author is Björn Zola.", "Björn in place of Émile"),
        (
            "Name it.",
            "The First Amendment to the United States Constitution.",
            "It is the Internet Amendment to the United States Constitution.",
            "Internet in place of First",
        ),
    ],
)
def test_a_value_is_told_by_what_stands_around_it(question, told, answer, said):
    assert contradiction(row(question, answer), [row("Tell me.", told)]) == said


@pytest.mark.parametrize(
    ("question", "told", "answer"),
    [
        ("How far is it?", "It is located 4.2 light-years away.", "It is located 4.24 light-years away."),
        ("What colour?", "The color: #000; is black.", "The color: #000000; is black."),
        ("How many?", "There are 1,000 islands.", "There are 1000 islands."),
        ("What is 5 x 9?", "The result of 9 x 5 is 45.", "The result of 5 x 9 is 45."),
        ("Sort [5, 3, 8].", "Sorted [1, 3, 7].", "Sorted [3, 5, 8]."),
        ("Add 1, 2, 3, 4.", "Sums add up.", "Doubled: 2, 4, 6, 8"),
        ("How?", "Preprocessing: Clean the mails.", "Preprocessing: This step mends the mails."),
        ("A title?", "The Benefits of Online Education", "A: The Influence of Online Education on Teaching Methods"),
        ("Who?", "Making connections helps.", "It helps: Draw connections at first."),
    ],
)
def test_what_only_looks_like_another_value(question, told, answer):
    assert not contradiction(row(question, answer), [row("Tell me.", told)])
