"""F1-F4, F10, F11: answers that stop short, delimiters left open."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.language import language_of
from ..text.prompt_intent import BRIEF, CODE, ELABORATE, LETTER, LISTS, VERSE
from .code_syntax import cut
from .masks import FILLER
from .phrases import DANGLING, DANGLING_END
from .row import Fields, Hit, Part, has_any, shown
from .unusable import says_nothing

_STOPS = frozenset(".!?…。！？｡؟۔।॥‽⁇⁉:;：；)]}\"'”’»」』）】〉》`*_~>|%°$€£)" + FILLER)
_BULLET = re.compile(r"\s*(?:[-*+•·–—]|\d{1,3}[.)、:]|[A-Za-z][.)]|#|\||Step \d|第)\s*")
_SENTENCE_END = re.compile(r"(?<=[^\W_]{2})[.!?。！？](?:\s|\Z|[\"”'’)])")
_CUT_WORD = re.compile(r"([\w'’]+)[\s\"*_]*\Z")
_HYPHEN = re.compile(r"[^\W\d_][-–—,，、]\s*\Z")


def truncated(row: Fields, threshold: float) -> Iterator[Hit]:
    """Prose of `threshold` words or more that stops in mid-sentence.

    That is on a word that no sentence ends with, or without an end mark after sentences that have one.
    """
    for part in row.answers:
        text = part.text.rstrip()
        if not text or text[-1] in _STOPS or part.mask.spans or not part.script.stops or part.length < threshold:
            continue
        last_line = text.rpartition("\n")[2]
        question = row.question_before(part)
        if (
            "://" in last_line.split()[-1]
            or "#" in last_line.split()[-1]
            or part.codelike
            or VERSE.search(question)
            or not (text[-1].isalpha() or _HYPHEN.search(text))
        ):
            continue
        signed_off = LETTER.search(question) and len(last_line.split()) <= 4
        reason = "" if signed_off or _SIGN_OFF.fullmatch(last_line.strip()) else _dangling(part, text)
        if not reason and not _BULLET.match(last_line) and _unmarked(last_line, part.script.spaced):
            reason = "the last sentence has no end mark"
        if reason:
            detail = f"{reason}: {shown(text[-30:])}"
            yield Hit(part, max(len(text) - 30, 0), len(text), detail, float(part.length))


def unfinished(text: str) -> bool:
    """Whether a text stops on a letter or digit, a comma or a dash: no end of prose, code, a list or a sum."""
    last = text.rstrip()[-1:]
    return last.isalnum() or last in ",，、-–—"


_STRANDED = frozenset("for with to in on at about from of by as into upon without through".split())
_SIGN_OFF = re.compile(r"(?:\w+ )?(?:sincerely|regards|wishes|yours|truly|love|thanks|cheers|thank you|best),", re.I)


def _dangling(part: Part, text: str) -> str:
    if _HYPHEN.search(text):
        return "ends with a comma or dash"
    if not part.script.spaced:
        return "ends with a connecting word" if DANGLING_END.search(text) else ""
    word = _CUT_WORD.search(text)
    if word is None:
        return ""
    last = word.group(1)
    plain = last.lower().replace("’", "'")
    if _BULLET.match(text.rpartition("\n")[2]) and plain in _STRANDED:
        return ""  # "someone to talk to"
    if not (last[-1].islower() and (last[0].islower() or "'" in last)) or not any(
        plain in ends for ends in DANGLING.values()
    ):
        return ""
    language, _ = language_of(text, part.script)
    return f"ends with {last!r}" if plain in DANGLING.get(language, ()) else ""


def _unmarked(last_line: str, spaced: bool) -> bool:
    """Whether a long last sentence follows several sentences that do end with a mark, in the same paragraph."""
    if not spaced:
        stop = max(last_line.rfind(mark) for mark in "。！？")
        return sum(map(last_line.count, "。！？")) >= 2 and len(last_line) - stop > 8
    ends = list(_SENTENCE_END.finditer(last_line))
    return len(ends) >= 4 and len(last_line[ends[-1].end() :].split()) >= 4


def cut_code(row: Fields, threshold: float) -> Iterator[Hit]:
    """Fenced code that ends too early: brackets open, or Python or JSON that breaks off at its end."""
    for part in row.answers:
        if "```" not in part.text and "~~~" not in part.text:
            continue
        for fence in part.mask.fences:
            if (not fence.closed and not fence.code.strip()) or cut(fence.language, fence.code) or not fence.closed:
                last = fence.code.rstrip().rpartition("\n")[2]
                yield Hit(part, fence.start, fence.end, shown(last))
                break


def ends_with_colon(row: Fields, threshold: float) -> Iterator[Hit]:
    """An instruction that points past its last colon to nothing, or an answer that ends with one.

    An answer of one line drops; forms and surveys may end with a field to fill in.
    """
    first = row.instruction
    if (
        not row.input.text
        and row.single
        and first.text.rstrip()[-1:] in (":", "：")
        and "\n" not in first.text.strip()
        and (refers := _REFERS.search(first.lower))
        and not re.search(r"[:：\"“].", first.text[refers.end() : -1])
    ):
        yield Hit(first, len(first.text.rstrip()) - 1, len(first.text.rstrip()), shown(first.text[-40:]))
    for part in row.answers:
        text = part.text.rstrip()
        if text[-1:] in (":", "：") and len(text) > 1 and not _CODE_LINE.search(text.rpartition("\n")[2]):
            if "\n" in text and _FORM.search(row.question_before(part)):
                continue
            one_line = "\n" not in text and part is row.response and part.length >= 3
            yield Hit(part, len(text) - 1, len(text), shown(text[-40:]), action="drop" if one_line else "flag")


_REFERS = re.compile(
    r"\b(?:following|below|follows|these|above|given)\b|\b(?:of|by|for|with|to|is|are)(?=\s*[:：]\s*\Z)|以下|下列|下面"
)
_FORM = re.compile(r"\bforms?\b|\bsurvey|\bquestionnaire|\bfeedback|\btemplate|表|问卷")
_CODE_LINE = re.compile(r"[(){}\[\]=<>]|^\s*(?:else|try|finally|except|case|default)\b")
_TEX = re.compile(r"\\[A-Za-z]+|[\^_]\{?\w")
_OPENERS = ("(", "[", "\\", "$")
_DELIMITERS = ((r"\(", r"\)"), (r"\[", r"\]"))
_ENUMERATOR = re.compile(
    r"(?m)(?:^|(?<=[\s;,.:(]))(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\)|[:;8=xX]['-]?[()]|[()]['-]?[:;]|\b\d+['’\"]?\)"
    r"|[(\[]\s*[-+]?[\w.∞]+\s*,\s*[-+]?[\w.∞]+\s*[)\]]"
)


def unbalanced(row: Fields, threshold: float) -> Iterator[Hit]:
    """LaTeX delimiters or environments, or brackets in prose, that are opened and not closed."""
    for part in row.answers:
        text = part.prose
        question = row.question_before(part)
        if not has_any(text, _OPENERS) and "\\boxed" not in question:
            continue
        if part.codelike or (CODE.search(question) and "latex" not in question):
            continue
        if "\\boxed" in question and "\\boxed" not in part.text and part is row.response:
            yield Hit(part, detail="\\boxed is asked for, and absent")
            continue
        if "\\" in text or "$" in text:
            problem = _open_latex(text)
            if problem:
                yield Hit(part, detail=problem)
                continue
        if ("(" in text or "[" in text) and len(text) >= 40 and not part.mask.fences and not _codelike(text):
            bare = _ENUMERATOR.sub("", text) if ")" in text or ":(" in text else text
            for left, right in ("()", "[]"):
                if bare.count(left) > bare.count(right) and text.count(left) > text.count(right):
                    at = text.rfind(left)
                    yield Hit(part, at, at + 1, f"{left} is not closed")
                    break


def _codelike(text: str) -> bool:
    return any(mark in text for mark in ("{", "};", "()", "==", "</", "def ", "SELECT ", " = ", "=>", "[(", "\\"))


def _open_latex(text: str) -> str:
    for left, right in _DELIMITERS:
        if text.count(left) != text.count(right) and (_TEX.search(text) or "^" in text):
            return f"{left} and {right} do not match"
    if text.count(r"\begin{") != text.count(r"\end{"):
        return r"\begin and \end do not match"
    for match in re.finditer(r"(?<![\\$\w])\$(?![\s\d$])", text):
        if _TEX.search(text[match.end() : match.end() + 40].partition("$")[0]):
            return "$ is not closed"
    return ""


def too_short(row: Fields, threshold: float) -> Iterator[Hit]:
    """An answer of fewer than `threshold` words to a prompt that asks to explain, describe or write at length."""
    part = row.response
    text = part.text
    if len(text) > 40 or not row.single or part.is_json or part.mask.spans or says_nothing(text.strip()):
        return
    size = float(part.length) if part.script.spaced else len(text.strip()) / 2
    question = row.instruction.lower
    if _CODE_LINE.search(text) and CODE.search(question):
        return
    if (
        size < threshold
        and ELABORATE.search(question)
        and not BRIEF.search(question)
        and not LISTS.search(question)
        and not row.input.text
    ):
        yield Hit(part, 0, len(text), shown(text), size)


def length_outlier(row: Fields, threshold: float) -> Iterator[Hit]:
    """An instruction of over `threshold` words, or of a letter or two."""
    first = row.instruction
    size = len(first.text)
    if size > threshold and first.length > threshold:
        yield Hit(first, detail=f"{first.length} words", score=float(first.length))
    elif size < 3 and not row.input.text and first.text.strip() and first.script.spaced:
        yield Hit(first, 0, size, shown(first.text))
