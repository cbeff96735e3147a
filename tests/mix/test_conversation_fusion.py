"""Fusion of conversations: they give a conversation, and the gate looks at every turn of it."""

from __future__ import annotations

import json

import numpy as np
from chats import Scripted, is_direct
from sample_rows import row

from entp_hf.config import EntpConfig
from entp_hf.gate.gate import Gate
from entp_hf.mix.groups import Group
from entp_hf.mix.round import Round
from entp_hf.schema import is_single_turn

EGG = row("How do I boil an egg?", "Put it into boiling water.", "For how long?", "Eight minutes, then cool it.")
RICE = row("How do I cook rice?", "In twice its volume of water.", "For how long?", "Eighteen minutes under a lid.")
GOOD = [
    ("How do I boil an egg, and for how long?", "Put the egg into boiling water for eight minutes, then cool it."),
    ("And how do I cook rice with it?", "Cook the rice in twice its volume of water, eighteen minutes under a lid."),
]
STRAY = "The air bends the light of stars this way and that, since it is never still or even."


def reply(*pairs: tuple[str, str]) -> str:
    return json.dumps({"turns": [{"user": asked, "assistant": said} for asked, said in pairs]})


def test_a_group_of_conversations_gives_a_conversation_and_every_turn_is_judged() -> None:
    strayed = reply((GOOD[0][0], f"{GOOD[0][1]} {STRAY}"), GOOD[1])
    client = Scripted(lambda r: "Eight minutes." if is_direct(r) else reply(*GOOD) if r.attempt else strayed)
    config = EntpConfig(on_reject="passthrough", context_row=False)
    fusion = Round([Group(EGG, (RICE,))], config, Gate.from_config(config), np.zeros((0, 384), np.float32), 1)
    figures = fusion.run(client)
    (made,) = fusion.rows
    assert figures["reasons"] == {"says what none of its rows is about": 1}
    assert (figures["fused"], figures["attempts"], len(client.asked)) == (1, 2, 3)
    assert [m["content"] for m in made["messages"]] == [text for pair in GOOD for text in pair]
    assert made["parents"] == [EGG["id"], RICE["id"]] and not is_single_turn(made)
