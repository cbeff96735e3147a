"""X1-X3, X5-X9: rows that may have nothing usable. They drop on clear cases and flag the others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..schema import JOIN, Message
from .cues import CODE, COPYING, DIALOGUE, EDITING, FILLER_WANTED, LETTER, SYMBOLS
from .lexicon import IMPOSSIBLE, IMPOSSIBLE_CUES
from .masks import FILLER
from .rows import Fields, Hit, Part, has_any, shown

_NOTHING = re.compile(
    r"\W*(?:no[ _-]?output|n/?a|n\.a\.|null|nan|undefined|none given|no (?:answer|response))\W*", re.I
)
_SPACE = re.compile(r"\s+")
_LOREM = re.compile(
    r"\blorem ipsum\b|\bdolor sit amet\b|\bconsectetur adipiscing\b|\b(?:asdf|qwer|hjkl)(?:jkl|ty|gh)?\w?\b|\b(test)(?: \1){2,}"
    r"|\b(blah)(?:,? \2){2,}|\bfoo bar baz\b",
    re.I,
)
_RECORD = re.compile(
    r"(?m)^[ \t]*(?:#{1,4}[ \t]*(?:\d{1,2}\.[ \t]*)?(?:Instruction|Input|Output|Response)[ \t]*:"
    r"|\d{1,2}\.[ \t]*(?:Instruction|Input|Output)[ \t]*:)"
)
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
    wanted = text.lower() in row.prompt if any(c.isalnum() for c in text) else text and row.asks(SYMBOLS)
    if not wanted:
        yield Hit(part, 0, len(part.text), shown(text) or "nothing", action="drop")


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

    The same text drops; nearly the same, or a long passage handed back, is flagged. Tasks that edit are exempt from
    nearly, tasks whose answer can be the input itself (correct, extract, sort) from both.
    """
    for part in row.answers:
        answer = _plain(part.text)
        for source in row.parts:
            size = len(source.text)
            if source.turn != part.turn - 1 or source.field not in ("instruction", "input") or size < 8:
                continue
            if not size * 0.75 <= len(part.text) <= size * 1.4:
                continue
            share = _likeness(answer, _plain(source.text))
            if share >= threshold and (action := _echo_action(row, part, source, share)):
                yield Hit(part, 0, len(part.text), f"{share:.0%} like the {source.field}", share, action)
                break


def _likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    # Texts that share neither their first nor their last letters are no copies: spares the costly comparison.
    if one[:3] != other[:3] and one[-3:] != other[-3:]:
        return 0.0
    from rapidfuzz import fuzz

    return min(float(fuzz.ratio(one, other)) / 100, 0.999)


def _echo_action(row: Fields, part: Part, source: Part, share: float) -> str:
    """ "drop", "flag" or, where the task asks for such an answer, ""."""
    asked = next((p for p in row.parts if p.turn == source.turn and p.field == "instruction"), source).text.lower()
    if source.field == "instruction":
        if _SAY.search(asked) or (share < 1 and (COPYING.search(asked) or EDITING.search(asked))):
            return ""
        return "drop" if share == 1 else "flag"
    if COPYING.search(asked) or (share < 1 and EDITING.search(asked)):
        return ""
    return "drop" if share == 1 and source.length < 30 else "flag"


_SAY = re.compile(r"\b(?:repeat|copy|echo|say|verbatim|print|correct|translat\w*|proof ?read)\b|重复|翻译")


def filler_text(row: Fields, threshold: float) -> Iterator[Hit]:
    """Lorem ipsum, asdf, "test test test": drops where they are over `threshold` of the answer's words."""
    for part in row.answers:
        lower = part.lower
        if not any(
            cue in lower
            for cue in ("lorem", "dolor sit", "asdf", "qwer", "hjkl", "test test", "blah", "foo bar", "adipiscing")
        ):
            continue
        found = [m for m in _LOREM.finditer(part.prose) if FILLER not in m.group()]
        if not found or FILLER_WANTED.search(row.question_before(part)):
            continue
        covered = (
            len(part.prose) if "lorem ipsum" in lower and len(part.words) < 40 else sum(len(m.group()) for m in found)
        )
        share = covered / len(part.prose)
        yield Hit(part, *found[0].span(), shown(found[0].group()), share, "drop" if share > threshold else "flag")


_THING = (
    r"(?:image|picture|photo(?:graph)?|screenshot|diagram|chart|graph|figure|attachment|document|file|pdf|spreadsheet|video|recording"
    r"|audio(?: clip)?|map|drawing|painting|link|url|slide(?:s)?|scan)"
)
_TEXT = r"(?:article|passage|paragraph|text|story|excerpt|essay|e-?mail|letter|review|poem|report|contract|abstract|table|dataset|transcript|code|snippet|tweet|speech)"
_ATTACHED = re.compile(
    rf"<\s*{_THING}[^<>]{{0,30}}>|\[\s*(?:attached )?{_THING}(?: (?:attached|here|\d))?\s*\]|!\[[^\]]*\]\(\s*https?://"
    rf"|\b(?:see|look at|open|view|in|from|using|use|watch|listen to|read|check) (?:the |this |my |your )?(?:attached|enclosed)\b"
    rf"|\b(?:the|this|my|attached|following|given|these|above|below) (?:attached|enclosed|uploaded) (?:{_THING}|{_TEXT})"
    rf"|\b(?:attached|enclosed|uploaded) {_THING}\b"
    rf"|\b{_THING}s? (?:attached|below|above|shown here)\b|\b(?:following|above|given) {_THING}s?\b"
    r"|\b(?:from|at|in|behind|on|via|through) (?:the|this) (?:link|url|attachment|video|recording|photo|picture)\b"
    r"|附件中|如图所示|见附图|下图|上图|附图"
)
_ABOVE = re.compile(
    rf"\b(?:the|this) {_TEXT} (?:below|above|attached|here)\b|\b(?:the|this) (?:above|below|attached|enclosed) {_TEXT}\b"
    rf"|\bthe (?:following|given|provided) {_TEXT}s?[.!?]?\s*\Z"
    r"|(?:上述|以上|下面|下列|以下)的?(?:文章|段落|文本|短文|故事)[。？！]?\s*\Z"
)
_REFERENCE_CUES = (
    "attach", "enclos", "upload", "image", "picture", "photo", "screenshot", "diagram", "chart", "graph", "figure", "document",
    "file", "pdf", "spreadsheet", "video", "recording", "audio", "map", "drawing", "painting", "link", "url", "slide", "scan",
    "below", "above", "the following", "the given", "provided", " here", "附", "图", "上述", "以上", "下面", "下列", "以下",
)  # fmt: skip
_ABOUT = re.compile(
    rf"\b(?:how|create|make|design|draw|generate|write|build|attach|upload|embed|what is|what are|why|code|html|resize|convert|imagine|script)\b"
)
_ONLY_URL = re.compile(r"\s*(?:https?://|www\.)\S+\s*")
_ASKING = re.compile(
    r"please (?:provide|share|send|attach|paste|upload)|could you (?:please )?(?:provide|share|send|paste)|(?:can(?:no|['’])t|cannot|unable to|not able to|don['’]t) (?:see|view|open|access|have|read|hear|watch)"
    r"|no (?:image|text|article|attachment|passage|file|photo|picture|input|link|document)\b.{0,40}(?:provided|attached|given|included|in your)|was not (?:provided|attached|included)|请(?:提供|上传|发送)|无法(?:查看|看到|打开)"
)


def missing_reference(row: Fields, threshold: float) -> Iterator[Hit]:
    """An attachment, image, link or text that the prompt refers to and the row does not hold.

    Context of `threshold` words or more beside the reference counts as held. Drops where only a URL or a marker of
    an attachment stands in its place and the answer makes its content up.
    """
    first = row.instruction
    given = row.input.text
    if len(first.text) > 400 or len(given) > 400 or not row.single:
        return
    lower = first.lower
    bare = bool(
        given and (_ONLY_URL.fullmatch(given) or (_ATTACHED.search(given.lower()) and len(given.split()) <= 8))
    )
    held = row.input.length if given and not bare else 0
    if not bare and not has_any(lower, _REFERENCE_CUES):
        return
    found = _ATTACHED.search(lower) or (_ABOVE.search(lower) if "\n" not in first.text.strip() else None)
    if not (bare or found) or held >= threshold or (given and not bare):
        return
    if CODE.search(lower) or (found and not bare and (_own_text(first, found) or _ABOUT.match(lower))):
        return
    asks = _ASKING.search(row.response.lower) is not None
    span = found.span() if found and len(lower) == len(first.text) else (-1, -1)
    what = found.group() if found else given
    yield Hit(row.input if bare else first, *(span if not bare else (0, len(given))), shown(what),
              action="drop" if bare and not asks and not _ONLY_URL.fullmatch(given) else "flag")  # fmt: skip


def _own_text(part: Part, found: re.Match[str]) -> bool:
    """Whether the instruction itself goes on with what it refers to: after a colon, in quotes, or at length."""
    rest = part.text[found.end() :]
    return (
        len(rest.split()) >= 20
        or re.search(r"[:：]\s*\S", rest) is not None
        or re.search(r"[\"“«「『'‘`][^\"”»」』]{8,}", rest) is not None
        or part.mask.spans != ()
    )


def impossible_action(row: Fields, threshold: float) -> Iterator[Hit]:
    """An answer that claims an action in the world: "I have sent the email". Letters and dialogues may say so."""
    for part in row.answers:
        lower = part.lower
        if not has_any(lower[:400], IMPOSSIBLE_CUES):
            continue
        found = IMPOSSIBLE.search(lower[:400])
        if found is None:
            continue
        question = row.question_before(part)
        commanded = re.match(
            r"\W*(?:please |can you |could you )?(?:send|book|order|buy|schedule|delete|upload|download|attach|call|text|set|change|increase|decrease|turn|play|open|update|print|post|reserve|transfer|pay|crop|resize|edit|remind|show|draw|insert|add)\b",
            question,
        )
        if not commanded and (
            LETTER.search(question)
            or DIALOGUE.search(question)
            or re.search(
                r"\b(?:write|rewrite|compose|story|sentence|translate|paraphrase|convert|passive|edit|complete|generate|create|summar|rephrase|tense|classify)",
                question,
            )
        ):
            continue
        if commanded or len(part.words) < 40:
            yield Hit(part, *found.span(), shown(found.group()))


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
        kept = part.text[: found.start()].rstrip()
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
        elif len(part.text) >= 600 and len(part.text) > 24 * part.text.count(" "):
            yield from _dumps(part)


def _dumps(part: Part) -> Iterator[Hit]:
    dumped = sum(len(m.group()) for m in _DUMP.finditer(part.text))
    word = _LONG.search(part.text)
    if dumped > 0.3 * len(part.text):
        yield Hit(part, detail=f"{dumped} characters of encoded data", score=dumped / len(part.text), action="flag")
    elif word and part.script.spaced and "://" not in word.group()[:12] and not part.is_json:
        yield Hit(part, *word.span(), f"a word of {len(word.group())} characters", action="flag")
