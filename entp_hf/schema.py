"""The row: one SFT conversation and what the pipeline knows of it. The only definition of its columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from datasets import Features, List, Value

Message = dict[str, Any]  # a turn: "role", "content", and those keys of `TURN` that have a value
Row = dict[str, Any]

LEVELS = 6  # ratings and scores are whole numbers 0..5 (ENTP, DS2: K = 6)
JOIN = "\n\n"  # between an instruction and its input inside the user's first turn


class Origin(StrEnum):
    """Where a row comes from: the values of the column `origin`, each with a short label and a description."""

    label: str
    description: str

    def __new__(cls, value: str, label: str = "", description: str = "") -> Origin:
        """A member that equals its value and has the words for it."""
        member = str.__new__(cls, value)
        member._value_, member.label, member.description = value, label, description
        return member

    INPUT = "input", "purged rows", "rows of the pool, after the rules"
    FUSED = "fused", "fused by the model", "fused from its parents by a language model"
    CURED = "cured", "answered anew", "rows of the pool whose request a language model answered anew"
    MOSAIC = "mosaic", "composed, no model", "composed from its parents without a model"
    PASSTHROUGH = "passthrough", "repaired only", "rows of the pool that were not fused, repaired where rules could"
    HIGH_QUALITY = "high_quality", "high-quality rows", "rows with high scores, taken over"


GENERATED = (Origin.FUSED, Origin.CURED, Origin.MOSAIC)  # origins of the rows that the pipeline wrote


def origin_label(name: str) -> str:
    """The label of an origin, or the name itself for one of another version of the package."""
    return Origin(name).label if name in set(Origin) else name


def origin_description(name: str) -> str:
    """The description of an origin, or the name itself for one of another version of the package."""
    return Origin(name).description if name in set(Origin) else name


class DroppedBy(StrEnum):
    """Why a row is not in the dataset: the fixed values of the column `dropped_by`, "stage:reason", with their words.

    Reading, rules and selectors add values of their own: see `unreadable`, `by_rule` and `not_selected`.
    """

    description: str

    def __new__(cls, value: str, description: str = "") -> DroppedBy:
        """A member that equals its value and has the words for it."""
        member = str.__new__(cls, value)
        member._value_, member.description = value, description
        return member

    UNRATED = "rate:unrated", "no rater gave a rating"
    HIGH_QUALITY = "pool:high_quality", "not in the low-quality pool"
    FUSED = "mix:fused", "used up: its text went into a fused row"
    MOSAIC = "mix:mosaic", "used up: its text went into a composed row"
    CURED = "mix:cured", "used up: the model answered its request anew"
    OVER_TARGET = "mix:over_target", "fit for the dataset, but over the size asked for"
    DEFECTIVE = "mix:defective", "a defect that no rule could repair"

    @staticmethod
    def unreadable(reason: str) -> str:
        """`dropped_by` of a row that can't be used as it was read."""
        return f"input:{reason}"

    @staticmethod
    def by_rule(rule: str) -> str:
        """`dropped_by` of a row that a purge rule drops."""
        return f"purge:{rule}"

    @staticmethod
    def not_selected(method: str) -> str:
        """`dropped_by` of a row that a baseline did not choose."""
        return f"select:{method}"


# `dropped_by` of a row that a generated row replaced, by the origin of the latter.
USED_UP = {Origin.FUSED: DroppedBy.FUSED, Origin.CURED: DroppedBy.CURED, Origin.MOSAIC: DroppedBy.MOSAIC}


def is_purged(reason: str | None) -> bool:
    """Whether a purge rule dropped the row."""
    return bool(reason) and str(reason).startswith(DroppedBy.by_rule(""))


def reason_of(reason: str | None) -> tuple[str, str]:
    """(stage, reason) of a `dropped_by`; ("", "") for a row that is kept."""
    stage, _, name = (reason or "").partition(":")
    return stage, name


def reason_in_words(reason: str) -> str:
    """A `dropped_by` in words; "" for a value that no part of the pipeline writes."""
    if reason in set(DroppedBy):
        return DroppedBy(reason).description
    families = {
        "input": "can't be used as it was read",
        "purge": "dropped by the rule of that name",
        "select": "not chosen by the method of that name",
    }
    return families.get(reason_of(reason)[0], "")


class StageWords(NamedTuple):
    """How pages name a stage."""

    title: str  # what the run is doing, for a progress list
    description: str  # what the stage does, for the card
    rows: str = ""  # what the rows are after it, where it changes their number or texts


STAGES = {  # in the order of a run; the names are those of the manifest's `stages` and of progress events
    "read": StageWords("Reading the rows", "reads the input rows", "read"),
    "rate": StageWords("Rating quality", "rates each row's quality from 0 to 5", "usable"),
    "embed": StageWords("Comparing contents", "embeds the rows: like content gives near vectors"),
    "correct": StageWords("Correcting the ratings", "estimates the noise of the ratings and corrects them"),
    "purge": StageWords("Repairing by rules", "repairs, flags or drops rows by rules", "after rules"),
    "cluster": StageWords("Grouping like rows", "groups rows alike in content and picks representatives"),
    "mix": StageWords(
        "Fusing and checking", "fuses groups of related rows in rounds and checks each new row", "generated rows"
    ),
    "write": StageWords("Writing the dataset", "writes the dataset"),
}

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

# A tool call as the APIs have it. The arguments are JSON text, because their keys differ from tool to tool and Arrow
# has one type a column; `turn_for_template` gives them back as objects.
TOOL_CALL = {
    "id": Value("string"),
    "type": Value("string"),
    "function": {"name": Value("string"), "arguments": Value("string")},
}
TURN = {
    "role": Value("string"),  # system | user | assistant | tool
    "content": Value("string"),  # "" for a turn that only calls tools
    "reasoning": Value("string"),  # what the model thought before its answer; null: none
    "tool_calls": List(TOOL_CALL),  # null: none
    "tool_call_id": Value("string"),  # of a tool turn: the call that it answers
    "name": Value("string"),  # of a tool turn: the tool; of others: who speaks
    "weight": Value("float32"),  # weight in training: 0 leaves the turn's tokens out of the loss; null: as trained on
}
TURN_FIELDS = tuple(name for name in TURN if name not in ("role", "content"))

FEATURES = Features(
    {
        "id": Value("string"),  # 16 hex digits of the messages' hash as they came in
        "messages": List(TURN),
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
        "dropped_by": Value("string"),  # null, or "stage:reason": see `DroppedBy`
        "origin": Value("string"),  # see `Origin`
        "parents": List(Value("string")),  # ids of the rows that a generated row was made from
        "round": Value("int8"),  # fusion round that generated the row, 0 for input rows
        "model": Value("string"),
        "prompt_version": Value("string"),
        "gate": Value("string"),  # JSON of the gate's figures for generated rows
        "notes": Value("string"),  # what went wrong on the way: a failed LLM call, a failed re-rating
    }
)

_DEFAULTS: Row = {
    "input": "", "tools": None, "source": "", "original": None, "ratings": [], "score": None, "expected_score": None,
    "confidence": None, "rating_changed": False, "long_tail": None, "in_pool": False, "findings": [], "cluster": -1,
    "representative": False, "dropped_by": None, "origin": Origin.INPUT, "parents": [], "round": 0, "model": "",
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
    """16 hex digits of BLAKE2b over roles, contents, reasoning and tool calls."""
    digest = hashlib.blake2b(digest_size=8)
    for message in messages:
        more = [message[name] for name in ("reasoning", "tool_calls") if message.get(name)]
        extra = f"\x1f{json.dumps(more, sort_keys=True)}" if more else ""
        text = f"{message['role']}\x1f{message['content']}{extra}\x1e"
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def without_nulls(message: Mapping[str, Any]) -> Message:
    """The turn without the keys that have no value: Arrow gives every turn the keys of all."""
    return {name: value for name, value in message.items() if value is not None or name == "content" or name == "role"}


def calls_text(message: Mapping[str, Any]) -> str:
    """The tool calls of a turn as JSON text, each with its name and arguments; "" where there are none."""
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    if not calls:
        return ""
    texts = [
        f'{{"name": {json.dumps(call.get("name"), ensure_ascii=False)}, "arguments": {call.get("arguments") or "{}"}}}'
        for call in calls
    ]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def turn_text(message: Mapping[str, Any]) -> str:
    """What a turn says: its content, and its tool calls as JSON text. Reasoning is left out."""
    return "\n".join(filter(None, (message["content"], calls_text(message))))


def shown_turn(message: Mapping[str, Any]) -> str:
    """A turn for people to read: its reasoning, if any, its content and its tool calls."""
    thought = message.get("reasoning")
    return (f"[reasoning]\n{thought}\n[/reasoning]\n\n" if thought else "") + turn_text(message)


def has_reasoning(row: Mapping[str, Any]) -> bool:
    """Whether a turn of the row has reasoning beside its content."""
    return any(message.get("reasoning") for message in row["messages"])


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
    """The whole conversation as plain text, its turns separated by blank lines; it is embedded and deduplicated."""
    return JOIN.join(filter(None, map(turn_text, row["messages"])))
