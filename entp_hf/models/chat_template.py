"""Chat templates: conversations as tokens, with a mask of the assistant's tokens."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..schema import JOIN

logger = logging.getLogger(__name__)
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Conversations that a training template has to render just as the model's own template does.
_PROBES: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    [
        {"role": "system", "content": "Be brief.\n"},
        {"role": "user", "content": " Two lines:\n\n{{ a }} "},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Again, é 你好"},
        {"role": "assistant", "content": "\n  kept as it is \n"},
    ],
)


def training_template(tokenizer: Any) -> str:
    """A chat template with `{% generation %}` markers that renders the same text as the tokenizer's own.

    The own template if it has markers, else the one in `templates/` that renders the same, else TRL's patched one.
    Raises InputError if there is none.
    """
    own = tokenizer.chat_template
    own = own.get("default") if isinstance(own, Mapping) else own
    if not own:
        raise InputError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template, so conversations can't be rendered; "
            "use an instruction-tuned model, or set one in its chat_template.jinja"
        )
    if _MARKER.search(own):
        return str(own)
    for file in importlib.resources.files("entp_hf.templates").iterdir():
        if file.name.endswith(".jinja"):
            candidate = file.read_text(encoding="utf-8")
            if _renders_same(tokenizer, own, candidate):
                return candidate
    return _patched_by_trl(tokenizer, own)


def given_template(name: str) -> str:
    """The text of a template file, or of one that is shipped by name (tulu). Raises InputError.

    It must have `{% generation %}` marks: there is no other template of the model to render the same as.
    """
    shipped = importlib.resources.files("entp_hf.templates") / f"{name}_training.jinja"
    file: Any = Path(name)
    if not file.is_file():
        if not shipped.is_file():
            raise InputError(f"chat_template {name}: is no file, and no shipped template; shipped: tulu, smollm2")
        file = shipped
    text = str(file.read_text(encoding="utf-8"))
    if not _MARKER.search(text):
        raise InputError(f"chat_template {name}: has no {{% generation %}} marks around the assistant's content")
    return text


def _renders_same(tokenizer: Any, own: str, candidate: str) -> bool:
    from jinja2.exceptions import TemplateError

    def render(template: str, probe: list[dict[str, str]], prompt: bool) -> str:
        options = {"chat_template": template, "tokenize": False, "add_generation_prompt": prompt}
        try:
            return str(tokenizer.apply_chat_template(probe, **options))
        except TemplateError as error:  # templates refuse roles this way; the other one has to refuse them too
            return f"refused: {error}"

    cases = [(probe, False) for probe in _PROBES] + [(probe[:-1], True) for probe in _PROBES]
    return all(render(own, *case) == render(candidate, *case) for case in cases)


def _patched_by_trl(tokenizer: Any, own: str) -> str:
    problem = "and TRL is not installed, which knows more of them (pip install 'entp-hf[train]')"
    if importlib.util.find_spec("trl"):
        from trl.chat_template_utils import get_training_chat_template

        try:
            return str(get_training_chat_template(tokenizer) or own)
        except ValueError as error:
            problem = f"and TRL has none either ({error})"
    raise InputError(
        f"{tokenizer.name_or_path}: its chat template has no {{% generation %}} markers, no template of this package "
        f"renders the same text, {problem}. Put the markers around the assistant's content and stop token in its "
        "chat_template.jinja"
    )


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens: `ids`, a 0/1 `mask` of the tokens to train on, and what the template could not take.

    `outcomes` are keys of `OUTCOMES`.
    """

    ids: list[int]
    mask: list[int]
    outcomes: tuple[str, ...] = ()


OUTCOMES = {  # what happens to rows that a chat template has no place for, in words
    "folded": "the chat template refuses their roles: a system turn went into the user's, turns of one role were "
    "joined, an answer before any question was cut",
    "refused": "the chat template refuses their roles, and they are not trained on",
    "calls_as_text": "the chat template has no place for tool calls, which are written as JSON in the content",
    "tools_not_rendered": "the chat template has no place for tool definitions, which the model does not see",
    "reasoning_as_text": "the chat template has no place for reasoning, which is written in <think> marks instead",
    "weights_not_placed": "their turns of weight 0 could not be found among the tokens, and they are not trained on",
}


def turns_for_template(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The turns with the keys that chat templates know.

    Reasoning is `reasoning_content` (Qwen3, GLM, DeepSeek) and `thinking` (gpt-oss); the arguments of tool calls are
    objects. An assistant turn before a tool turn whose content is a call as JSON, as ShareGPT sets have it, is a call.
    """
    following = [message["role"] for message in messages[1:]] + [""]
    return [_turn(message, then) for message, then in zip(messages, following, strict=True)]


def _turn(message: Mapping[str, Any], then: str) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message["role"], "content": message["content"] or ""}
    if thought := message.get("reasoning") or message.get("reasoning_content"):
        turn |= {"reasoning_content": thought, "thinking": thought}
    calls = message.get("tool_calls")
    if not calls and (message["role"], then) == ("assistant", "tool"):
        calls = _written_calls(turn["content"])
        turn["content"] = "" if calls else turn["content"]
    if calls:
        turn["tool_calls"] = [
            {
                **{key: value for key, value in call.items() if value is not None},
                "function": {**call["function"], "arguments": _arguments(call["function"].get("arguments"))},
            }
            for call in calls
        ]
    return turn | {key: message[key] for key in ("tool_call_id", "name") if message.get(key)}


def _written_calls(content: str) -> list[dict[str, Any]]:
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return []
    calls = read if isinstance(read, list) else [read]
    known = all(isinstance(call, dict) and isinstance(call.get("name"), str) and "arguments" in call for call in calls)
    return [{"type": "function", "function": call} for call in calls] if known else []


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return {} if value is None else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def folded(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conversation for templates that refuse roles: user and assistant by turns, the user first, no system turn.

    System turns go into the user turn that follows, turns of one role are joined, answers before any question cut.
    """
    out: list[dict[str, Any]] = []
    system: list[str] = []
    for message in messages:
        turn = dict(message)
        if turn["role"] == "system":
            system.append(turn["content"])
            continue
        if turn["role"] == "user" and system:
            turn["content"] = JOIN.join(filter(None, [*system, turn["content"]]))
            system = []
        if not out and turn["role"] == "assistant":
            continue
        if out and out[-1]["role"] == turn["role"] and turn["role"] != "tool" and "tool_calls" not in out[-1]:
            out[-1] = {**out[-1], **turn, "content": JOIN.join(filter(None, [out[-1]["content"], turn["content"]]))}
        else:
            out.append(turn)
    return out


def encode(
    tokenizer: Any,
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    template: str,
    tools: Sequence[Any] | None = None,
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each conversation, and a 0/1 mask of the same length: 1 for the assistant's tokens and its stop.

    Args:
        tokenizer: with a chat template.
        conversations: turns as `schema.TURN`.
        template: a training template.
        tools: of each conversation, tool definitions as JSON text or null.

    A conversation that the template refuses, folded too, is one token that is not trained on.

    """
    given = tools or [None] * len(conversations)
    pairs = zip(conversations, given, strict=True)
    if all(not tool and not any(set(turn) & _RICH and _is_rich(turn) for turn in turns) for turns, tool in pairs):
        try:
            return _encode_plain(tokenizer, conversations, template)
        except _template_error():
            pass
    rows = [
        encode_row(tokenizer, messages, template, tool) for messages, tool in zip(conversations, given, strict=True)
    ]
    return [row.ids for row in rows], [row.mask for row in rows]


_RICH = {"reasoning", "reasoning_content", "tool_calls", "tool_call_id", "name", "weight"}


def _is_rich(turn: Mapping[str, Any]) -> bool:
    return any(turn.get(key) is not None for key in _RICH) or turn["role"] == "tool"


def _template_error() -> type[Exception]:
    from jinja2.exceptions import TemplateError

    return TemplateError


def _encode_plain(
    tokenizer: Any, conversations: Sequence[Sequence[Mapping[str, Any]]], template: str, **options: Any
) -> tuple[list[list[int]], list[list[int]]]:
    if not conversations:
        return [], []
    keys = ("role", "content")
    turns = [[{k: turn[k] for k in keys} for turn in messages] for messages in conversations]
    encoded = tokenizer.apply_chat_template(
        turns,
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **options,
    )
    return encoded["input_ids"], encoded["assistant_masks"]


def encode_row(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    template: str,
    tools: str | None = None,
    *,
    train_on_reasoning: bool = True,
    fold: bool = True,
) -> Encoded:
    """One conversation as tokens, with its tools, tool calls, reasoning and weights.

    Args:
        tokenizer: with a chat template.
        messages: turns as `schema.TURN`.
        template: a training template.
        tools: tool definitions as JSON text, or null.
        train_on_reasoning: whether reasoning counts among the tokens to train on.
        fold: whether a conversation whose roles the template refuses is folded; else it is refused.

    """
    turns, outcomes = turns_for_template(messages), []
    weights = [message.get("weight") for message in messages]
    options = {"tools": defined} if (defined := _definitions(tools)) else {}
    refused = Encoded([_first_token(tokenizer)], [0], ("refused",))
    text = _render(tokenizer, turns, template, options)
    if text is None:
        if not fold:
            return refused
        turns, weights, outcomes = folded(turns), [], ["folded"]
        if (
            any(message.get("weight") == 0 for message in messages)
            or (text := _render(tokenizer, turns, template, options)) is None
        ):
            return refused
    turns, more = _written_out(tokenizer, turns, template, options)
    if more:
        outcomes += more
        text = _render(tokenizer, turns, template, options) or text
    encoded = tokenizer.apply_chat_template(
        [turns], chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **options
    )
    ids, mask = encoded["input_ids"][0], list(encoded["assistant_masks"][0])
    hidden = [] if train_on_reasoning else _reasoning_spans(text, turns)
    silent = [i for i, weight in enumerate(weights) if weight == 0]
    if hidden or silent:
        offsets = _offsets(tokenizer, text, ids)
        if offsets is None or (silent and not _silence(mask, offsets, text, turns, silent)):
            return Encoded(ids, [0] * len(ids), (*outcomes, "weights_not_placed"))
        for start, end in hidden:
            mask = [
                0 if begin < end and start < stop else one for one, (begin, stop) in zip(mask, offsets, strict=True)
            ]
    return Encoded(ids, mask, tuple(outcomes))


def _first_token(tokenizer: Any) -> int:
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return int(first or 0)


def _definitions(tools: str | None) -> list[Any]:
    """Tool definitions from their JSON text; [] for none, and for a text that is none."""
    if not tools:
        return []
    try:
        read = json.loads(tools)
    except (ValueError, RecursionError):
        return []
    found = read if isinstance(read, list) else [read]
    known = [tool for tool in found if isinstance(tool, dict)]
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in known]


def _render(
    tokenizer: Any, turns: Sequence[Mapping[str, Any]], template: str, options: Mapping[str, Any]
) -> str | None:
    """The text of the conversation; None where the template refuses it."""
    try:
        return str(tokenizer.apply_chat_template(list(turns), chat_template=template, tokenize=False, **options))
    except (_template_error(), TypeError, KeyError, AttributeError, ValueError):
        return None


def _written_out(
    tokenizer: Any, turns: list[dict[str, Any]], template: str, options: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Turns with calls and reasoning in their content where the template leaves them out, and the outcomes.

    What it leaves out is found by rendering the turns with a word in the place of names and thoughts.
    """
    calls = any("tool_calls" in turn for turn in turns)
    thoughts = [turn for turn in turns if turn.get("reasoning_content")]
    if not calls and not thoughts and not options:
        return turns, []
    probes = [_probe(turn) for turn in turns]
    tools = [{**tool, "function": {**tool["function"], "name": _TOOL}} for tool in options.get("tools", [])]
    text = _render(tokenizer, probes, template, {"tools": tools} if tools else {}) or ""
    outcomes = []
    if calls and _CALLED not in text:
        outcomes.append("calls_as_text")
        turns = [_calls_in_content(turn) for turn in turns]
    if tools and _TOOL not in text:
        outcomes.append("tools_not_rendered")
    if thoughts and _THOUGHT not in text:
        outcomes.append("reasoning_as_text")
        turns = [_reasoning_in_content(turn) for turn in turns]
    return turns, outcomes


_CALLED, _TOOL, _THOUGHT = "entpprobecalled", "entpprobetool", "entpprobethought"


def _probe(turn: dict[str, Any]) -> dict[str, Any]:
    probe = dict(turn)
    if "tool_calls" in turn:
        probe["tool_calls"] = [{**c, "function": {**c["function"], "name": _CALLED}} for c in turn["tool_calls"]]
    if turn.get("reasoning_content"):
        probe |= {"reasoning_content": _THOUGHT, "thinking": _THOUGHT}
    return probe


def _reasoning_in_content(turn: dict[str, Any]) -> dict[str, Any]:
    if not turn.get("reasoning_content"):
        return turn
    return {**turn, "content": f"<think>\n{turn['reasoning_content'].strip()}\n</think>\n\n{turn['content']}"}


def _calls_in_content(turn: dict[str, Any]) -> dict[str, Any]:
    if "tool_calls" not in turn:
        return turn
    functions = [{k: call["function"].get(k) for k in ("name", "arguments")} for call in turn["tool_calls"]]
    written = json.dumps(functions[0] if len(functions) == 1 else functions, ensure_ascii=False)
    rest = {key: value for key, value in turn.items() if key != "tool_calls"}
    return {**rest, "content": "\n".join(filter(None, (turn["content"], written)))}


def _reasoning_spans(text: str, turns: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Where reasoning stands in the rendered text, its marks included."""
    spans, at = [], 0
    for turn in turns:
        thought = (turn.get("reasoning_content") or "").strip()
        start = text.find(thought, at) if thought else -1
        if start >= 0:
            end = start + len(thought)
            opening, closing = _OPENING.search(text[:start]), _CLOSING.match(text[end:])
            spans.append((opening.start() if opening else start, end + closing.end() if closing else end))
            at = end
    return spans


_OPENING = re.compile(r"<(?:think|thinking|thought)>\s*\Z")
_CLOSING = re.compile(r"\s*</(?:think|thinking|thought)>\s*")


def _offsets(tokenizer: Any, text: str, ids: Sequence[int]) -> list[tuple[int, int]] | None:
    """Where each token stands in the rendered text; None where the tokenizer can't tell."""
    try:
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    except NotImplementedError:
        return None
    return list(found["offset_mapping"]) if list(found["input_ids"]) == list(ids) else None


def _silence(
    mask: list[int],
    offsets: Sequence[tuple[int, int]],
    text: str,
    turns: Sequence[Mapping[str, Any]],
    silent: Sequence[int],
) -> bool:
    """Set the mask of the turns `silent` to 0, with their stop tokens; False where one can't be found."""
    at, places = 0, []
    for turn in turns:
        calls = turn.get("tool_calls") or ()
        probe = turn["content"].strip() or (calls[0]["function"]["name"] if calls else "")
        start = text.find(probe, at) if probe else -1
        places.append(start)
        at = max(at, start + len(probe))
    for number in silent:
        if turns[number]["role"] != "assistant":
            continue
        inside = [i for i, (begin, end) in enumerate(offsets) if begin <= places[number] < end and mask[i]]
        if places[number] < 0 or not inside:
            return False
        first = last = inside[0]
        while first and mask[first - 1]:
            first -= 1
        while last + 1 < len(mask) and mask[last + 1]:
            last += 1
        mask[first : last + 1] = [0] * (last + 1 - first)
    return True
