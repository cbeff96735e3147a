"""The row: one SFT conversation and what the pipeline knows of it. The only definition of its columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasets import Features, List, Value

INTO = ("mix:fused", "mix:mosaic")  # `dropped_by` of rows that a made row replaced
OVER = "mix:over_target"  # `dropped_by` of rows that are fit for the dataset, but over its size
ORIGINS = {
    "input": "purged rows", "fused": "fused by the model", "mosaic": "composed, no model",
    "passthrough": "repaired only", "high_quality": "high-quality rows",
}  # fmt: skip
MADE = {"fused": "merged", "mosaic": "composed"}

Message = dict[str, str]
Row = dict[str, Any]

LEVELS = 6  # ratings and scores are whole numbers 0..5 (ENTP, DS2: K = 6)
JOIN = "\n\n"  # between an instruction and its input inside the user's first turn

FINDING = {
    "rule": Value("string"),
    "field": Value("string"),  # instruction | input | response | system | tool
    "turn": Value("int32"),  # index in `messages`, -1 for the row as a whole
    "start": Value("int32"),  # span in the field's text before this rule's repair, in characters; -1: none
    "end": Value("int32"),
    "score": Value("float32"),
    "action": Value("string"),  # repair | drop | flag | keep (it stays for duplicates that were dropped)
    "detail": Value("string"),
}

FEATURES = Features(
    {
        "id": Value("string"),  # 16 hex digits of the messages' hash as they came in
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "input": Value("string"),  # the part of the first user turn that was a separate `input`/`context`, or ""
        "tools": Value("string"),  # tool definitions as JSON text, or null
        "source": Value("string"),  # file name and row number
        "original": Value("string"),  # the row as it came in, JSON; null for rows that the pipeline made
        "ratings": List(Value("float32")),  # raw ratings on 0..5, one a rater, null where a rater gave none
        "score": Value("int8"),  # corrected score 0..5; null: unrated
        "expected_score": Value("float32"),  # its posterior mean
        "confidence": Value("float32"),  # posterior probability of `score`; null where nothing was corrected
        "rating_changed": Value("bool"),
        "long_tail": Value("float32"),  # mean cosine distance to the 10 nearest rows (DS2)
        "in_pool": Value("bool"),  # in the low-quality pool
        "findings": List(FINDING),
        "cluster": Value("int32"),
        "representative": Value("bool"),
        "dropped_by": Value("string"),  # null, or "stage:reason"
        "origin": Value("string"),  # input | fused | mosaic | passthrough | high_quality
        "parents": List(Value("string")),  # ids of the rows that a made row was made from
        "round": Value("int8"),  # fusion round that made the row, 0 for input rows
        "model": Value("string"),
        "prompt_version": Value("string"),
        "gate": Value("string"),  # JSON of the gate's figures for made rows
        "notes": Value("string"),  # what went wrong on the way: a failed LLM call, a failed re-rating
    }
)

_DEFAULTS: Row = {
    "input": "", "tools": None, "source": "", "original": None, "ratings": [], "score": None, "expected_score": None,
    "confidence": None, "rating_changed": False, "long_tail": None, "in_pool": False, "findings": [], "cluster": -1,
    "representative": False, "dropped_by": None, "origin": "input", "parents": [], "round": 0, "model": "",
    "prompt_version": "", "gate": None, "notes": "",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What one rule saw in one place; stored in the `findings` column."""

    rule: str
    field: str
    action: str
    turn: int = -1
    start: int = -1
    end: int = -1
    score: float = 1.0
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The finding as the `findings` column holds it."""
        return asdict(self)


def row_id(messages: Sequence[Mapping[str, Any]]) -> str:
    """16 hex digits of BLAKE2b over roles and contents."""
    digest = hashlib.blake2b(digest_size=8)
    for message in messages:
        digest.update(f"{message['role']}\x1f{message['content']}\x1e".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def new_row(messages: Sequence[Message], **values: Any) -> Row:
    """A full row with every column set; `values` override the defaults. Raises KeyError for an unknown column."""
    unknown = set(values) - set(FEATURES)
    if unknown:
        raise KeyError(f"not columns of a row: {sorted(unknown)}")
    fresh = {name: list(value) if isinstance(value, list) else value for name, value in _DEFAULTS.items()}
    return {"id": row_id(messages), "messages": list(messages), **fresh, **values}


def instruction_of(row: Mapping[str, Any]) -> str:
    """The first user turn without the separate input."""
    text = next((m["content"] for m in row["messages"] if m["role"] == "user"), "")
    given = row.get("input") or ""
    return text.removesuffix(JOIN + given) if given else text


def response_of(row: Mapping[str, Any]) -> str:
    """The last assistant turn, or ""."""
    return next((m["content"] for m in reversed(row["messages"]) if m["role"] == "assistant"), "")


def said_by(row: Mapping[str, Any], role: str) -> str:
    """All turns of a role: "user" or "assistant"."""
    return JOIN.join(m["content"] for m in row["messages"] if m["role"] == role)


def is_single_turn(row: Mapping[str, Any]) -> bool:
    """One user turn answered by one assistant turn, a system turn aside."""
    return [m["role"] for m in row["messages"] if m["role"] != "system"] == ["user", "assistant"]


def text_of(row: Mapping[str, Any]) -> str:
    """The whole conversation as plain text, turns parted by blank lines: what is embedded and deduplicated."""
    return JOIN.join(m["content"] for m in row["messages"] if m["content"])
