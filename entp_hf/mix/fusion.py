"""Fusion of a group into one new row by an LLM: entp, mergeit, rewrite. `mosaic.py` composes without one.

How a model is asked is its profile (setting `prompt_profile`). A small model first writes the merged request alone and
then answers it, with the rows' answers as notes: asked for both in one reply it concatenates, and loses half of the
rows. A large one lists the asks, writes the request and answers in one reply. `classic` is the paper's single prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from ..config import EntpConfig
from ..llm.prompts import load_prompt, shorten
from ..llm.protocol import BUDGET, ChatReply, ChatRequest
from ..schema import JOIN, Message, Origin, Row, has_reasoning, instruction_of, new_row, response_of, row_id, said_by
from ..text.reasoning import without_reasoning
from .groups import Group

_LABEL = re.compile(r"\A(?:Combined(?: request)?|Request|Best answer|Answer)\s*[:：]\s*", re.I)
ROW_CHARS = 3000  # of a row's response that a fusion prompt shows (ours)


class Fused(BaseModel):
    """What the fusion model must answer."""

    instruction: str = Field(min_length=1)
    response: str = Field(min_length=1)

    def pairs(self) -> list[tuple[str, str]]:
        """What the user says, and the answer."""
        return [(self.instruction, self.response)]


class Planned(Fused):
    """A reply that plans first: what the rows ask for, the request that asks for all of it, its answer."""

    asks: list[str] = Field(min_length=1)


class FusedTurn(BaseModel):
    """One question of a conversation and its answer."""

    user: str = Field(min_length=1)
    assistant: str = Field(min_length=1)


class FusedTalk(BaseModel):
    """What the fusion model must answer for conversations of several turns."""

    turns: list[FusedTurn] = Field(min_length=2)

    def pairs(self) -> list[tuple[str, str]]:
        """What the user says and the answer, turn by turn."""
        return [(one.user, one.assistant) for one in self.turns]


PLAN_PROMPT, REQUEST_PROMPT, ANSWER_PROMPT, CURE_PROMPT = "fuse_plan", "fuse_request", "fuse_answer", "cure"
REQUEST_TOKENS = 160  # most of a merged request
TURNS_PROMPT = "fuse_turns"  # conversations have one prompt, whichever the fuser


def form_of(group: Group, prompt: str = "") -> type[Fused] | type[FusedTalk]:
    """The form of the reply for a group: rows of several turns make a row of several turns."""
    if group.multi_turn:
        return FusedTalk
    return Planned if prompt == PLAN_PROMPT else Fused


@dataclass(frozen=True)
class Fuser:
    """How a group is turned into a request; `size`: how many neighbors it merges with the representative."""

    prompt: str
    size: int | None = None  # None: as many as the group has
    direct: bool = True
    context: bool = True
    related: bool = False  # groups of rows that one person could merge (`groups.related_groups`)
    cures: bool = False  # rows without a group are cured one by one


FUSERS: dict[str, Fuser | None] = {
    "entp": Fuser("fuse", related=True, cures=True),
    "cure": Fuser("cure", size=0, direct=False, context=False, cures=True),
    "mergeit": Fuser("mergeit", size=1, direct=False, context=False),  # MergeIT, arXiv 2503.00034
    "rewrite": Fuser("rewrite", size=0),
    "mosaic": None,  # Mosaic-IT, arXiv 2405.13326: no LLM
    "none": None,
}


def prompt_of(fuser: Fuser, config: EntpConfig) -> str:
    """Name of the prompt by which the fuser asks under the profile of the configuration."""
    by_profile = {"small": REQUEST_PROMPT, "large": PLAN_PROMPT}
    return by_profile.get(config.prompt_profile, fuser.prompt) if fuser.related else fuser.prompt


def asks_with_context(fuser: Fuser, config: EntpConfig) -> bool:
    """Whether a prompt of the fuser shows a related row beside the group."""
    return fuser.context and prompt_of(fuser, config) != REQUEST_PROMPT


def in_two_steps(group: Group, fuser: Fuser, config: EntpConfig) -> bool:
    """Whether the model writes the merged request first, and answers it in a second reply."""
    return prompt_of(fuser, config) == REQUEST_PROMPT and not group.multi_turn


def asks_directly(fuser: Fuser, config: EntpConfig) -> bool:
    """Whether the model is asked for its own answers too."""
    return fuser.direct and config.direct_answer


def in_one_reply(group: Group, fuser: Fuser, config: EntpConfig) -> bool:
    """Whether the model writes request and answer in one reply: neither in two steps nor as a cure of a single row."""
    return not (is_cure(group, fuser, config) or in_two_steps(group, fuser, config))


def is_cure(group: Group, fuser: Fuser, config: EntpConfig) -> bool:
    """Whether the group is a single row that is to be answered anew."""
    return fuser.cures and not group.neighbors and (config.cure or fuser.size == 0)


def first_requests(group: Group, fuser: Fuser, config: EntpConfig, direct: str) -> list[ChatRequest]:
    """What a first attempt at the group asks; where a request is still to be written, the rows' own stand for it."""
    heat = config.temperature
    if is_cure(group, fuser, config):
        return [cure_request(group.representative, config, "", 0, heat)]
    if in_two_steps(group, fuser, config):
        asked = " ".join(said_by(row, "user") for row in group.rows)
        return [merged_request(group, config, "", 0, heat), merged_answer(group, asked, config, "", 0, heat)]
    return [fusion_request(group, fuser, config, direct, "", 0)]


def direct_limit(config: EntpConfig) -> int:
    """Most tokens of a direct answer."""
    return config.direct_tokens or max(64, config.max_new_tokens // 2)


def direct_request(group: Group, config: EntpConfig) -> ChatRequest:
    """The model's own answer to the representative's instruction (ENTP: model knowledge), or last question."""
    turns = [(str(m["role"]), str(m["content"])) for m in group.representative["messages"] if m["role"] != "system"]
    last = max(i for i, (role, _) in enumerate(turns) if role == "user")
    asked = tuple((role, shorten(content, ROW_CHARS)) for role, content in turns[: last + 1])
    return ChatRequest(asked, direct_limit(config), 0.0, "", "direct@1")


def answer_of(reply: ChatReply) -> str:
    """A direct answer as the fusion prompt shows it; "" for reasoning alone, and for a failed or cut reply.

    A fused row that follows an answer cut at the token limit stops short as well.
    """
    whole = not reply.error and reply.finish_reason != "length"
    return without_reasoning(reply.text).strip() if whole else ""


def fusion_request(
    group: Group, fuser: Fuser, config: EntpConfig, direct: str, reason: str, attempt: int
) -> ChatRequest:
    """The request to merge `group`; `reason` says why the attempt before was refused."""
    name = TURNS_PROMPT if group.multi_turn else prompt_of(fuser, config)
    prompt = load_prompt(name, config.prompt_dir)
    schema = json.dumps(form_of(group, name).model_json_schema())
    first = "the last question of row 1" if group.multi_turn else "row 1"
    context = ""
    if fuser.context and group.context is not None:
        context = f"A related row, for reference only:\n{_shown(group.context)}\n\n"
    text = prompt.fill(
        count=str(len(group.rows)),
        rows=JOIN.join(f"Row {i}:\n{_shown(row)}" for i, row in enumerate(group.rows, 1)),
        context=context,
        direct=f"A first answer to {first}, to be checked before use:\n{shorten(direct, ROW_CHARS)}\n\n"
        if direct
        else "",
        retry=f"- Your last attempt was refused: {reason}. Mend that.\n" if reason else "",
    )
    return ChatRequest((("user", text),), config.max_new_tokens, config.temperature, schema, prompt.version, attempt)


def merged_request(group: Group, config: EntpConfig, reason: str, attempt: int, temperature: float) -> ChatRequest:
    """The first of two steps: ask for one request in place of the rows' own."""
    prompt = load_prompt(REQUEST_PROMPT, config.prompt_dir)
    rows = "\n".join(f"Request {i}: {shorten(said_by(row, 'user'), ROW_CHARS)}" for i, row in enumerate(group.rows, 1))
    text = prompt.fill(rows=rows, retry=f"Your last attempt was refused: {reason}. Mend that.\n\n" if reason else "")
    return ChatRequest((("user", text),), REQUEST_TOKENS, temperature, "", prompt.version, attempt)


def merged_answer(
    group: Group, asked: str, config: EntpConfig, reason: str, attempt: int, temperature: float
) -> ChatRequest:
    """The second step: ask for the answer to the merged request `asked`, with the rows' answers as notes."""
    prompt = load_prompt(ANSWER_PROMPT, config.prompt_dir)
    text = prompt.fill(
        rows="\n".join(f"- {shorten(response_of(row), ROW_CHARS)}" for row in group.rows),
        request=asked,
        retry=f"- Your last answer was refused: {reason}. Mend that.\n" if reason else "",
    )
    return ChatRequest((("user", text),), config.max_new_tokens, temperature, "", prompt.version, attempt)


def cure_request(row: Row, config: EntpConfig, reason: str, attempt: int, temperature: float) -> ChatRequest:
    """Ask for an answer to the row's own request, the old answer unseen: shown it, small models hand it back.

    The findings say what a better answer must not have again.
    """
    prompt = load_prompt(CURE_PROMPT, config.prompt_dir)
    found = sorted({CURES[f["rule"]] for f in row["findings"] if f["action"] == "flag" and f["rule"] in CURES})
    hints = [*found, *([f"Your last answer was refused: {reason}. Mend that."] if reason else [])]
    text = prompt.fill(row=said_by(row, "user"), retry="".join(f"- {hint}\n" for hint in hints))
    return ChatRequest((("user", text),), config.max_new_tokens, temperature, "", prompt.version, attempt)


# What a finding asks of the answer that replaces the flagged one.
CURES = {
    "truncated": "Bring the answer to its end; do not stop in the middle.",
    "cut_code": "Give the code complete, to its last line.",
    "ends_with_colon": "Bring the answer to its end; do not stop in the middle.",
    "too_short": "Answer in full sentences, with what a learner needs to know.",
    "repetition": "Say every thing once.",
    "language_mismatch": "Answer in the language of the request.",
    "mixed_script": "Answer in the language of the request.",
    "refusal": "Do the task; it is harmless.",
    "identity_leak": "Do not speak of yourself.",
    "placeholder": "Write everything out; leave no blanks to be filled in.",
}


def read_text(reply: ChatReply) -> tuple[str, str]:
    """The text of a reply that is no JSON and "", or "" and why there is none. Labels before the text are cut."""
    if reply.finish_reason == BUDGET:
        return "", f"not asked: {reply.error}"
    if reply.error:
        return "", f"call failed: {reply.error}"
    if reply.finish_reason == "length":
        return "", "cut off at the token limit"
    text = _LABEL.sub("", without_reasoning(reply.text).strip()).strip()
    return (text, "") if text else ("", "an empty answer")


def read_fused(reply: ChatReply, form: type[Fused] | type[FusedTalk] = Fused) -> tuple[Fused | FusedTalk | None, str]:
    """The merged pair or conversation, or None and why not. A reply cut off at the token limit is a failure."""
    from ..llm.structured import parse_json

    if reply.finish_reason == BUDGET:
        return None, f"not asked: {reply.error}"
    if reply.error:
        return None, f"call failed: {reply.error}"
    if reply.finish_reason == "length":
        return None, "cut off at the token limit"
    fused, why = parse_json(reply.text, form)
    return (fused, "") if fused is not None else (None, f"not the JSON asked for: {why}")


def fused_row(group: Group, fused: Fused | FusedTalk, model: str, version: str, round_: int) -> Row:
    """The new row; a system turn of the representative is kept."""
    system = [m for m in group.representative["messages"] if m["role"] == "system"]
    said = [
        turn(role, text.strip())
        for pair in fused.pairs()
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    turns = [*system, *said]
    return made_row(turns, group.rows, Origin.FUSED, model, version, round_)


def written_row(group: Group, asked: str, answer: str, model: str, version: str, round_: int) -> Row:
    """The new row of a request and its answer, written one after the other."""
    return fused_row(group, Fused(instruction=asked, response=answer), model, version, round_)


def cured_row(row: Row, answer: str, model: str, version: str, round_: int) -> Row:
    """The row with `answer` in place of its last one; request, input text and system turn stay."""
    turns = [dict(m) for m in row["messages"]]
    turns[-1]["content"] = answer.strip()
    return {**made_row(turns, [row], Origin.CURED, model, version, round_), "input": row["input"]}


def made_row(
    turns: list[Message], parents: Sequence[Row], origin: Origin, model: str, version: str, round_: int
) -> Row:
    """A new row of `turns` with its lineage."""
    lineage = turn("parents", " ".join(row["id"] for row in parents))
    thoughts = sum(map(has_reasoning, parents)) if not has_reasoning({"messages": turns}) else 0
    return new_row(
        turns,
        id=row_id([*turns, lineage]),  # a model that hands back a row of the pool must not take over its id
        origin=origin,
        parents=[row["id"] for row in parents],
        round=round_,
        model=model,
        prompt_version=version,
        source="entp",
        cluster=parents[0]["cluster"],
        notes=f"the reasoning of {thoughts} of its parents is not carried over" if thoughts else "",
    )


def turn(role: str, content: str) -> Message:
    """One message."""
    return {"role": role, "content": content}


def _shown(row: Row) -> str:
    """A row as a fusion prompt shows it, with the defects that the purge saw."""
    if is_conversation(row):
        body = "\n".join(f"{m['role']}: {shorten(m['content'], ROW_CHARS // 2)}" for m in row["messages"])
    else:
        given = f"\nInput: {shorten(row['input'], ROW_CHARS)}" if row["input"] else ""
        body = f"Instruction: {shorten(instruction_of(row), ROW_CHARS)}{given}"
        body += f"\nResponse: {shorten(response_of(row), ROW_CHARS)}"
    defects = sorted({f["rule"].replace("_", " ") for f in row["findings"] if f["action"] == "flag"})
    return body + (f"\nDefects seen: {', '.join(defects)}" if defects else "")


def is_conversation(row: Row) -> bool:
    """More turns than a question and its answer."""
    return len([m for m in row["messages"] if m["role"] != "system"]) > 2
