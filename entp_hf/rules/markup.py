"""R8-R13: markup, tokens, labels and phrases that were left around an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.prompt_intent import CODE, LETTER, MARKUP, SHOWS_MARKUP, STYLING, TOKENS
from ..text.reasoning import harmony_channels
from .code_syntax import finished
from .masks import FILLER
from .mentions import is_isolated, is_named, is_spoken_of
from .phrases import BOILERPLATE, BOILERPLATE_CUES, BOILERPLATE_CUES_BEYOND, LABELS, NO_INPUT
from .row import Fields, Hit, Part, has_any, shown

_TAG = re.compile(
    r"</?(?:p|br|hr|div|span|a|li|ul|ol|td|tr|th|table|tbody|thead|b|i|u|em|strong|h[1-6]|font|script|style|center)"
    r"(?:\s+[\w:-]+(?:\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"']+))?)*\s*/?>",
    re.I,
)
_DOCUMENT = re.compile(r"<!doctype|</?(?:html|head|body|form|input|button|nav|template|svg|xml)\b|<\?xml", re.I)
_SCRIPTED = re.compile(r"<(?:script|style)\b", re.I)
_LINK = re.compile(r"<a\s[^<>]*?href\s*=\s*[\"']([^\"'<>]*)[\"'][^<>]*>([^<>]*)</a\s*>", re.I)
_TOKEN = re.compile(
    r"<\|(?:im_start|im_end|im_user|im_assistant|im_middle|endoftext|eot_id|eom_id|eot|eom|begin_of_text|end_of_text"
    r"|start_header_id|end_header_id|header_start|header_end|assistant|user|system|observation|end|start|return|call"
    r"|message|endofprompt|pad|sep|fim_\w+|(?:START|END)_OF_TURN_TOKEN|(?:USER|CHATBOT|SYSTEM)_TOKEN)\|>"
    r"(?:[ \t]*(?:assistant|user|system)\b)?"
    r"|<｜(?:begin▁of▁sentence|end▁of▁sentence|User|Assistant)｜>"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>(?:(?:user|model)\b)?|</s>|<s>(?=\s|$)|\A\s*<s>|<(?:pad|unk"
    r"|bos|eos)>"
)
_TURN = re.compile(
    r"im_|eot|eom|endoftext|end_of|END_OF|START_OF|start|header|assistant|user|system|User|Assistant|INST|SYS|</s>"
    r"|<\|end\|>|_TOKEN|end▁of|<\|return"
)
_LAST = re.compile(
    r"(?:\A|(?<=[.!?…:;。！？؟])|(?<=[\n\U0001f300-\U0001faff]))[^\S\n]*([^.!?…。！？؟\n]+[.!?…。！？؟ 😊🙂☺️]*)\s*\Z"
)


def html_tags(row: Fields, threshold: float) -> Iterator[Hit]:
    """Known HTML tags in prose: turned into Markdown; scripts, or tags over a share of `threshold`, are flagged."""
    if "<" not in row.text or row.asks(MARKUP):
        return
    for part in row.prose_parts:
        if "<" not in part.prose or _DOCUMENT.search(part.prose):
            continue
        if part.field == "response" and _shows_tags(part, row.question_before(part)):
            continue  # the prompt's own turn first: if it is mended, this one follows
        tags = _TAG.findall(part.prose)
        if tags and _explains_tags(part.prose):
            continue
        if not tags or (len(tags) < 2 and not re.match(r"<br\b", tags[0], re.I)):
            continue
        share = sum(map(len, tags)) / len(part.prose)
        if _SCRIPTED.search(part.prose) or share > threshold:
            yield Hit(part, detail=f"{len(tags)} tags", score=share, action="flag")
            continue
        text = part.text
        for pattern, by in ((_LINK, r"[\2](\1)"), (_TAG, _markdown)):
            hit = Part(part.field, part.turn, text).replaced(pattern, by)
            text = hit.text if hit and hit.text is not None else text
        if not part.mask.spans:
            text = re.sub(r"\n{3,}", "\n\n", text).strip()
        first = next(_TAG.finditer(part.prose))
        yield Hit(part, *first.span(), f"{shown(first.group())} and {len(tags) - 1} more", text=text)


_CODE_SHOWN = re.compile(r"\bhtml\b|\btags?\b|\bcode\b|\bmarkup\b|\bbalises?\b|\betiquetas?\b|标签|タグ")
_PAIRED = re.compile(r"<(/?)(b|i|u|em|strong|a|span|h[1-6]|table|ul|ol|font|center)\b[^<>]*>", re.I)


def _shows_tags(part: Part, question: str) -> bool:
    about = SHOWS_MARKUP.search(question) or CODE.search(question) or STYLING.search(question)
    return bool(about or _CODE_SHOWN.search(part.lower))


def _explains_tags(text: str) -> bool:
    """Whether the text names tags: a verb before one, one as a word of a sentence, or one that is never closed."""
    found = list(_TAG.finditer(text))
    if any(is_named(text, *m.span()) for m in found[:50]):
        return True
    if any(_is_word(text, m) for m in found[:50]):
        return True
    opened = {m[2].lower() for m in _PAIRED.finditer(text) if not m[1]}
    closed = {m[2].lower() for m in _PAIRED.finditer(text) if m[1]}
    return bool(opened - closed) and not closed


def _is_word(text: str, tag: re.Match[str]) -> bool:
    """Whether a tag stands as a word inside a sentence, blanks around it: markup has its text at its tags."""
    before = text[: tag.start()].rstrip(" \t")[-1:]
    return text[tag.start() - 1 : tag.start()] == " " and before.isalpha() and is_isolated(text, *tag.span())


def _markdown(match: re.Match[str]) -> str:
    tag = match.group().strip("<>/ ").lower().split()[0].rstrip("/")
    closing = match.group()[1] == "/"
    if tag in ("b", "strong"):
        return "**"
    if tag in ("i", "em"):
        return "*"
    if tag == "li":
        return "\n" if closing else "- "
    if tag in ("td", "th"):
        return " "
    if tag[0] == "h" and tag[1:].isdigit():
        return "\n\n" if closing else "#" * int(tag[1]) + " "
    if tag in ("p", "div", "table", "ul", "ol", "center"):
        return "\n\n" if closing or tag in ("p", "div") else "\n"
    return "\n" if tag in ("br", "tr", "hr") else ""


_TOKEN_CUES = ("<|", "INST]", "<s>", "</s>", "_of_turn>", "SYS>>", "<pad>", "<unk>", "os>", "<｜")
_ABOUT_TOKENS = re.compile("special token|chat template|tokeni[sz]er")


def special_tokens(row: Fields, threshold: float) -> Iterator[Hit]:
    """Chat and tokenizer tokens: stripped at the ends; an answer is cut at one that starts another turn.

    Tokens that a sentence speaks of are left alone, and harmony's channels are the business of `think_tags`.
    """
    if not has_any(row.text, _TOKEN_CUES):
        return
    for part in row.prose_parts:
        if part.field in ("instruction", "input") and row.asks(_ABOUT_TOKENS):
            return
        if part.field == "response" and TOKENS.search(row.question_before(part)):
            continue
        if harmony_channels(part.text) is not None:
            continue
        found = [m for m in _TOKEN.finditer(part.prose) if m.group() != "</s>" or "<s>" not in part.prose[1:]]
        if not found or (found := _left_behind(part.prose, found)) == []:
            continue
        start, end = _inner(part.prose, found)
        inner = [m for m in found if start < m.start() < end]
        turn = next((m for m in inner if part.field == "response" and _TURN.search(m.group())), None)
        if turn:
            # The text after a closed turn is another turn, unless it is only a phrase of the same answer.
            rest = _TOKEN.sub("", part.text[turn.end() : end]).strip()
            keep = part.text[start : turn.start()].rstrip()
            text = f"{keep}\n\n{rest}" if rest and "start" not in turn.group() and _is_tail(rest) else keep
            yield Hit(part, *turn.span(), shown(part.text[turn.start() : end]), text=text)
        elif (start, end) != (0, len(part.prose)):
            yield Hit(part, *found[0].span(), shown(found[0].group()), text=part.text[start:end])
        elif inner:
            yield Hit(part, *inner[0].span(), shown(inner[0].group()), action="flag")


def _left_behind(text: str, found: list[re.Match[str]]) -> list[re.Match[str]]:
    """The tokens that no sentence speaks of. Tokens with only blanks between them are one piece."""
    left: list[re.Match[str]] = []
    at = 0
    while at < len(found):
        last = at
        while last + 1 < len(found) and not text[found[last].end() : found[last + 1].start()].strip():
            last += 1
        lost_word = found[at].group() in ("<unk>", "<pad>")
        if not is_spoken_of(text, found[at].start(), found[last].end(), strict=lost_word):
            left += found[at : last + 1]
        at = last + 1
    return left


def _is_tail(text: str) -> bool:
    return len(text.split()) <= 25 and any(p.search(text.lower()) for p in BOILERPLATE)


def _inner(text: str, found: list[re.Match[str]]) -> tuple[int, int]:
    start, end = 0, len(text)
    for match in found:
        if not text[start : match.start()].strip():
            start = match.end()
    for match in reversed(found):
        if match.start() >= start and not text[match.end() : end].strip():
            end = match.start()
    if (start, end) == (0, len(text)):
        return start, end
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip()) if inside.strip() else start


def empty_input_placeholder(row: Fields, threshold: float) -> Iterator[Hit]:
    """An `input` that only says that there is none, such as <noinput>; emptied."""
    text = row.input.text
    if text and len(text) < 32 and NO_INPUT.fullmatch(text.strip()):
        if text.strip().lower() in ("none", "null", "nan") and CODE.search(row.instruction.text.lower()):
            return
        yield Hit(row.input, 0, len(text), shown(text), text="")


def field_label(row: Fields, threshold: float) -> Iterator[Hit]:
    """A field that starts with its own label, such as "### Response:"; kept where the text is a labelled form."""
    for part in row.prose_parts:
        if part.field not in LABELS or (":" not in part.text[:40] and "：" not in part.text[:40]):
            continue
        match = LABELS[part.field].match(part.prose)
        if not match or FILLER in match.group() or not part.text[match.end() :].strip():
            continue
        if part.field == "instruction" and _ANSWERED.search(part.prose, match.end()):
            continue
        if match.group().strip() == "a:":
            continue  # a CSS selector, a variable
        label = match.group().strip().strip("#*: ：").lower()
        if _labelled(part.prose) or (part.field == "response" and f"{label}:" in row.prompt):
            continue
        yield Hit(part, 0, match.end(), shown(match.group().strip()), text=part.text[match.end() :])


_ANSWERED = re.compile(r"\b(?:Answer|A)\b ?:?|答案[:：]")


def _labelled(text: str) -> bool:
    return len(re.findall(r"(?m)^[#* ]{0,6}[A-Z][\w ]{0,24}\**[:：]", text)) >= 2


def boilerplate_tail(row: Fields, threshold: float) -> Iterator[Hit]:
    """A closing phrase such as "I hope this helps!"; `threshold`: its most words. Letters and dialogues keep it."""
    for part in row.answers:
        tail = part.lower[-240:]
        if not has_any(tail, BOILERPLATE_CUES) and (tail.isascii() or not has_any(tail, BOILERPLATE_CUES_BEYOND)):
            continue
        if not any(pattern.search(tail) for pattern in BOILERPLATE):
            continue
        match = _LAST.search(part.prose)
        if match is None or not part.text[: match.start()].strip() or FILLER in match.group():
            continue
        sentence = match.group(1)
        if len(sentence.split()) > threshold or not any(p.search(sentence.lower()) for p in BOILERPLATE):
            continue
        if not LETTER.search(row.question_before(part)):
            kept = part.text[: match.start()].rstrip()
            yield Hit(part, match.start(1), match.end(1), shown(sentence.strip()), text=kept)


def unclosed_fence(row: Fields, threshold: float) -> Iterator[Hit]:
    """A code fence that is never closed around code that is complete; closed, before a last prose paragraph if any."""
    for part in row.answers:
        if "```" not in part.text and "~~~" not in part.text:
            continue
        fence = next((f for f in part.mask.fences if not f.closed), None)
        if fence is None:
            continue
        code, prose = _code_and_prose(part.text[fence.start : fence.end])
        if finished(fence.language, code.partition("\n")[2]):
            text = part.text[: fence.start] + code.rstrip() + "\n" + fence.mark + (f"\n\n{prose}" if prose else "")
            yield Hit(part, fence.start, fence.end, shown(code.partition("\n")[0]), text=text)


def _code_and_prose(block: str) -> tuple[str, str]:
    code, gap, last = block.rpartition("\n\n")
    if gap and re.fullmatch(r"[A-Z][^\n{}=;()<>]+[.!?]", last.strip()) and len(last.split()) >= 3:
        return code, last.strip()
    return block, ""
