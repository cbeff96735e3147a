"""Compositions: the paper's three variations, and that nothing is said that no row says."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from sample_rows import row

from entp_hf.config import STYLES
from entp_hf.mix.groups import Group
from entp_hf.mix.mosaic import MARKS, _listed, mosaic

ROWS = [row(f"How do I cook the {what}?", f"Boil the {what} well.") for what in ("egg", "rice", "pasta", "soup")]


def composed(style: str, count: int = 4, seed: int = 0):
    made = mosaic(Group(ROWS[0], tuple(ROWS[1:count])), 1, [style], seed)
    return made, *(m["content"] for m in made["messages"])


def test_another_order_is_said_and_kept():
    orders = set()
    for seed in range(8):
        made, user, assistant = composed("order", seed=seed)
        said = re.match(r"Answer each of the following, in the order (.*)\.\n\n1\. How do I cook the egg\?", user)[1]
        assert re.findall(r"(?m)^(\d)\. Boil", assistant) == said.split(", ")
        assert sorted(said.split(", ")) == ["1", "2", "3", "4"] and said != "1, 2, 3, 4"
        assert made["parents"] == [r["id"] for r in ROWS]
        orders.add(said)
    assert len(orders) > 2


def test_what_a_subset_leaves_out_is_no_parent():
    for seed in range(8):
        made, user, assistant = composed("subset", seed=seed)
        out = int(re.search(r"leave out number (\d)\.", user)[1])
        assert out > 1
        assert user.count("How do I cook") == 4
        assert re.findall(r"(?m)^(\d)\.", assistant) == [str(i) for i in range(1, 5) if i != out]
        assert made["parents"] == [r["id"] for i, r in enumerate(ROWS, 1) if i != out]


def test_a_format_is_said_and_kept():
    marks = set()
    for seed in range(12):
        _, user, assistant = composed("format", 2, seed)
        first, second = re.search(r"like this: (.*), (.*)\.\n", user).groups()
        assert re.fullmatch(
            rf"{re.escape(first)}:? Boil the egg well\.\n\n{re.escape(second)}:? Boil the rice well\.", assistant
        )
        marks.add(first)
    assert len(marks) >= 3


def test_a_style_that_does_not_fit_gives_the_plain_composition():
    plain = composed("plain", 2)[1:]
    assert composed("subset", 2)[1:] == plain
    greek = [row("Πώς βράζω ένα αυγό;", "x"), row("Πώς μαγειρεύω το ρύζι;", "y")]
    made = mosaic(Group(greek[0], (greek[1],)), 1, ["order"])
    assert made["messages"][0]["content"] == "1. Πώς βράζω ένα αυγό;\n\n2. Πώς μαγειρεύω το ρύζι;"


def test_the_styles_are_drawn_by_the_seed():
    drawn = [mosaic(Group(ROWS[i % 4], tuple(ROWS[: i % 4])), 1, STYLES, seed) for i in (3,) for seed in range(24)]
    assert drawn == [mosaic(Group(ROWS[3], tuple(ROWS[:3])), 1, STYLES, seed) for seed in range(24)]
    assert {made["prompt_version"].split(":")[1] for made in drawn} == set(STYLES)


@pytest.mark.parametrize("style", STYLES)
def test_every_answer_is_a_rows_own(style: str):
    _, _, assistant = composed(style)
    for line in assistant.split("\n\n"):
        assert re.sub(r"^\S+(?: \d:)? ", "", line) in {r["messages"][1]["content"] for r in ROWS}


def test_a_question_comes_once_with_its_best_answer():
    again = [
        row("How do I cook  the EGG?", answer) for answer in ("Boil it.", "Boil it for nine minutes, then cool it.")
    ]
    made = mosaic(Group(ROWS[0], (again[0], ROWS[1], again[1])), 1)
    assert [m["content"] for m in made["messages"]] == [
        "Answer each of the following in order.\n\n1. How do I cook  the EGG?\n\n2. How do I cook the rice?",
        "1. Boil it for nine minutes, then cool it.\n\n2. Boil the rice well.",
    ]
    assert made["parents"] == [again[1]["id"], ROWS[1]["id"]]
    rated = {**again[0], "expected_score": 4.0}
    assert mosaic(Group(rated, (again[1], ROWS[1])), 1)["parents"] == [rated["id"], ROWS[1]["id"]]
    assert mosaic(Group(again[0], (again[1],)), 1) is None


BLOCKS = [
    "```python\nx = 1\nif x:\n    y\n```", "1. A body\n2. A mind", "# Head\n\ntext", "    code block\n    here",
    "> quote\n> more", "- a\n- b\n  - c", "Title\n---\nbody", "Text.\n\n```\ncode\n\n  more\n```\n\nEnd.",
    "| a | b |\n|---|---|\n| 1 | 2 |", "Plain.\n\nMore of it.", "One line.", "* * *",
    "~~~\nx\n~~~", "3) third\n4) fourth",
]  # fmt: skip


@pytest.mark.parametrize("mark", ["{}.", *MARKS])
@pytest.mark.parametrize("part", BLOCKS)
def test_markdown_of_a_part_parses_as_it_did_alone(mark, part):
    def blocks(text):
        code = ("fence", "code_block")
        tokens = MarkdownIt("commonmark").enable("table").parse(text)
        return [(token.type, token.content if token.type in code else "") for token in tokens]

    for parts in ([part, "Second."], ["First.", part], [part, part]):
        whole, alone = blocks(_listed(parts, range(2), mark.format)), blocks(part)
        assert any(whole[i : i + len(alone)] == alone for i in range(len(whole)))
        assert sum(kind == "fence" for kind, _ in whole) == sum(
            kind == "fence" for one in parts for kind, _ in blocks(one)
        )
