"""Fusion of a group into one new row by an LLM: entp, mergeit, rewrite. `mosaic.py` composes without one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from ..config import EntpConfig
from ..llm.prompts import load_prompt, shorten
from ..llm.protocol import BUDGET, ChatReply, ChatRequest
from ..schema import JOIN, Message, Origin, Row, has_reasoning, instruction_of, new_row, response_of, row_id
from ..text.reasoning import without_reasoning
from .groups import Group

ROW_CHARS = 3000  # of a row's response that a fusion prompt shows (ours)


class Fused(BaseModel):
    """What the fusion model must answer."""

    instruction: str = Field(min_length=1)
    response: str = Field(min_length=1)

    def pairs(self) -> list[tuple[str, str]]:
        """What the user says, and the answer."""
        return [(self.instruction, self.response)]


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


TURNS_PROMPT = "fuse_turns"  # conversations have one prompt, whichever the fuser


def form_of(group: Group) -> type[Fused] | type[FusedTalk]:
    """The form of the reply for a group: rows of several turns make a row of several turns."""
    return FusedTalk if group.multi_turn else Fused


@dataclass(frozen=True)
class Fuser:
    """How a group is turned into a request; `size`: how many neighbors it merges with the representative."""

    prompt: str
    size: int | None = None  # None: as many as the group has
    direct: bool = True
    context: bool = True


FUSERS: dict[str, Fuser | None] = {
    "entp": Fuser("fuse"),
    "mergeit": Fuser("mergeit", size=1, direct=False, context=False),  # MergeIT, arXiv 2503.00034
    "rewrite": Fuser("rewrite", size=0),
    "mosaic": None,  # Mosaic-IT, arXiv 2405.13326: no LLM
    "none": None,
}


def asks_directly(fuser: Fuser, config: EntpConfig) -> bool:
    """Whether the model is asked for its own answers too."""
    return fuser.direct and config.direct_answer


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
    prompt = load_prompt(TURNS_PROMPT if group.multi_turn else fuser.prompt, config.prompt_dir)
    schema = json.dumps(form_of(group).model_json_schema())
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
