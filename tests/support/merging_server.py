"""A chat server on localhost that merges the rows it is shown, and gets 30% of its replies wrong in every known way.

What it does wrong depends on the request's text and on how often it came, never on time: two runs meet the same
faults. Faults of the answer (malformed, wrong_schema, empty, other_row) stay when the same text is asked again; those
of the way (429, 500, drop, stall) pass.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections import Counter
from pathlib import Path

from chats import fused, merge
from fault_server import FaultServer, Handler

from entp_hf.data import pool_files
from entp_hf.llm.protocol import ChatRequest

LASTING = ("malformed", "wrong_schema", "empty", "other_row")
PASSING = ("429", "500", "drop", "stall")


def chance(*parts: object) -> float:
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def kind_of_fault(text: str, turn: int, share: float) -> str:
    if not share:
        return ""
    lasting = chance("lasting", text)
    if lasting < share / 2:
        return LASTING[int(lasting / (share / 2) * len(LASTING))]
    passing, bound = chance("passing", text, turn), (share / 2) / (1 - share / 2)
    return PASSING[int(passing / bound * len(PASSING))] if passing < bound else ""


class _Merging(Handler):
    server: MergingServer

    def _answer(self, fault, body, text):
        server = self.server
        with server.lock:
            turn = server.seen[text] - 1
        fault = kind_of_fault(text, turn, server.share)
        with server.lock:
            server.faults[fault] += 1
        if fault in ("429", "500", "drop"):
            return super()._answer(fault, body, text)
        if fault == "stall":
            time.sleep(server.stall)
        request = ChatRequest(tuple((m["role"], m["content"]) for m in body["messages"]))
        answer = merge(request) if "Row 1:" in text else "A short answer of the model's own."
        if "Row 1:" in text:
            answer = {
                "malformed": answer[: 2 * len(answer) // 3],
                "wrong_schema": json.dumps({"question": "Why?", "answer": ["Because."]}),
                "empty": "",
                "other_row": fused(*server.other),
            }.get(fault, answer)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
        usage = {"prompt_tokens": len(text) // 4, "completion_tokens": len(answer) // 4, "total_tokens": 0}
        self._send(
            200,
            {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage},
        )
        if fault != "stall":
            with server.lock:
                server.answered[text] += 1


class MergingServer(FaultServer):
    """`share` of the replies are faulty. `answered` counts whole replies by request text, `faults` all by kind."""

    handler = _Merging

    def __init__(self, share=0.3, **values):
        super().__init__(**values)
        self.share = share
        self.faults: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.other = ("Which planet is the largest?", "Jupiter, which has 318 times the mass of the Earth.")


def write_pool(path: Path, rows: int) -> Path:
    """Rows with words of their own, each with a number that no other row has: 1000, 1001, ..."""
    words = sorted({w for file in pool_files() for w in re.findall(r"\b[a-z]{5,9}\b", Path(file).read_text("utf-8"))})
    rng = random.Random(0)
    lines = []
    for i in range(rows):
        w = rng.sample(words, 10)
        question = f"What does the {w[0]} {w[1]} need in its first year?"
        answer = (
            f"It needs {w[2]}, {w[3]} and {w[4]}, about {1000 + i} of each. The {w[5]} and the {w[6]} come later, "
            f"once the {w[7]} is near the {w[8]} or the {w[9]}."
        )
        lines.append(json.dumps({"instruction": question, "output": answer}))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
