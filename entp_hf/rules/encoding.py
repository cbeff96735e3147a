"""R1-R7: characters, blank lines and escapes that went wrong on the way; each is mended in place."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from html.entities import html5
from itertools import islice
from typing import Any

from ..text.prompt_intent import ASKS_MEANING, CODE, ESCAPES, MARKUP, SHOWS_MARKUP, STYLING
from .masks import FILLER
from .mentions import is_isolated, is_named
from .row import Fields, Hit, Part, has_any, shown

# Noncharacters go too, but for the one that masks code.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)
_INVISIBLE = re.compile("[\u200b\u2060-\u2064\ufeff\u00ad\u202a-\u202e\u2066-\u2069\u180e]")
_JOINERS = re.compile("(?<=[A-Za-z])[\u200c\u200d]+(?=[A-Za-z])")
# What ftfy's badness can count at all: two neighbors beyond ASCII, or one of the few that it takes alone.
_ODD = re.compile("[^\x00-\x7f]{2}|[\x80-\x9fÂÃŒœ]")
_LOST = re.compile("[\ufffd\ue000-\uf8ff]|□{3,}")
# The look-behinds let a run of blanks be tried at its first character alone: else the time grows with its square.
_BLANKS = re.compile(
    r"\r\n?|(?<![ \t\u3000])[ \t\u3000]{3,}(?=\n|\Z)|(?<![ \t])[ \t]+(?=\n[ \t]*\n[ \t]*\n[ \t]*\n)"
    r"|\n(?:[ \t]*\n){3,}"
)
_FIRST_LINES = re.compile(r"(?:[ \t]*\n){2,}")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[ntr\"'])")
# A literal \n that starts no LaTeX command (\nabla, \neq, \nu ...).
_LITERAL = re.compile(
    r"\\n(?!abla|eq|eg|u\b|ot|mid|i\b|e\b|ex|leq|geq|sub|sup|um|orm|ew|onu|at|warr|earr)|\\u[0-9a-fA-F]{4}"
)
_WINDOWS = re.compile(r"\b[A-Za-z]:\\\w")
_ENTITY = re.compile(r"(?:&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,24});)")
_SHOWN_TAG = re.compile(r"&lt;/?[A-Za-z!]")


@functools.cache
def _fixer() -> Any:
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


def mojibake(row: Fields, threshold: float) -> Iterator[Hit]:
    """Text decoded with the wrong encoding; mended by ftfy, flagged where still bad. `threshold`: least badness."""
    if row.ascii:
        return
    import ftfy
    from ftfy.badness import badness

    for part in row.parts:
        if part.text.isascii() or not _ODD.search(part.text) or badness(part.prose) < threshold:
            continue
        if _speaks_of_garbling(part, row):
            continue
        new = _outside(part, lambda piece: ftfy.fix_text(piece, _fixer()))
        if new != part.text:
            at = next((i for i, (a, b) in enumerate(zip(part.text, new, strict=False)) if a != b), 0)
            yield Hit(part, at, len(part.text), shown(part.text[at : at + 12]), text=new)
        elif badness(part.prose) >= threshold + 2 and not _LOST.search(part.prose):
            yield Hit(part, detail="unreadable characters that no known encoding explains", action="flag")


_ABOUT_ENCODING = re.compile(
    r"garbl|encod|mojibake|\butf|latin-?1|charset|unicode|decod|\bbytes?\b|code ?page|windows-125|iso-8859|cp125"
    r"|kodier|codific|encodage|кодиров|编码|乱码|文字化け|인코딩"
)
_SINGLE = re.compile("(?<![^\\W\\d_])(?<![^\x00-\x7f])[^\x00-\x7f]{2,6}(?![^\\W\\d_])(?![^\x00-\x7f])")


def _speaks_of_garbling(part: Part, row: Fields) -> bool:
    """Whether garbled letters are the subject: so says a word, or the letters that were meant stand beside them."""
    if _ABOUT_ENCODING.search(part.lower) or (part.field == "response" and row.asks(_ABOUT_ENCODING)):
        return True
    import ftfy

    for match in islice(_SINGLE.finditer(part.prose), 20):
        meant = ftfy.fix_text(match.group(), _fixer())
        alone = rf"(?<![^\x00-\x7f]){re.escape(meant)}(?![^\x00-\x7f])"
        if meant != match.group() and re.search(alone, part.prose.replace(match.group(), "")):
            return True
    return False


def _outside(part: Part, change: Any) -> str:
    pieces, at = [], 0
    for start, end in part.mask.spans:
        pieces += [change(part.text[at:start]), part.text[start:end]]
        at = end
    return "".join(pieces) + str(change(part.text[at:]))


_ABOUT_CONTROLS = re.compile(
    r"separator|form feed|line feed|control|escape|\bbell\b|backspace|\bnull?\b|\bnul\b|character|\bbytes?\b|delimiter"
    r"|\bascii\b|vertical tab|page break|terminal|\bcolou?r|\bdelete\b|\bcarriage|\bparted\b|\bsign\b|\bcode\b"
    r"|\b(?:esc|bel|eot|stx|etx|nel)\b|zeichen|trenn|carácter|separador|caractère"
    r"|séparateur|символ|разделител|字符|控制|分隔|文字"
)


def control_chars(row: Fields, threshold: float) -> Iterator[Hit]:
    """Control characters and terminal escapes. Form feeds, vertical tabs and NEL were line breaks.

    One that stands as a word of a sentence about such characters is what the sentence speaks of, and stays.
    """
    if not row.plain and _CONTROL.search(row.text):
        about = row.asks(_ABOUT_CONTROLS)
        for part in row.parts:
            speaks = about or _ABOUT_CONTROLS.search(part.lower) is not None
            hit = part.replaced(_CONTROL, functools.partial(_control, part=part, speaks=speaks))
            if hit:
                yield hit


def _control(match: re.Match[str], part: Part, speaks: bool) -> str:
    if speaks and match.group() not in "\ufffe\uffff" and is_isolated(part.prose, *match.span()):
        return match.group()
    return "\n" if match.group() in "\x0b\x0c\x85" else ""


def invisible_chars(row: Fields, threshold: float) -> Iterator[Hit]:
    """Zero-width, soft-hyphen and bidi-override characters; joiners stay in emoji, Arabic and Indic text.

    The score is their share of the text's characters.
    """
    if row.ascii:
        return
    for part in row.parts:
        if part.text.isascii():
            continue
        for pattern in (_INVISIBLE, _JOINERS):
            # A zero-width space marks word ends in Thai, Khmer, Burmese.
            hit = part.replaced(pattern, "") if part.script.stops else None
            if hit and hit.text is not None:
                yield replace(hit, score=1 - len(hit.text) / len(part.text))
                break


_ABOUT_ICONS = re.compile(
    r"\bicons?\b|\bglyphs?\b|\bfonts?\b|\bsymbols?\b|private.use|powerline|\bemoji|\bsigns?\b|\bpua\b"
    r"|symbole?n?\b|icono|icône|图标"
)


def _are_icons(text: str, found: list[re.Match[str]]) -> bool:
    """Whether three private characters or more stand alone, as the icons of a font do."""

    def alone(place: int) -> bool:
        char = text[place : place + 1] if place >= 0 else ""
        return not char.isalpha() and not "\ue000" <= char <= "\uf8ff"

    return len(found) >= 3 and all(alone(m.start() - 1) and alone(m.end()) for m in found)


def replacement_chars(row: Fields, threshold: float) -> Iterator[Hit]:
    """Characters lost for good (U+FFFD, private use, boxes): 5 of them over a share of `threshold` drop the row."""
    if row.ascii:
        return
    for part in row.prose_parts:
        found = list(_LOST.finditer(part.prose))
        if found and (_ABOUT_ICONS.search(row.question_before(part)) or _are_icons(part.prose, found)):
            found = [m for m in found if m.group()[0] in "\ufffd□"]
        if not found:
            continue
        share = len(found) / len(part.text)
        hopeless = len(found) >= 5 and share > threshold
        yield Hit(part, *found[0].span(), f"{len(found)} lost characters", share, "drop" if hopeless else "flag")


def blank_runs(row: Fields, threshold: float) -> Iterator[Hit]:
    """Carriage returns, three or more blank lines, blanks left over at the ends of lines and of the text."""
    for part in row.parts:
        text = part.text
        if has_any(text, ("\r", "\n\n\n", "   ", "\n \n", "\n\t\n")) or text[-1:].isspace() or text[:1] == "\n":
            hit = part.replaced(_BLANKS, _thinner)
            thinned = Part(part.field, part.turn, hit.text or "") if hit else part
            edged = _edged(thinned)
            if hit and edged:
                yield replace(hit, text=edged.text)
            elif hit:
                yield hit
            elif edged:
                yield replace(edged, part=part)


def _edged(part: Part) -> Hit | None:
    """The text without blank lines at its start and without blanks at its end, where they are more than usual."""
    prose, text = part.prose, part.text
    first = _FIRST_LINES.match(prose)
    start = first.end() if first else 0
    tail = prose[len(prose.rstrip()) :] if start < len(prose) else ""
    end = len(text) - (len(tail) if len(tail) >= 3 or (tail[-1:] == "\n" and tail.count("\n") >= 2) else 0)
    if (start, end) == (0, len(text)):
        return None
    return Hit(
        part, 0 if start else end, start or len(text), shown(prose[:start] or prose[end:]), text=text[start:end]
    )


def _thinner(match: re.Match[str]) -> str:
    blank = match.group()
    if "\r" in blank:
        return "\n"
    return "\n\n" if "\n" in blank else ""


def double_escaped(row: Fields, threshold: float) -> Iterator[Hit]:
    r"""Literal \n, \t, \" and \u00e9 in a text without real line breaks. `threshold`: least number of escapes."""
    if "\\" not in row.text or row.asks(ESCAPES):
        return
    for part in row.prose_parts:
        text = part.prose
        if "\\" not in text or "\n" in text or FILLER in text or _WINDOWS.search(text):
            continue
        if len(_LITERAL.findall(text)) >= threshold and not _explains_escapes(text):
            hit = part.replaced(_ESCAPE, lambda m: _unescaped(m.group()))
            if hit:
                yield hit


# A command or call that takes a pattern, in whose argument escapes belong.
_COMMAND = re.compile(
    r"(?<![\w-])(?:printf|echo|sed|awk|tr|grep|perl|print|puts|console\.log|split|join|replace|sub|gsub|strip"
    r"|rstrip|cut"
    r"|paste|IFS|re\.\w+|xargs|jq|tee|find|sort|column|regex|pattern)\b[^.\n\\]{0,60}?[\"'/][^\n]{0,60}?\\[ntrde]"
)


def _explains_escapes(text: str) -> bool:
    """Whether escapes are words of the text's sentences, or arguments of a command, so that none was a line break."""
    found = list(_ESCAPE.finditer(text))
    if any(is_named(text, *m.span()) or is_isolated(text, *m.span()) for m in found if m.group()[1] in "ntru"):
        return True
    return _COMMAND.search(text) is not None


def _unescaped(escape: str) -> str:
    if escape[1] == "u":
        char = chr(int(escape[2:], 16))
        return char if char.isprintable() else escape
    return {"n": "\n", "t": "\t", "r": ""}.get(escape[1], escape[1])


def html_entities(row: Fields, threshold: float) -> Iterator[Hit]:
    """Entities such as &nbsp; and &#39; in prose; left alone where the prompt is about markup or code shows tags."""
    if "&" not in row.text or ";" not in row.text:
        return
    about_markup = row.asks(MARKUP)
    for part in row.prose_parts:
        if "&" not in part.prose or (found := _ENTITY.search(part.prose)) is None:
            continue
        question = row.question_before(part) if part.field == "response" else ""
        if SHOWS_MARKUP.search(question) or STYLING.search(question):
            continue  # the prompt's own turn first: if it is mended, this one follows
        if any(
            is_named(part.prose, *m.span()) or _lists_entities(part.prose, m) for m in _ENTITY.finditer(part.prose)
        ):
            continue
        if part.field == "instruction" and len(part.words) < 15 and ASKS_MEANING.search(part.lower):
            continue
        if about_markup or _SHOWN_TAG.search(part.prose):
            if not about_markup and not row.asks(CODE):
                yield Hit(part, *found.span(), shown(found.group()), action="flag")
            continue
        hit = part.replaced(_ENTITY, _character)
        if hit:
            yield hit


_NEXT_ENTITY = re.compile(r"(?:,| and| or|/| und| oder| y| o| et| ou)[ ]?&#?\w+;")
_MEANS = re.compile(
    r"[\"'”)]?[ ](?:is|are|means?|stands?|gives?|prints?|shows?|becomes?|renders?|makes?|keeps?|inserts?|for|ist"
    r"|steht|es"
    r"|da|est|donne)\b"
)


def _is_named_entity(text: str, match: re.Match[str]) -> bool:
    """Whether the text names an entity; a quote mark in brackets is one that was escaped, and is seen when mended."""
    return is_named(text, *match.span(), in_quotes=match.group() not in ("&#39;", "&quot;"))


def _lists_entities(text: str, match: re.Match[str]) -> bool:
    """Whether an entity is one of a list of them, or the subject of a sentence about it."""
    if _NEXT_ENTITY.match(text, match.end()):
        return True
    starts = text[: match.start()].rstrip()[-1:] in ("", ".", "!", "?", ":", "-", "*", "|", ";", ",")
    return starts and _MEANS.match(text, match.end()) is not None


def _character(match: re.Match[str]) -> str:
    entity = match.group()
    if entity[1] != "#" and entity[1:] not in html5:
        return entity
    char = html.unescape(entity)
    return " " if char == "\xa0" else char if char.isprintable() else ""
