"""X1-X3, X5-X9: rows that may have nothing usable. They drop on clear cases and flag the others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..schema import JOIN, Message
from ..text.prompt_intent import COPYING, EDITING, ELABORATE, FILLER_WANTED, SYMBOLS
from .masks import FILLER
from .row import Fields, Hit, Part, has_any, shown

_NOTHING = re.compile(
    r"\W*(?:no[ _-]?output|n/?a|n\.a\.|null|nan|undefined|none given|no (?:answer|response))\W*", re.I
)
_SPACE = re.compile(r"\s+")
_LOREM = re.compile(
    r"\blorem ipsum\b|\bdolor sit amet\b|\bconsectetur adipiscing\b"
    r"|\b(?:asdf|hjkl)(?:asdf|qwer|jkl|gh)*\w?\b|\b(?:qwer(?:ty)?\s*){2,}\b"
    r"|\b(test)(?: \1){2,}"
    r"|\b(blah)(?:,? \2){2,}|\bfoo bar baz\b",
    re.I,
)
_RULES_BELOW = re.compile(r"(?:\s|^[#*_/\\=-]+[ \t]*$)+\Z", re.M)  # separator between two records
_FILLER_CUES = ("lorem", "dolor sit", "asdf", "qwer", "hjkl", "test test", "blah", "foo bar", "adipiscing")
_RECORD = re.compile(
    r"(?m)^[ \t]*(?:#{1,4}[ \t]*(?:\d{1,2}\.[ \t]*)?(?:Instruction|Input|Output|Response)[ \t]*:"
    r"|\d{1,2}\.[ \t]*(?:Instruction|Input|Output)[ \t]*:)"
)
_ADDRESS = re.compile(r"\b\w+://\S+|\bdata:\w+/\S+")
_LONG = re.compile(r"\S{1000,}")
_DUMP = re.compile(r"[A-Za-z0-9+/]{200,}={0,2}|(?:[0-9a-fA-F]{2}[ :]?){120,}")
ROLES = {"system", "user", "assistant", "tool"}


def says_nothing(text: str) -> bool:
    """Whether a stripped text has no letter, digit, symbol or emoji, or only says that there is no answer."""
    if any(c.isalnum() for c in text):
        return _NOTHING.fullmatch(text) is not None
    return _SIGN.search(text) is None


_SIGN = re.compile(r"[+<>=$€£°~^|\u2190-\u2bff\U0001f000-\U0001faff]")


def empty_answer(row: Fields, threshold: float) -> Iterator[Hit]:
    """A last answer without a word, unless punctuation, or this very "N/A", is what the prompt is about."""
    part = row.response
    text = part.text.strip()
    if part.field != "response" or len(text) > 40 or not says_nothing(text):
        return
    spelled = any(c.isalnum() for c in text)
    wanted = text.lower() in row.prompt if spelled else text and row.asks(SYMBOLS)
    if wanted or (spelled and _is_value(row.question_before(part))):
        return
    yield Hit(part, 0, len(part.text), shown(text) or "nothing", action="drop")


# Questions whose right answer may be a word for nothing: a value, a field, a case in which there is none.
_VALUE = re.compile(
    r"\b(?:return(?:s|ed)?|print(?:s|ed)?|values?|fields?|columns?|cells?|box|sheet|missing|empty|unknown|none|no\b"
    r"|does not apply|not apply|absent|blank|undefined|query|function|json|sql|yaml|variable|parameter|default"
    r"|0/0|enter"
    r"|fill(?:ed)? in|left open|without|placeholder|stands? for|wert|feld|valor|campo|valeur|champ)\b|值|字段|値"
)


def _is_value(question: str) -> bool:
    """Whether a value is asked for, not a text to write."""
    return _VALUE.search(question) is not None and not ELABORATE.search(question)


def broken_roles(row: Fields, threshold: float) -> Iterator[Hit]:
    """No question, no answer, unknown roles; user turns in a row are merged, turns after the last answer cut.

    System turns first, tool turns and several assistant or tool turns in a row are how tools are used.
    """
    roles = [m["role"] for m in row.messages]
    strange = [r for r in roles if r not in ROLES]
    if strange or "user" not in roles or "assistant" not in roles:
        missing = f"role {strange[0]!r}" if strange else "no user turn" if "user" not in roles else "no assistant turn"
        yield Hit(detail=missing, action="drop")
        return
    if not row.instruction.text.strip():
        yield Hit(row.instruction, detail="the instruction is empty", action="drop")
    last = max(i for i, role in enumerate(roles) if role == "assistant")
    if last < roles.index("user"):
        yield Hit(detail="no question before the answer", action="drop")
    elif last < len(roles) - 1 or any(a == b == "user" for a, b in zip(roles, roles[1:], strict=False)):
        yield Hit(detail=" ".join(roles[-6:]), messages=_joined(row.messages[: last + 1]))


def _joined(messages: object) -> tuple[Message, ...]:
    out: list[Message] = []
    for message in messages:  # type: ignore[attr-defined]
        if out and out[-1]["role"] == message["role"] == "user":
            out[-1] = {**out[-1], "content": out[-1]["content"] + JOIN + message["content"]}
        else:
            out.append(dict(message))
    return tuple(out)


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip().rstrip(".!?。！？ ")


def echo(row: Fields, threshold: float) -> Iterator[Hit]:
    """An answer that is the instruction or the input over again; `threshold`: least likeness (0-1) that counts.

    The same text drops; an instruction nearly the same, or a long passage handed back, is flagged. Tasks that edit are
    exempt from nearly, tasks whose answer can be the input itself (correct, extract, sort, name) from both.
    """
    for part in row.answers:
        hits: list[Hit] = []
        for source in row.parts:
            size = len(source.text)
            if source.turn != part.turn - 1 or source.field not in ("instruction", "input") or size < 8:
                continue
            if not size * 0.75 <= len(part.text) <= size * 1.4:
                continue
            share = _likeness(_plain(part.text), _plain(source.text))
            if source.field == "input" and source.length < 30 and part.text.strip() != source.text.strip():
                continue  # a short input handed back with a mark or a word changed is what most tasks ask for
            if share >= threshold and (action := _echo_action(row, part, source, share)):
                hits.append(Hit(part, 0, len(part.text), f"{share:.0%} like the {source.field}", share, action))
        if hits:
            yield max(hits, key=lambda hit: hit.score)


def _likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    # Texts that share neither their first nor their last letters are no copies: spares the costly comparison.
    if one[:3] != other[:3] and one[-3:] != other[-3:]:
        return 0.0
    from rapidfuzz import fuzz

    return min(float(fuzz.ratio(one, other)) / 100, 0.999)


def _echo_action(row: Fields, part: Part, source: Part, share: float) -> str:
    """An action: "drop", "flag" or, where the task asks for such an answer, ""."""
    asked = next((p for p in row.parts if p.turn == source.turn and p.field == "instruction"), source).text.lower()
    if source.field == "instruction":
        if _SAY.search(asked) or (share < 1 and (COPYING.search(asked) or EDITING.search(asked))):
            return ""
        return "drop" if share == 1 else "flag"
    if COPYING.search(asked) or (share < 1 and EDITING.search(asked)):
        return ""
    return "drop" if share == 1 and source.length < 30 else "flag"


def copied_block(row: Fields, threshold: float) -> Iterator[Hit]:
    """An answer of 15 words or more that is, to a share of `threshold`, one block copied from a longer prompt.

    Only where the prompt asks for words of one's own (summarise, explain, write): the answer to a question may stand
    in the text, and tasks that copy or edit are meant to. A prompt without an input must be twice as long. A share of
    0.95 drops, less is flagged.
    """
    for part in row.answers:
        if len(part.text) < 60 or not 0.5 < threshold <= 1:
            continue
        middle = len(part.text) // 2
        probe = max(part.text[middle : middle + 16].split() or [""], key=len)  # spares most rows the comparison
        for source in row.parts:
            least = 1.0 if source.field == "input" else 2.0  # a question taken up in the answer is no copy
            if source.turn != part.turn - 1 or len(source.text) <= least * len(part.text):
                continue
            if probe not in source.text or part.mask.spans:
                continue
            text, long = _SPACE.sub(" ", part.text).strip(), _SPACE.sub(" ", source.text)
            edge = int(len(text) * (1 - threshold))
            at = long.find(text[edge : len(text) - edge])
            if at < 0 or part.length < 15:
                continue
            share = _widened(text, long, edge, at) / len(text)
            question = row.question_before(part).removesuffix("\n" + row.input.text.lower())[:150]  # not the passage
            own = _OWN_WORDS.search(question) and not (COPYING.search(question) or EDITING.search(question))
            if share >= threshold and own:
                detail, action = f"{share:.0%} is copied from the {source.field}", "drop" if share >= 0.95 else "flag"
                yield Hit(part, 0, len(part.text), detail, share, action if part is row.response else "flag")
                break


def _widened(text: str, long: str, edge: int, at: int) -> int:
    """Length of the block that the middle of `text`, found at `at`, grows to on both sides."""
    left = 0
    while left < min(edge, at) and text[edge - left - 1] == long[at - left - 1]:
        left += 1
    end, stop, right = at + len(text) - 2 * edge, len(text) - edge, 0
    while right < edge and end + right < len(long) and text[stop + right] == long[end + right]:
        right += 1
    return len(text) - 2 * edge + left + right


_OWN_WORDS = re.compile(
    r"\bsummar|\bown words|\bexplain|\bdescribe|\bdiscuss|\banaly[sz]e|\binterpret|\bcompose"
    r"|\bwrite\b|\bcreate\b|\bgenerate\b|总结|概括|解释|描述|写|\bresum|\brésum|zusammen|erklär|\bexplic"
    r"|\bexpliqu|要約|説明|요약|설명|кратко|объясн|опиши|لخص|اشرح"
)
_SAY = re.compile(r"\b(?:repeat|copy|echo|say|verbatim|print|correct|translat\w*|proof ?read)\b|重复|翻译")


def filler_text(row: Fields, threshold: float) -> Iterator[Hit]:
    """Lorem ipsum, asdf, "test test test": drops where they are over `threshold` of the answer's words."""
    for part in row.answers:
        lower = part.lower
        if not has_any(lower, _FILLER_CUES):
            continue
        found = [m for m in _LOREM.finditer(part.prose) if FILLER not in m.group()]
        if not found or FILLER_WANTED.search(row.question_before(part)):
            continue
        covered = (
            len(part.prose) if "lorem ipsum" in lower and len(part.words) < 40 else sum(len(m.group()) for m in found)
        )
        share = covered / len(part.prose)
        yield Hit(part, *found[0].span(), shown(found[0].group()), share, "drop" if share > threshold else "flag")


def merged_records(row: Fields, threshold: float) -> Iterator[Hit]:
    """A second record inside the answer ("7. Instruction:"): cut at its label; nothing left drops the row."""
    for part in row.answers:
        text = part.prose
        if "nstruction" not in text and "nput" not in text and "utput" not in text and "esponse" not in text:
            continue
        found = next(
            (
                m
                for m in _RECORD.finditer(text)
                if "nstruction" in m.group() or m.group() in text[: m.start()] or _another(text, m)
            ),
            None,
        )
        if found is None or re.search(
            r"instruction:|### |few-shot|prompt (?:template|format)", row.question_before(part)
        ):
            continue
        kept = _RULES_BELOW.sub("", part.text[: found.start()])
        if kept:
            yield Hit(part, found.start(), len(part.text), shown(part.text[found.start() :]), text=kept)
        else:
            yield Hit(part, found.start(), len(part.text), shown(part.text), action="drop")


def _another(text: str, found: re.Match[str]) -> bool:
    return len({m.group().strip(" #0123456789.\t") for m in _RECORD.finditer(text)}) >= 2 and found.start() > 0


def corrupt_length(row: Fields, threshold: float) -> Iterator[Hit]:
    """Fields over `threshold` characters drop; words of 1000 characters and dumps over 30 % of a text are flagged."""
    for part in row.parts:
        if len(part.text) < 200 or part.field == "tool":
            continue
        if len(part.text) > threshold:
            yield Hit(part, detail=f"{len(part.text)} characters", action="drop")
        elif len(part.text) >= 600 and (len(part.text) > 24 * part.text.count(" ") or len(set(part.text[:400])) <= 20):
            yield from _dumps(part)


def _dumps(part: Part) -> Iterator[Hit]:
    dumped = sum(len(m.group()) for m in _DUMP.finditer(_ADDRESS.sub("", part.text)))
    word = _LONG.search(part.text)
    if dumped > 0.3 * len(part.text):
        yield Hit(part, detail=f"{dumped} characters of encoded data", score=dumped / len(part.text), action="flag")
    elif word and part.script.spaced and "://" not in word.group()[:12] and not part.is_json:
        yield Hit(part, *word.span(), f"a word of {len(word.group())} characters", action="flag")
