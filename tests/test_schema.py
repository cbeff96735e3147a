"""The row: ids, defaults that rows do not share, and the texts read out of it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from entp_hf.schema import (
    FEATURES,
    JOIN,
    Finding,
    instruction_of,
    is_single_turn,
    new_row,
    response_of,
    row_id,
    text_of,
    without_nulls,
)


def turns(*contents: str, system: str = "") -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(contents)
    head = [{"role": "system", "content": system}] if system else []
    return head + [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


def test_the_id_is_16_hex_digits_of_roles_and_contents():
    one = row_id(turns("a", "b"))
    assert len(one) == 16 and int(one, 16) >= 0
    assert one == row_id(turns("a", "b"))
    others = [
        turns("ab", ""),
        turns("a", "b", "c"),
        turns("a", "b ", ""),
        turns("b", "a"),
        turns("a", "b", system="s"),
        [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}],
        [],
    ]
    assert len({one, *map(row_id, others)}) == 8


def test_an_id_is_had_of_an_unpaired_surrogate_too():
    assert row_id(turns("\ud83d", "b")) != row_id(turns("\ud83e", "b"))


def test_a_new_row_has_every_column_and_fits_the_features():
    row = new_row(turns("a", "b"))
    assert list(row) == list(FEATURES)
    stored = pa.Table.from_pylist([row], schema=FEATURES.arrow_schema).to_pylist()[0]
    assert {**stored, "messages": list(map(without_nulls, stored["messages"]))} == row
    assert (row["round"], row["cluster"], row["origin"], row["dropped_by"], row["score"]) == (
        0,
        -1,
        "input",
        None,
        None,
    )


def test_values_override_defaults_and_an_unknown_column_is_refused():
    assert new_row(turns("a", "b"), score=3, id="x")["id"] == "x"
    with pytest.raises(KeyError, match=r"not columns of a row: \['colour', 'scores'\]"):
        new_row(turns("a", "b"), scores=3, colour="red")


def test_rows_share_no_list():
    one, other = new_row(turns("a", "b")), new_row(turns("a", "b"))
    for name in ("ratings", "findings", "parents", "messages"):
        one[name].append("mine")
    assert (other["ratings"], other["findings"], other["parents"]) == ([], [], [])
    assert new_row(turns("a", "b"))["ratings"] == []
    assert len(other["messages"]) == 2


def test_a_finding_is_stored_as_its_column_holds_it():
    found = Finding("echo", "response", "flag", turn=1, start=2, end=9, score=0.5, detail="d").as_dict()
    row = new_row(turns("a", "b"), findings=[found])
    assert pa.Table.from_pylist([row], schema=FEATURES.arrow_schema)["findings"].to_pylist() == [[found]]


@pytest.mark.parametrize(
    ("content", "given", "instruction"),
    [
        ("Sum up.", "", "Sum up."),
        (f"Sum up.{JOIN}Long text", "Long text", "Sum up."),
        (f"Sum up.{JOIN}Long text", "text", f"Sum up.{JOIN}Long text"),  # no separate part
        ("Long text", "Long text", "Long text"),
        (f"A{JOIN}A", "A", "A"),
    ],
)
def test_the_instruction_is_the_first_user_turn_without_its_input(content, given, instruction):
    assert instruction_of({"messages": turns(content, "r", "more", "s"), "input": given}) == instruction


def test_the_response_is_the_last_assistant_turn():
    assert response_of({"messages": turns("a", "b", "c", "d", "e")}) == "d"
    assert response_of({"messages": turns("a")}) == ""
    assert instruction_of({"messages": []}) == ""


def test_single_turn_means_one_question_and_one_answer():
    assert is_single_turn({"messages": turns("a", "b")})
    assert is_single_turn({"messages": turns("a", "b", system="s")})
    assert not is_single_turn({"messages": turns("a", "b", "c")})
    assert not is_single_turn({"messages": turns("a")})
    assert not is_single_turn({"messages": [{"role": "tool", "content": "x"}, *turns("a", "b")]})


def test_the_text_is_all_turns_that_say_something():
    assert text_of({"messages": turns("a", "", "c", "d", system="s")}) == "s\n\na\n\nc\n\nd"
