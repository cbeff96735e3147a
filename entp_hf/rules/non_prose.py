"""F9, F14, F15: answers with template slots, symbols or web addresses in place of words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from ..text.prompt_intent import CODE, CREATE, ELABORATE, SYMBOLS, TEMPLATE
from .row import Fields, Hit, shown

_PLACEHOLDER = re.compile(
    r"\{\{\s*[\w.]+\s*\}\}|\[(?:insert|enter|add|your|name|date|company|address|product|title|placeholder"
    r"|recipient|city|phone)\b[^\[\]\n]{0,40}\]"
    r"|<(?:insert|your|enter|placeholder)\b[^<>\n]{0,40}>|\{(?:placeholder|name|your_\w+"
    r"|insert[^{}\n]{0,30})\}|\bX{3,}\b(?!-)|\bTODO\b(?=[:\s])|\bTBD\b",
    re.I,
)


def placeholder(row: Fields, threshold: float) -> Iterator[Hit]:
    """Template slots left in an answer, such as {{name}}; `threshold` of them that are half the answer drop."""
    for part in row.answers:
        text = part.text
        if not ("[" in text or "{" in text or "<" in text or "XXX" in text or "TODO" in text or "TBD" in text):
            continue
        found = [m for m in _PLACEHOLDER.finditer(part.prose) if m.group().isupper() or m.group()[0] in "[{<"]
        question = row.question_before(part)
        found = [m for m in found if m.group().lower() not in question]  # those are the prompt's own
        if not found or _slots_wanted(question):
            continue
        share = sum(len(m.group()) for m in found) / len(text)
        drops = len(found) >= threshold and share > 0.5
        yield Hit(part, *found[0].span(), shown(found[0].group()), share, "drop" if drops else "flag")


def _slots_wanted(question: str) -> bool:
    return (
        CODE.search(question) is not None
        or _SLOTS.search(question) is not None
        or (TEMPLATE.search(question) is not None and CREATE.search(question) is not None)
    )


_SLOTS = re.compile(
    r"\btemplate|\bplaceholder|\bfill.in|\bmessage\b|\btext to\b|\bmad ?lib|模板|plantilla|vorlage|шаблон"
)


_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'）)\]]+")
_ODD = re.compile(
    r"[^\w\s.,;:!?'\"()\-–—’‘“”…/%&$€£+*=#<>|\[\]{}°•·。，、！？；：「」『』（）《》〈〉【】~～؟،؛«»¿¡№§©®™^\\@"
    r"`_\u0300-\u036f\u0600-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u200c\u200d\ufe0f\U0001f000-\U0001faff\u2190-"
    r"\u2bff]|[!?#@$%^&*=+~|<>_{}\\/\[\]()]{3,}"
)


def symbol_ratio(row: Fields, threshold: float) -> Iterator[Hit]:
    """Prose whose characters, spaces aside, are over `threshold` symbols: no letters, digits or common marks."""
    for part in row.answers:
        text = part.text
        if part.mask.spans or len(text) < 20:
            continue
        squeezed = "".join(part.words)
        odd = len(squeezed.translate(_ALNUM)) if text.isascii() else _symbols(squeezed)
        share = odd / len(squeezed) if squeezed else 0.0
        if share <= threshold:
            continue
        question = row.question_before(part)
        if CODE.search(question) or SYMBOLS.search(question) or _DRAWN.search(question):
            continue
        noise = sum(len(m.group()) for m in _ODD.finditer(_in_ascii(text))) / len(text)
        # Half of the symbols must be odd ones; where the prompt asks for no prose, twice as many are allowed.
        score = min(share if ELABORATE.search(question) else share / 2, 2 * noise)
        if score > threshold:
            yield Hit(part, detail=f"{share:.0%} symbols", score=score)


def _symbols(text: str) -> int:
    """Characters that are no letter, digit or mark: vowel signs and tones of many scripts are marks (category M)."""
    counts = Counter(text)
    return sum(n for c, n in counts.items() if not c.isalnum() and unicodedata.category(c)[0] != "M")


def _in_ascii(text: str) -> str:
    """`text` with every letter, mark, digit and punctuation mark beyond ASCII as one letter, at the same length."""
    usual = {ord(c): "x" for c in set(text) if not c.isascii() and unicodedata.category(c)[0] in "LMNPZ"}
    return text.translate(usual)


_DRAWN = re.compile(
    r"\bredact|\bmask|\bblank|\bhistogram|\bchart|\bgraph|\bdiagram|\bdraw|\bmap\b|\bplot\b|\btree\b|\bpuzzle|\bmaze"
)
_ALNUM = {code: None for code in range(128) if chr(code).isalnum()}


_SHORTENER = re.compile(r"\b(?:bit\.ly|tinyurl\.com|goo\.gl|t\.co|ow\.ly|is\.gd|cutt\.ly|rebrand\.ly)/\w+")


def url_load(row: Fields, threshold: float) -> Iterator[Hit]:
    """Answers over `threshold` (share of characters) web addresses, none asked for, or with a shortened address."""
    for part in row.answers:
        if "://" not in part.text and "www." not in part.text:
            continue
        short = _SHORTENER.search(part.prose)
        if short and "short" not in row.question_before(part):
            yield Hit(part, *short.span(), f"{shown(short.group())} leads nowhere that can be seen")
            continue
        urls = _URL.findall(part.prose)
        share = sum(map(len, urls)) / len(part.text)
        if (
            share > threshold
            and len(urls) >= 2
            and not re.search(
                r"\burls?\b|\blinks?\b|\bwebsites?\b|\bweb (?:page|site|address)|\b(?:re)?sources?\b|\breferences?\b"
                r"|\bcit(?:e|ation)|\barticles?\b|\bnews\b|\bblog|\bvideos?\b|\bonline\b|网址|链接|资源|文章|在线",
                row.question_before(part),
            )
        ):
            yield Hit(part, detail=f"{len(urls)} addresses", score=share)
