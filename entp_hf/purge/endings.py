"""F1-F5, F10, F11: answers that stop short, lists that do not add up, delimiters left open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from .codecheck import cut
from .cues import BRIEF, CODE, ELABORATE, LETTER, LISTS, VERSE
from .drops import says_nothing
from .lexicon import DANGLING, DANGLING_END
from .masks import FILLER
from .rows import Fields, Hit, Part, shown
from .scripts import language_of

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
        reason = "" if signed_off else _dangling(part, text)
        if not reason and not _BULLET.match(last_line) and _unmarked(last_line, part.script.spaced):
            reason = "the last sentence has no end mark"
        if reason:
            detail = f"{reason}: {shown(text[-30:])}"
            yield Hit(part, max(len(text) - 30, 0), len(text), detail, float(part.length))


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
    if not (last[-1].islower() and (last[0].islower() or "'" in last)) or not any(
        plain in ends for ends in DANGLING.values()
    ):
        return ""
    language, _ = language_of(text, part.script)
    return f"ends with {last!r}" if plain in DANGLING.get(language, ()) else ""


def _unmarked(last_line: str, spaced: bool) -> bool:
    """Whether a long last sentence follows at least two sentences that do end with a mark, in the same paragraph."""
    if not spaced:
        stop = max(last_line.rfind(mark) for mark in "。！？")
        return sum(map(last_line.count, "。！？")) >= 2 and len(last_line) - stop > 8
    ends = list(_SENTENCE_END.finditer(last_line))
    return len(ends) >= 2 and len(last_line[ends[-1].end() :].split()) >= 4


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
    """An instruction without input, or an answer, that ends with a colon; an answer of one line drops."""
    first = row.instruction
    if (
        not row.input.text
        and row.single
        and first.text.rstrip()[-1:] in (":", "：")
        and "\n" not in first.text.strip()
    ):
        yield Hit(first, len(first.text.rstrip()) - 1, len(first.text.rstrip()), shown(first.text[-40:]))
    for part in row.answers:
        text = part.text.rstrip()
        if text[-1:] in (":", "：") and len(text) > 1 and not _CODE_LINE.search(text.rpartition("\n")[2]):
            one_line = "\n" not in text and part is row.response and part.length >= 3
            yield Hit(part, len(text) - 1, len(text), shown(text[-40:]), action="drop" if one_line else "flag")


_CODE_LINE = re.compile(r"[(){}\[\]=<>]|^\s*(?:else|try|finally|except|case|default)\b")
_TEX = re.compile(r"\\[A-Za-z]+|[\^_]\{?\w")
_DELIMITERS = ((r"\(", r"\)"), (r"\[", r"\]"))
_ENUMERATOR = re.compile(
    r"(?m)(?:^|(?<=[\s;,.:(]))(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\)|[:;8=xX]['-]?[()]|[()]['-]?[:;]|\b\d+['’\"]?\)"
    r"|[(\[]\s*[-+]?[\w.∞]+\s*,\s*[-+]?[\w.∞]+\s*[)\]]"
)


def unbalanced(row: Fields, threshold: float) -> Iterator[Hit]:
    """LaTeX delimiters or environments, or brackets in prose, that are opened and not closed."""
    for part in row.answers:
        text = part.prose
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


_ITEM = re.compile(r"(?m)^[ \t]{0,3}(?:\*\*)?(\d{1,3})[.)、](?:\*\*)?(?=[ \t]|$|[^\d\s])[ \t]*(.*)$")
_ASKED = re.compile(
    r"\b(?:list|name|give(?: me)?|provide|suggest|write|generate|create|identify|come up with|here are"
    r"|these are|the following|tell me)"
    r"(?: (?:me|us|the|a list of|of|top|at least|down|some|my|exactly))* (\d{1,2}|two|three|four|five|six"
    r"|seven|eight|nine|ten)\b(?! ?(?:%|percent|words?|sentences?|paragraphs?|lines?|letters?|minutes?|hours?"
    r"|days?|years?|digits?|characters?|step|to |-|–|or |,|\.\d|by|dollars|people))"
)
_NUMBERS = {w: n for n, w in enumerate("zero one two three four five six seven eight nine ten".split())}


def list_numbering(row: Fields, threshold: float) -> Iterator[Hit]:
    """Numbered lists that jump, repeat a number, or hold fewer items than announced; an empty last item is cut."""
    for part in row.answers:
        if not any(mark in part.text for mark in (". ", ") ", ".\n", "、", ")\n")) and part.text[-1:] != ".":
            continue
        items = list(_ITEM.finditer(part.prose))
        if len(items) < 2:
            continue
        last = items[-1]
        if (
            not last.group(2).strip()
            and last.end() >= len(part.text.rstrip())
            and items[-2].group(2).strip()
            and FILLER not in last.group()
        ):
            yield Hit(part, last.start(), last.end(), shown(last.group()), text=part.text[: last.start()].rstrip())
            continue
        problem = _misnumbered([int(m.group(1)) for m in items]) or _miscounted(row, part, items)
        if problem and not _CLUES.search(row.question_before(part)):
            yield Hit(part, items[0].start(), last.end(), problem)


_CLUES = re.compile(r"\bcrossword|\bpuzzle|\bcode\b|\bbingo|\brank")


def _misnumbered(numbers: list[int]) -> str:
    """What is wrong with one run of numbers; lists that start anew at 1 and lists all of one number are fine."""
    if len(numbers) < 3 or len(set(numbers)) == 1 or max(numbers) > 60:
        return ""
    for a, b in pairwise(numbers):
        if b == a or (b > a + 1) or (1 < b < a):
            if numbers.count(1) == 1 and numbers[0] == 1:
                return f"{b} follows {a}"
            return ""
    return ""


def _miscounted(row: Fields, part: Part, items: list[re.Match[str]]) -> str:
    numbers = [int(m.group(1)) for m in items]
    if numbers != list(range(1, len(numbers) + 1)):
        return ""
    for text in (part.lower[: max(items[0].start(), 0)][-160:], row.question_before(part)):
        asked = _ASKED.search(text)
        if asked:
            want = _NUMBERS.get(asked.group(1)) or int(asked.group(1))
            return f"{want} announced, {len(items)} given" if 2 <= len(items) < want <= 30 else ""
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
