"""What the gate finds in a made row's lists: each check alone, with rows that it must let pass."""

from __future__ import annotations

import pytest
from sample_rows import row

from entp_hf.gate.list_checks import disordered, list_items, repeats, said_again, surplus

INLINE = "1. Rest. 2. Drink water. 3. Rest. 4. Sleep well. 5. Drink water."


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Do this:\n1. Rest\n2) Drink\n3. Sleep", ["Rest", "Drink", "Sleep"]),
        ("1. Rest. 2. Drink 3.5 l of water.", ["Rest.", "Drink 3.5 l of water."]),
        ("- Rest\n- Drink\n\nThat is all.", ["Rest", "Drink"]),
        ("1. Tea\n1. Milk\n2. Sugar\n3. Cups", ["Milk", "Sugar", "Cups"]),
        ("It rained 1. 5 mm fell.", ["5 mm fell."]),
        ("```\n1. Rest\n2. Drink\n```", []),
        ("No list.", []),
    ],
)
def test_items_of_a_list(text, items):
    assert list_items(text) == items


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (INLINE, 0.4),
        ("Rest well. Drink water! Rest well. Sleep.", 0.25),
        ("Try dove, glove, thereof, thereof, and thereof.", 0.4),
        ("睡觉。喝水。睡觉。散步。", 0.25),
        ("Rest. Drink. Rest.", 0.0),
        ("Yes. No. Rest well. Drink water. Eat fruit. Walk.", 0.0),
        ("The notes are C, D, E, C, D, E.", 0.0),
        ("x = 1;\ny = 1;\nx = 1;\ny = 1;", 0.0),
    ],
)
def test_what_is_said_again(text, share):
    assert said_again(text) == pytest.approx(share)


def test_a_parent_may_repeat_itself_and_a_song_may():
    assert repeats(row("How do I get well?", INLINE), [row("How?", "Rest. Drink.")]) == pytest.approx(0.4)
    assert repeats(row("How do I get well?", INLINE), [row("How?", INLINE)]) == 0.0
    assert repeats(row("Write a song about getting well.", INLINE), []) == 0.0


@pytest.mark.parametrize(
    ("question", "share"),
    [
        ("Name two ways to get well.", 2.5),
        ("List 2 ways to rest and name three drinks.", 1.0),
        ("Give at least two ways to get well.", 0.0),
        ("How do I get well?", 0.0),
        ("Give 10% of it away.", 0.0),
    ],
)
def test_more_items_than_asked_for(question, share):
    assert surplus(row(question, INLINE)) == share


def test_an_answer_without_a_list_has_none_too_many():
    assert surplus(row("Name two ways to get well.", "Rest and drink.")) == 0.0


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1. Rest.\n2. Drink.\n7. Sleep.", "7. after 2."),
        ("6) Rest; 2) drink; 3) sleep.", "6) first"),
        ('["1. Rest", "2. Drink", "9. Sleep"]', "9. after 2."),
        ("1. Rest.\n2. Drink.\n3. Sleep.\n\n1. Tea\n2. Milk", ""),
        ("Do this: 1. Rest. 2. Drink 3. Sleep.", ""),
        ("In order: 1) rest, 2) drink.\n1. Tea\n2. Milk\n3. Cups", ""),
        ("1. Rest at 9. 2. Sleep by 11. Then wake. 3. Eat.", ""),
        ("It was 7. It became 8. It ended at 3. Done.", ""),
        ("```\n1. a\n2. b\n9. c\n```", ""),
    ],
)
def test_list_numbers_follow_one_another(text, wrong):
    assert disordered(row("What helps?", text), []) == wrong


def test_list_numbers_as_a_parent_has_them_are_no_fault():
    made = row("What helps?", "3. Rest.\n4. Drink.\n5. Sleep.")
    assert disordered(made, []) == "3. first"
    assert not disordered(made, [row("Go on.", "3. Rest well.\n4. Drink tea.\n5. Sleep.")])
