"""X6, X7: answers to what the row does not hold, and answers that claim to have acted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.prompt_intent import CODE, DIALOGUE, LETTER
from .phrases import IMPOSSIBLE, IMPOSSIBLE_CUES
from .row import Fields, Hit, Part, has_any, shown

_THING = (
    r"(?:image|picture|photo(?:graph)?|screenshot|diagram|chart|graph|figure|attachment|document|file|pdf"
    r"|spreadsheet|video|recording"
    r"|audio(?: clip)?|map|drawing|painting|link|url|slide(?:s)?|scan)"
)
_TEXT = (
    r"(?:article|passage|paragraph|text|story|excerpt|essay|e-?mail|letter|review|poem|report|contract"
    r"|abstract|table|dataset|transcript|code|snippet|tweet|speech)"
)
_ATTACHED = re.compile(
    rf"<\s*{_THING}[^<>]{{0,30}}>|\[\s*(?:attached )?{_THING}(?: (?:attached|here|\d))?\s*\]|!\[[^\]]*\]\(\s*https?://"
    rf"|\b(?:see|look at|open|view|in|from|using|use|watch|listen to|read|check) (?:the |this |my "
    rf"|your )?(?:attached|enclosed)\b"
    rf"|\b(?:the|this|my|attached|following|given|these|above|below) (?:attached|enclosed"
    rf"|uploaded) (?:{_THING}|{_TEXT})"
    rf"|\b(?:attached|enclosed|uploaded) {_THING}\b"
    rf"|\b{_THING}s? (?:attached|below|above|shown here)\b|\b(?:following|above|given) {_THING}s?\b"
    r"|\b(?:from|at|in|behind|on|via|through) (?:the|this) (?:link|url|attachment|video|recording|photo|picture)\b"
    r"|附件中|如图所示|见附图|下图|上图|附图"
)
_ABOVE = re.compile(
    rf"\b(?:the|this) {_TEXT} (?:below|above|attached|here)\b|\b(?:the|this) (?:above|below|attached"
    rf"|enclosed) {_TEXT}\b"
    rf"|\bthe (?:following|given|provided) {_TEXT}s?[.!?]?\s*\Z"
    r"|(?:上述|以上|下面|下列|以下)的?(?:文章|段落|文本|短文|故事)[。？！]?\s*\Z"
)
_REFERENCE_CUES = (
    "attach", "enclos", "upload", "image", "picture", "photo", "screenshot", "diagram", "chart", "graph", "figure",
    "document", "file", "pdf", "spreadsheet", "video", "recording", "audio", "map", "drawing", "painting", "link",
    "url", "slide", "](", "scan", "below", "above", "the following", "the given", "provided", " here", "附", "图",
    "上述", "以上", "下面", "下列", "以下",
)  # fmt: skip
_ABOUT = re.compile(
    r"\b(?:how|create|make|design|draw|generate|write|build|attach|upload|embed|what is|what are|why|code"
    r"|html|resize|convert|imagine|script)\b"
)
_POINTS = re.compile(r"\b(?:above|below|attached|enclosed|uploaded|shown here|at the (?:link|url))\b")
_ONLY_URL = re.compile(r"\s*(?:https?://|www\.)\S+\s*")
_OF_ADDRESSES = re.compile(r"\bdomains?\b|\bshorten|\bpars(?:e|ing)|\bencod|\bvalid|\bextension\b|\bprotocol")
_ASKING = re.compile(
    r"please (?:provide|share|send|attach|paste|upload)|could you (?:please )?(?:provide|share|send|paste)"
    r"|(?:can(?:no|['’])t|cannot|unable to|not able to|don['’]t) (?:see|view|open|access|have|read|hear|watch)"
    r"|no (?:image|text|article|attachment|passage|file|photo|picture|input|link|document)\b.{0,40}(?:provided"
    r"|attached|given|included|in your)|was not (?:provided|attached|included)|请(?:提供|上传|发送)"
    r"|无法(?:查看|看到|打开)"
)


def missing_reference(row: Fields, threshold: float) -> Iterator[Hit]:
    """An attachment, image, link or text that the prompt refers to and the row does not hold.

    An input, or `threshold` words or more after the reference, count as held. Drops where only a URL or a marker of
    an attachment stands in its place and the answer makes its content up.
    """
    first = row.instruction
    given = row.input.text
    if len(first.text) > 400 or len(given) > 400 or not row.single:
        return
    lower = first.lower
    bare = bool(given and (_ONLY_URL.fullmatch(given) or (len(given.split()) <= 8 and _attached(given.lower()))))
    if not bare and (given or not has_any(lower, _REFERENCE_CUES)):
        return
    found = _attached(lower) or (_ABOVE.search(lower) if "\n" not in first.text.strip() else None)
    if not (bare or found):
        return
    if (
        CODE.search(lower)
        or (bare and _OF_ADDRESSES.search(lower))
        or (
            found
            and not bare
            and (_own_text(first, found, threshold) or (_ABOUT.match(lower) and not _POINTS.search(found.group())))
        )
    ):
        return
    asks = _ASKING.search(row.response.lower) is not None
    span = found.span() if found and len(lower) == len(first.text) else (-1, -1)
    what = shown(found.group()) if found and not bare else f"the whole input of: {shown(first.text, 80)}"
    yield Hit(
        row.input if bare else first,
        *(span if not bare else (0, len(given))),
        what,
        action="drop" if bare and not asks and not _ONLY_URL.fullmatch(given) else "flag",
    )


def _attached(lower: str) -> re.Match[str] | None:
    return _ATTACHED.search(lower) if has_any(lower, _REFERENCE_CUES) else None


def _own_text(part: Part, found: re.Match[str], threshold: float) -> bool:
    """Whether the instruction itself goes on with what it refers to: after a colon, in quotes, or at length."""
    rest = part.text[found.end() :]
    return (
        len(rest.split()) >= threshold
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
            r"\W*(?:please |can you |could you )?(?:send|book|order|buy|schedule|delete|upload|download|attach"
            r"|call|text|set|change|increase|decrease|turn|play|open|update|print|post|reserve|transfer|pay"
            r"|crop|resize|edit|remind|show|draw|insert|add)\b|(?:请|帮我|给).{0,8}(?:发|预订|删除|设置|提醒|上传)"
            r"|\W*(?:env[ií]a|manda|envoie|sende|schick|reserva|réserve|buche)\w*\b",
            question,
        )
        if not commanded and (
            LETTER.search(question)
            or DIALOGUE.search(question)
            or re.search(
                r"\b(?:write|rewrite|compose|story|sentence|translate|paraphrase|convert|passive|edit|complete"
                r"|generate|create|summar|rephrase|tense|classify)",
                question,
            )
        ):
            continue
        if commanded or len(part.words) < 40:
            yield Hit(part, *found.span(), shown(found.group()))
