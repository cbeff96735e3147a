"""Two steps, cures and candidates, with a model that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from entp_hf.config import EntpConfig
from entp_hf.llm.protocol import ChatReply, ChatRequest
from entp_hf.mix.fusion import FUSERS, first_requests
from entp_hf.mix.groups import Group
from entp_hf.mix.writer import WARM, Writer
from entp_hf.schema import Finding, Origin, new_row

SMALL = EntpConfig(prompt_profile="small", group_by="request", cure=True)


def row(question: str, answer: str, **values):
    return new_row([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **values)


WAX = row("What is beeswax?", "A wax.")
HONEY = row("How do bees make honey?", "From nectar.")
CUT = row("Why do bees sting?", "Because", findings=[Finding("truncated", "response", "flag").as_dict()])


@dataclass
class Told:
    """A client that answers by a function of the prompt, and keeps what it was asked."""

    answer: Callable[[str], ChatReply]
    asked: list[ChatRequest] = field(default_factory=list)
    name: str = "told"

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        self.asked += requests
        return [self.answer(request.messages[-1][1]) for request in requests]


def write(client, groups, config=SMALL, attempt=0, candidate=0, why=""):
    todo = list(range(len(groups)))
    writer = Writer(groups, FUSERS["entp"], config, client, 1)
    return writer, *writer.write(todo, dict.fromkeys(todo, why), attempt, candidate)


def in_steps(prompt: str) -> ChatReply:
    if prompt.startswith("Combine requests"):
        return ChatReply("Combined: What is beeswax, and how do bees make honey?\nSure.")
    return ChatReply("Beeswax is a wax that bees make. Honey is made from nectar.")


def test_the_request_is_written_first_and_then_answered_with_the_rows_as_notes():
    client = Told(in_steps)
    writer, rows, why = write(client, [Group(WAX, (HONEY,))])
    first, second = client.asked
    assert "Request 1: What is beeswax?\nRequest 2: How do bees make honey?" in first.messages[0][1]
    assert "A wax." not in first.messages[0][1] and first.schema == second.schema == ""
    assert "- A wax.\n- From nectar." in second.messages[0][1]
    assert "Request: What is beeswax, and how do bees make honey?" in second.messages[0][1]
    assert why == {} and writer.asked == 1
    assert [m["content"] for m in rows[0]["messages"]] == [
        "What is beeswax, and how do bees make honey?",
        "Beeswax is a wax that bees make. Honey is made from nectar.",
    ]
    assert rows[0]["origin"] == Origin.FUSED and rows[0]["parents"] == [WAX["id"], HONEY["id"]]
    assert rows[0]["prompt_version"].startswith("fuse_request@") and "+fuse_answer@" in rows[0]["prompt_version"]


def test_a_cure_answers_the_rows_own_request_with_the_old_answer_unseen():
    client = Told(lambda prompt: ChatReply("They defend their hive."))
    _, rows, _ = write(client, [Group(CUT, ())])
    (asked,) = client.asked
    text = asked.messages[0][1]
    assert "Request: Why do bees sting?" in text and "Because" not in text
    assert "Bring the answer to its end" in text
    assert rows[0]["origin"] == Origin.CURED and rows[0]["parents"] == [CUT["id"]]
    assert [m["content"] for m in rows[0]["messages"]] == ["Why do bees sting?", "They defend their hive."]


def test_a_reply_that_fails_at_either_step_is_a_reason_and_no_row():
    cut = Told(lambda prompt: ChatReply("x", "length"))
    _, rows, why = write(cut, [Group(WAX, (HONEY,)), Group(CUT, ())])
    assert rows == {} and why == dict.fromkeys((0, 1), "cut off at the token limit")
    assert len(cut.asked) == 2  # no second step without a request


def test_later_candidates_are_drawn_warm_and_are_calls_of_their_own():
    client = Told(in_steps)
    write(client, [Group(WAX, (HONEY,))], EntpConfig(prompt_profile="small", candidates=2), attempt=1, candidate=1)
    assert {(request.temperature, request.attempt) for request in client.asked} == {(WARM, 3)}


def test_a_refused_row_is_asked_again_with_the_reason():
    client = Told(in_steps)
    write(client, [Group(WAX, (HONEY,))], why="leaves out row 2", attempt=1)
    assert all("refused: leaves out row 2" in request.messages[0][1] for request in client.asked)


def test_the_profile_chooses_the_prompt():
    group = Group(WAX, (HONEY,))
    for profile, prompts in (
        ("classic", ["fuse"]),
        ("large", ["fuse_plan"]),
        ("small", ["fuse_request", "fuse_answer"]),
    ):
        asks = first_requests(group, FUSERS["entp"], EntpConfig(prompt_profile=profile), "")
        assert [ask.prompt_version.split("@")[0] for ask in asks] == prompts
