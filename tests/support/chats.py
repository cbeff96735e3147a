"""A chat client whose replies come from a function of the request, and replies to give it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from entp_hf.llm.protocol import ChatReply, ChatRequest

Answer = Callable[[ChatRequest], "ChatReply | str"]


@dataclass(frozen=True)
class Scripted:
    """Answers each request by `answer(request)`, a text or a whole reply; `asked` holds all requests, in order."""

    answer: Answer
    name: str = "scripted"
    asked: list[ChatRequest] = field(default_factory=list, compare=False, repr=False)

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Tokens are counted as words."""
        self.asked.extend(requests)
        return [self._reply(request) for request in requests]

    def _reply(self, request: ChatRequest) -> ChatReply:
        given = self.answer(request)
        if isinstance(given, ChatReply):
            return given
        words = sum(len(content.split()) for _, content in request.messages)
        return ChatReply(given, prompt_tokens=words, completion_tokens=len(given.split()))


def fused(instruction: str, response: str) -> str:
    """The JSON that a fusion prompt asks for."""
    return json.dumps({"instruction": instruction, "response": response}, ensure_ascii=False)


def judged(overall: float, **changes: object) -> str:
    """The JSON that the rating prompt asks for."""
    return json.dumps(
        {"rarity": 5, "complexity": 5, "informativeness": 5, "overall": overall, "reason": "r", **changes}
    )


def is_direct(request: ChatRequest) -> bool:
    """True for the question put to the model by itself."""
    return request.prompt_version.startswith("direct@")


def shown_rows(request: ChatRequest) -> list[tuple[str, str]]:
    """(instruction, response) of the rows that a fusion prompt shows, the related row left out."""
    text = request.messages[-1][1].split("A related row, for reference only:")[0].split("A first answer to row 1")[0]
    found = re.findall(r"Row \d+:\nInstruction: (.*?)\nResponse: (.*?)(?=\n\n|\nDefects seen|\Z)", text, re.S)
    return [(instruction, response) for instruction, response in found]


def merge(request: ChatRequest) -> str:
    """A good model: asks for everything that the rows ask for, and answers it all with a sentence of its own."""
    if is_direct(request):
        return "A short answer of the model's own."
    rows = shown_rows(request)
    asks = " ".join(instruction for instruction, _ in rows)
    return fused(f"Cover all of this together. {asks}", " ".join(["In short:", *(response for _, response in rows)]))
