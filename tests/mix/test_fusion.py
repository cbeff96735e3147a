"""From a group to a request, from a reply to a row, and the composition that needs no model."""

from __future__ import annotations

import json

import pytest
from chats import fused, shown_rows
from sample_rows import row

from entp_hf.config import EntpConfig
from entp_hf.llm.prompts import load_prompt
from entp_hf.llm.protocol import ChatReply
from entp_hf.mix.fusion import (
    FUSERS,
    Fused,
    FusedTalk,
    direct_request,
    form_of,
    fused_row,
    fusion_request,
    is_conversation,
    read_fused,
)
from entp_hf.mix.groups import Group
from entp_hf.mix.mosaic import PREFACE, mosaic
from entp_hf.schema import FEATURES, JOIN, Finding, new_row

HOSTILE = "Pay ${rows} or $5 {now} {{7*7}} %s \\1"


def flagged(*rules: str, action: str = "flag") -> list[dict]:
    return [Finding(rule, "response", action).as_dict() for rule in rules]


EGGS = row("How do I boil an egg?", "In water.", cluster=4)
RICE = row("How do I cook rice?", "In twice its volume of water.", cluster=4)
PASTA = row("How do I cook pasta?", "In salted water.", cluster=4)
GROUP = Group(EGGS, (RICE, PASTA))


def ask(group: Group = GROUP, fuser: str = "entp", direct: str = "", reason: str = "", attempt: int = 0, **settings):
    return fusion_request(group, FUSERS[fuser], EntpConfig(**settings), direct, reason, attempt)


def text_of_request(*args, **values) -> str:
    request = ask(*args, **values)
    assert [role for role, _ in request.messages] == ["user"]
    return request.messages[0][1]


# ---- the request


def test_the_prompt_shows_every_row_in_order():
    request = ask()
    assert shown_rows(request) == [
        ("How do I boil an egg?", "In water."),
        ("How do I cook rice?", "In twice its volume of water."),
        ("How do I cook pasta?", "In salted water."),
    ]
    text = request.messages[0][1]
    assert text.startswith("Below are 3 rows ")
    for absent in ("related row", "first answer", "refused", "${", "Defects"):
        assert absent not in text


def test_the_request_carries_the_schema_the_version_and_the_settings():
    request = ask(attempt=2, max_new_tokens=77, temperature=0.5)
    assert (request.max_tokens, request.temperature, request.attempt) == (77, 0.5, 2)
    assert request.prompt_version == load_prompt("fuse").version
    assert set(json.loads(request.schema)["required"]) == {"instruction", "response"}


def test_defects_that_the_purge_flagged_are_named_and_repairs_are_not():
    bad = row("Q?", "A", findings=[*flagged("too_short", "ends_with_colon"), *flagged("mojibake", action="repair")])
    assert "Response: A\nDefects seen: ends with colon, too short\n" in text_of_request(Group(bad, (RICE,)))


def test_related_row_first_answer_and_reason_are_shown_where_there_are_any():
    related = row("How do I steam fish?", "For ten minutes.")
    text = text_of_request(Group(EGGS, (RICE,), related), direct="Boil it.", reason="leaves out row 2 (coverage 0.1)")
    assert "A related row, for reference only:\nInstruction: How do I steam fish?\nResponse: For ten minutes." in text
    assert "A first answer to row 1, to be checked before use:\nBoil it." in text
    assert "- Your last attempt was refused: leaves out row 2 (coverage 0.1). Mend that.\n" in text
    assert text.startswith("Below are 2 rows ")


def test_dollars_and_braces_in_the_data_are_harmless():
    text = text_of_request(Group(row(HOSTILE, HOSTILE), (), row(HOSTILE, "x")), direct=HOSTILE, reason=HOSTILE)
    assert text.count(HOSTILE) == 5


def test_an_input_is_shown_apart_and_long_texts_are_shortened():
    long = row(f"Sum up.{JOIN}The text.", "a" * 2000 + "b" * 2000, input="The text.")
    text = text_of_request(Group(long, ()))
    assert "Instruction: Sum up.\nInput: The text.\nResponse: aaa" in text
    assert 3000 < len(text) < 4300 and "a ... b" in text


def test_conversations_are_shown_turn_by_turn():
    talk = new_row([{"role": r, "content": c} for r, c in zip(["user", "assistant"] * 2, "abcd", strict=True)])
    assert is_conversation(talk) and not is_conversation(EGGS)
    assert "Row 1:\nuser: a\nassistant: b\nuser: c\nassistant: d\n" in text_of_request(Group(talk, ()))


@pytest.mark.parametrize("fuser", ["entp", "mergeit", "rewrite"])
def test_conversations_are_fused_into_a_conversation(fuser):
    group = Group(row("a", "b", "c", "d", system="Be kind."), (row("e", "f", "g", "h"),))
    request = ask(group, fuser, direct="D")
    assert request.prompt_version == load_prompt("fuse_turns").version
    assert "ONE new conversation" in request.messages[0][1]
    assert "A first answer to the last question of row 1, to be checked before use:\nD" in request.messages[0][1]
    assert direct_request(group, EntpConfig()).messages == (("user", "a"), ("assistant", "b"), ("user", "c"))
    assert form_of(group) is FusedTalk
    reply = json.dumps({"turns": [{"user": "A? ", "assistant": "B."}, {"user": "C?", "assistant": "D."}]})
    found, why = read_fused(ChatReply(reply), FusedTalk)
    made = fused_row(group, found, "m", "v", 1)
    assert why == "" and [m["content"] for m in made["messages"]] == ["Be kind.", "A?", "B.", "C?", "D."]
    assert [m["role"] for m in made["messages"]] == ["system", *["user", "assistant"] * 2]
    assert made["parents"] == [row["id"] for row in group.rows]


def test_a_conversation_of_one_turn_is_no_fusion_of_conversations():
    for reply in (json.dumps({"turns": [{"user": "A?", "assistant": "B."}]}), fused("A?", "B.")):
        found, why = read_fused(ChatReply(reply), FusedTalk)
        assert found is None and why.startswith("not the JSON asked for: ") and "turns" in why


@pytest.mark.parametrize(("fuser", "head"), [("mergeit", "Below are 3 similar rows"), ("rewrite", "Below is a row")])
def test_the_other_fusers_have_their_own_prompts(fuser, head):
    text = text_of_request(fuser=fuser)
    assert text.startswith(head) and "How do I boil an egg?" in text


def test_mergeit_shows_no_related_row():
    group = Group(EGGS, (RICE,), PASTA)
    assert "pasta" in text_of_request(group) and "pasta" not in text_of_request(group, fuser="mergeit")


def test_a_prompt_of_ones_own_is_used_and_its_version_kept(tmp_path):
    (tmp_path / "fuse.md").write_text("Merge ${rows} into JSON.", encoding="utf-8")
    request = ask(prompt_dir=str(tmp_path))
    assert request.messages[0][1].startswith("Merge Row 1:\n")
    assert request.prompt_version == load_prompt("fuse", str(tmp_path)).version != load_prompt("fuse").version


def test_the_direct_question_is_the_representatives_with_its_input():
    asked = direct_request(Group(row(f"Sum up.{JOIN}The text.", "x", input="The text.", system="S"), ()), EntpConfig())
    assert asked.messages == (("user", "Sum up.\n\nThe text."),)
    assert (asked.max_tokens, asked.temperature, asked.schema) == (256, 0.0, "")


# ---- the reply


def test_a_good_reply_is_read():
    assert read_fused(ChatReply(fused("I?", "R."))) == (Fused(instruction="I?", response="R."), "")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (ChatReply(finish_reason="error", error="HTTP 500"), "call failed: HTTP 500"),
        (ChatReply(fused("I", "R"), finish_reason="length"), "cut off at the token limit"),
        (ChatReply("Sorry."), "not the JSON asked for: the reply holds no JSON object"),
        (ChatReply(fused("I", "R")[:-4]), "not the JSON asked for: the reply's JSON is truncated"),
        (ChatReply(fused("", "R")), "not the JSON asked for: the reply's JSON does not fit: instruction"),
        (ChatReply('{"instruction": "I", "response": ["R"]}'), "not the JSON asked for: "),
        (ChatReply(""), "not the JSON asked for: "),
    ],
)
def test_any_other_reply_is_a_failure_with_a_reason(reply, why):
    found, said = read_fused(reply)
    assert found is None and said.startswith(why)


def test_the_fused_row_knows_where_it_comes_from():
    group = Group(row("Q?", "A", system="Be kind.", cluster=2), (RICE,))
    made = fused_row(group, Fused(instruction=" I? ", response="R.\n"), "m", "fuse@1", 2)
    assert [(m["role"], m["content"]) for m in made["messages"]] == [
        ("system", "Be kind."),
        ("user", "I?"),
        ("assistant", "R."),
    ]
    assert made["parents"] == [group.representative["id"], RICE["id"]]
    assert (made["origin"], made["model"], made["prompt_version"]) == ("fused", "m", "fuse@1")
    assert (made["round"], made["cluster"], made["source"], made["dropped_by"]) == (2, 2, "entp", None)
    assert list(made) == list(FEATURES)


def test_a_row_handed_back_as_it_is_does_not_take_over_its_parents_id():
    made = fused_row(Group(EGGS, ()), Fused(instruction="How do I boil an egg?", response="In water."), "m", "v", 1)
    assert made["messages"] == EGGS["messages"] and made["id"] != EGGS["id"]
    again = fused_row(Group(RICE, ()), Fused(instruction="How do I boil an egg?", response="In water."), "m", "v", 1)
    assert again["id"] not in (made["id"], EGGS["id"])


# ---- mosaics


def test_a_mosaic_numbers_instructions_and_answers_alike():
    made = mosaic(GROUP, 1)
    assert made["messages"] == [
        {
            "role": "user",
            "content": "Answer each of the following in order.\n\n1. How do I boil an egg?\n\n"
            "2. How do I cook rice?\n\n3. How do I cook pasta?",
        },
        {"role": "assistant", "content": "1. In water.\n\n2. In twice its volume of water.\n\n3. In salted water."},
    ]
    assert made["parents"] == [EGGS["id"], RICE["id"], PASTA["id"]]
    assert (made["origin"], made["model"], made["cluster"], made["round"]) == ("mosaic", "", 4, 1)


def test_lines_of_a_part_stay_inside_it():
    listed = row("Name two.\n\nBe brief.", "1. One\n2. Two\n\n```\ncode\n```")
    user, assistant = (m["content"] for m in mosaic(Group(EGGS, (listed,)), 1)["messages"])
    assert user.endswith("2. Name two.\n\n   Be brief.")
    assert assistant == "**1.**\n\nIn water.\n\n**2.**\n\n1. One\n2. Two\n\n```\ncode\n```"


def test_inputs_are_part_of_what_is_asked():
    given = row(f"Sum up.{JOIN}The text.", "It is a text.", input="The text.")
    assert "2. Sum up.\n\n   The text." in mosaic(Group(EGGS, (given,)), 1)["messages"][0]["content"]


def test_rows_with_defects_that_repair_could_not_mend_stay_out():
    cut = row("How do I bake bread?", "First you", findings=flagged("truncated"))
    fixed = row("How do I roast a duck?", "In the oven.", findings=flagged("mojibake", "html", action="repair"))
    made = mosaic(Group(cut, (EGGS, fixed)), 1)
    assert made["parents"] == [EGGS["id"], fixed["id"]]
    assert "bread" not in made["messages"][0]["content"]
    assert mosaic(Group(cut, (EGGS,)), 1) is None
    assert mosaic(Group(EGGS, ()), 1) is None


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("de", "Wie koche ich ein weiches Ei?", "Wie lange muss der Reis im Topf kochen?"),
        ("fr", "Comment faire cuire un œuf mollet ?", "Combien de temps faut-il cuire le riz ?"),
        ("zh", "如何煮鸡蛋？", "如何煮米饭？"),
        ("ja", "卵のゆで方を教えてください。", "ご飯の炊き方を教えてください。"),
        ("ru", "Как сварить яйцо всмятку?", "Сколько времени варить рис?"),
        ("ko", "달걀을 어떻게 삶나요?", "밥은 어떻게 짓나요?"),
        ("ar", "كيف أسلق البيضة؟", "كم من الوقت يحتاج طبخ الأرز؟"),
    ],
)
def test_the_preface_is_in_the_rows_language(language, first, second):
    made = mosaic(Group(row(first, "x"), (row(second, "y"),)), 1)
    assert made["messages"][0]["content"] == f"{PREFACE[language]}\n\n1. {first}\n\n2. {second}"


def test_in_a_language_without_a_preface_the_parts_stand_alone():
    first, second = "Πώς βράζω ένα αυγό;", "Πώς μαγειρεύω το ρύζι;"
    made = mosaic(Group(row(first, "x"), (row(second, "y"),)), 1)
    assert made["messages"][0]["content"] == f"1. {first}\n\n2. {second}"


def test_conversations_are_played_one_after_the_other():
    made = mosaic(Group(row("a", "b", "c", "d", system="S"), (row("e", "f", "g", "h", system="T"),)), 1)
    assert [m["content"] for m in made["messages"]] == ["S", *"abcdefgh"]
    assert [m["role"] for m in made["messages"]] == ["system", *["user", "assistant"] * 4]
    assert len(made["parents"]) == 2
