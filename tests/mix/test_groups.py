"""Fusion groups: every row once at most, kinds never mixed, near rows only, and a related row that is none of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entp_hf.mix import groups
from entp_hf.mix.groups import Group, add_context, build_groups, has_neighbor, kind_of
from entp_hf.rules.selection import defects
from entp_hf.schema import Finding, new_row


def row(question: str, *more: str, **values):
    roles = ["user", "assistant"] * 4
    turns = (question, *more) if more else (question, f"This is the answer to: {question}")
    return new_row([{"role": r, "content": c} for r, c in zip(roles, turns, strict=False)], **values)


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(np.array(degrees, dtype=float))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def near(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def grouped(degrees, seeds, neighbors=3, least=-1.0, label=None, kinds=None) -> list[list[int]]:
    """Row numbers of each group."""
    corpus = [row(f"Question number {i}?") for i in range(len(degrees))]
    at = {r["id"]: i for i, r in enumerate(corpus)}
    label = np.zeros(len(corpus), np.int64) if label is None else np.array(label)
    groups = build_groups(
        corpus, on_circle(*degrees), label, kinds or ["one-en"] * len(corpus), seeds, neighbors, least
    )
    return [[at[r["id"]] for r in group.rows] for group in groups]


def test_the_nearest_rows_of_the_cluster_in_order():
    assert grouped([0, 30, 10, 20, 90], [0], neighbors=2) == [[0, 2, 3]]
    assert grouped([0, 30, 10, 20, 90], [0], neighbors=2, label=[1, 1, 0, 1, 1]) == [[0, 3, 1]]


def test_rows_with_a_neighbor_of_their_cluster_and_kind(monkeypatch):
    monkeypatch.setattr(groups, "BLOCK", 2)
    points, label = on_circle(0, 20, 90, 100, 10, 95), np.array([0, 0, 0, 1, 1, 1])
    kinds = ["one-en", "one-en", "one-en", "one-en", "one-en", ""]
    assert has_neighbor(points, label, kinds, near(25)).tolist() == [True, True, False, False, False, False]
    assert has_neighbor(points, label, ["a", "b", "a", "a", "a", "a"], near(12)).tolist() == [False] * 3 + [
        True,
        False,
        True,
    ]


def test_what_repair_mended_is_no_defect():
    def found(rule, action):
        return Finding(rule, "response", action, 1, 0, 1, 1.0, "").as_dict()

    findings = [found("truncated", "flag"), found("think_tags", "repair"), found("pii", "flag")]
    assert defects(row("Why?", findings=findings)) == {"truncated"}


def test_a_row_goes_to_the_first_group_that_wants_it_and_representatives_to_none():
    assert grouped([0, 10, 20, 12, 40], [0, 2]) == [[0, 1, 3, 4], [2]]
    assert grouped([0, 10, 20, 12, 40], [2, 0], neighbors=1) == [[2, 3], [0, 1]]


def test_rows_under_the_similarity_bound_stay_out():
    assert grouped([0, 50, 59, 61, 80], [0], least=near(60)) == [[0, 1, 2]]
    assert grouped([0, 61], [0], least=near(60)) == [[0]]


def test_kinds_are_never_mixed_and_rows_without_one_never_used():
    kinds = ["one-en", "one-de", "", "several-en", "one-en"]
    assert grouped([0, 1, 2, 3, 4], [0], kinds=kinds) == [[0, 4]]
    assert grouped([0, 1, 2, 3, 4], [1], kinds=kinds) == [[1]]


def test_no_representatives_no_groups():
    assert grouped([0, 1], []) == []


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 25), st.integers(1, 5), st.floats(-1, 1), st.integers(0, 99))
def test_every_row_is_used_once_at_most(number, neighbors, least, seed):
    rng = np.random.default_rng(seed)
    degrees, label = rng.uniform(0, 360, number), rng.integers(0, 3, number)
    kinds = [["", "one-en", "one-de"][k] for k in rng.integers(0, 3, number)]
    seeds = [int(i) for i in rng.permutation(number)[: number // 3] if kinds[i]]
    groups = grouped(degrees, seeds, neighbors, least, label, kinds)
    used = [i for group in groups for i in group]
    assert len(used) == len(set(used))
    assert [group[0] for group in groups] == seeds
    for first, *others in groups:
        assert len(others) <= neighbors
        for i in others:
            assert kinds[i] == kinds[first] and label[i] == label[first] and i not in seeds
            assert near(degrees[i] - degrees[first]) >= least - 1e-5


# ---- kinds


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (row("How do I boil an egg?"), "one-en"),
        (row("Wie koche ich ein Ei, damit es weich bleibt?", "Koche es etwa vier Minuten lang."), "one-de"),
        (row("如何煮鸡蛋？", "把鸡蛋放进水里煮四分钟。"), "one-zh"),
        (row("卵をゆでるには？", "水に入れて四分ゆでます。"), "one-ja"),
        (row("How do I boil an egg?", "In water.", "And for how long?", "For four minutes."), "several-en"),
        (row("12 + 7", "19"), "one-latin"),  # no telling
    ],
)
def test_the_kind_is_shape_and_language(made, kind):
    assert kind_of(made) == kind


def test_tool_use_is_of_no_kind():
    plain = row("How do I boil an egg?")
    assert kind_of({**plain, "tools": '[{"name": "boil"}]'}) == ""
    assert kind_of({**plain, "messages": [*plain["messages"], {"role": "tool", "content": "{}"}]}) == ""
    assert kind_of({**plain, "tools": None}) == "one-en"


# ---- the related row


def related(rows, degrees, group, at=0.0):
    order = np.argsort(np.abs(np.array(degrees) - at), kind="stable")
    return add_context([group], [[rows[i] for i in order]])[0].context


def test_the_related_row_is_the_nearest_that_is_neither_in_the_group_nor_a_parent_of_it():
    first, second, parent, other, far = (row(f"What is thing {name}?") for name in "abcde")
    made = row("What are all these things?", origin="fused", parents=[parent["id"], "gone"])
    group = Group(first, (second, made))
    around = [far, parent, other, first, second, made]
    assert related(around, [80, 1, 30, 0, 2, 3], group) is other
    assert related(around[:2], [80, 1], group) is far
    assert related([first, parent], [0, 1], group) is None


def test_the_related_row_is_of_the_same_kind():
    first, german = row("What is a thing?"), row("Was ist denn das für ein Ding hier?", "Das ist ein kleines Ding.")
    other = row("What is another thing?")
    assert related([german, other], [0, 80], Group(first, ())) is other
    assert related([german], [0], Group(first, ())) is None


def test_each_group_has_its_own():
    rows = [row(f"What is thing {name}?") for name in "abcd"]
    near = [rows[0], rows[2], rows[3], rows[1]], [rows[1], rows[3], rows[2], rows[0]]
    groups = add_context([Group(rows[0], ()), Group(rows[1], ())], near)
    assert [group.context for group in groups] == [rows[2], rows[3]]
    assert [group.rows for group in groups] == [(rows[0],), (rows[1],)]


def test_without_rows_there_is_no_related_row():
    group = Group(row("What is a thing?"), ())
    assert add_context([group], [[]]) == [group]


def test_a_group_of_conversations_says_so():
    assert Group(row("a", "b", "c", "d"), ()).multi_turn
    assert not Group(row("a", "b"), ()).multi_turn
