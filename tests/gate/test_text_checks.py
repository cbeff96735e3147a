"""What the gate finds in a made row's words: each check alone, with rows that it must let pass."""

from __future__ import annotations

import random
from difflib import SequenceMatcher

import pytest
from africa import LAKE, MERGED, NILE, PARENTS, answered, row

from entp_hf.gate.text_checks import language_changed, leaks_prompt, unfinished
from entp_hf.text.overlap import copied, coverage, longest_block
from entp_hf.text.words import sentences


def test_a_faithful_merge_passes_every_check():
    assert coverage(NILE, MERGED) > 0.7 and coverage(LAKE, MERGED) > 0.7
    assert max(copied(parent, MERGED) for parent in PARENTS) < 0.5
    assert not leaks_prompt(MERGED, PARENTS)
    assert not language_changed(MERGED, PARENTS)
    assert not unfinished(MERGED, PARENTS)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("The Nile is the longest river. It runs for", "The Nile is the longest river. It runs for"[-30:]),
        ("The longest river is the Nile, and the biggest lake is Lake Vict", "the biggest lake is Lake Vict"),
        ("Two are known: the Nile,", "Two are known: the Nile,"),
        ('{"river": "Nile", "lake": "Vic', '{"river": "Nile", "lake": "Vic'),
        ("1. The Nile is long.\n2. Lake Victoria is large.\n3. The Congo carries", "3. The Congo carries"),
        ("", "an empty answer"),
    ],
)
def test_an_answer_that_breaks_off(text, end):
    assert unfinished(answered(text), PARENTS).endswith(end[-25:])


@pytest.mark.parametrize(
    "text",
    [
        "The Nile.",
        "Nile, Victoria",
        "- Nile\n- Victoria",
        "The Nile is long. See https://example.org/nile",
        "It is long. Here is how:\n```python\nreturn 6650\n```",
        "尼罗河是最长的河流。",
        "A river is long. A lake is large! (Both are wet.)",
        "Rivers of Africa: A Guide",
    ],
)
def test_an_answer_that_is_whole(text):
    assert unfinished(answered(text), PARENTS) == ""


def test_brackets_that_the_parents_leave_open_too_are_no_fault():
    assert unfinished(answered("Smile :( and go on."), [row("Q?", "Smile :( always.")]) == ""


def test_the_language_must_be_one_of_the_parents():
    german = "Der längste Fluss ist der Nil, und der größte See ist der Victoriasee, den sich drei Länder teilen."
    assert language_changed(answered("最长的河流是尼罗河，最大的湖泊是维多利亚湖。"), PARENTS) == "zh"
    assert language_changed(answered(german), PARENTS) == "de"
    asked = row("Translate into German: the longest river is the Nile.", "Der längste Fluss von allen ist der Nil.")
    assert language_changed(answered(german), [NILE, asked]) == ""
    assert language_changed(answered("42"), PARENTS) == language_changed(answered("C'est la vie."), PARENTS) == ""


def test_the_prompt_must_not_show():
    assert leaks_prompt(answered("As row 2 says, the lake is large."), PARENTS) == "row 2"
    assert leaks_prompt(answered("The merged response is: Nile."), PARENTS) == "merged response"
    assert leaks_prompt(answered("Row 1 of the table is the Nile."), [row("What is in row 1?", "The Nile.")]) == ""


def test_coverage_counts_content_words_in_any_script():
    assert coverage(row("Why?", "Because of it."), row("x", "because")) == 1.0
    assert coverage(row("Name cats.", "Lions, tigers"), row("x", "A lion")) == pytest.approx(1 / 4)
    assert coverage(row("如何煮鸡蛋？", "水开后煮八分钟。"), row("如何煮鸡蛋？", "煮八分钟。")) > 0.6
    assert coverage(row("", ""), MERGED) == 1.0


def test_copies_are_measured_by_their_longest_block():
    assert copied(NILE, answered(NILE["messages"][1]["content"])) == 1.0
    assert copied(NILE, answered("Nothing alike.")) < 0.2
    assert copied(row("Q?", ""), NILE) == 0.0


def test_sentences_lose_list_marks_and_nothing_else():
    assert sentences("1. U-shape is one.\n- Two! Three; four\n\n#5") == ["U-shape is one.", "Two!", "Three;", "four"]
    assert sentences("第一句。第二句！") == ["第一句。", "第二句！"]
    assert sentences("") == ["-"]


def test_the_longest_block_is_difflibs():
    rng = random.Random(0)
    for number in range(200):
        one, other = ("".join(rng.choices("ab c\né🙂", k=rng.randint(1, 80))) for _ in range(2))
        other = other[:20] + one[3:60] + other[20:] if number % 3 == 0 else other
        assert longest_block(one, other) == SequenceMatcher(None, one, other, False).find_longest_match().size
