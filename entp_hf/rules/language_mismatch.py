"""F12, F13: answers in another language than the question, and letters of another script inside words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.language import alphabet_of, language_of, script_counts, scripts_in, share_of
from ..text.prompt_intent import CODE, TRANSLATION
from .masks import FILLER
from .row import Fields, Hit, Part, shown

_ENGLISH = (" the ", " of ", " and ", " to ", " is ", " in ", " for ", " a ")
# Words of a prompt that no other language written in ASCII letters has in common use.
_ENGLISH_ASKS = frozenset(
    "the of and is are what how write explain create generate give list describe find why suggest compare identify"
    " which who when where this that with from name rewrite convert given calculate provide determine classify make"
    " tell summarize summarise your you does do can following sentence between edit come up add construct design"
    " develop categorize predict output choose arrange answer".split()
)
_SAME = (
    {"zh", "wuu", "yue"}, {"es", "gl", "ca"}, {"pt", "gl"}, {"ru", "uk", "bg", "be"}, {"no", "da", "sv", "nb", "nn"},
    {"id", "ms"}, {"hr", "sr", "bs"}, {"cs", "sk"}, {"ar", "fa"}, {"en", "sco"},
    {"ru", "tt", "ky", "kk", "ba", "cv", "tg", "mn"},  # a short question of borrowed words looks Russian
)  # fmt: skip
_LOOKALIKE = re.compile(r"(?=[^\W\d_]*[A-Za-z])(?=[^\W\d_]*[\u0370-\u03ff\u0400-\u052f])[^\W\d_]{2,}")
_FORMULA = re.compile("[ΓΔΘΛΞΠΣΦΨΩβγδεζηθλμξπσςφψω]")  # Greek letters that look like no Latin one
_GREEK_TERM = re.compile(r"(?:[Α-Ωα-ω]{1,2}[A-Za-z]{0,2}|[A-Za-z]{1,2}[Α-Ωα-ωμ]{1,2}|[Δμπσλθ][A-Za-z]+)[²³]?")


_SHARED_ALPHABETS = {0x0400 >> 7, 0x0480 >> 7, 0x0600 >> 7, 0x0680 >> 7}  # Cyrillic, Arabic
_IPA = re.compile("[\u0250-\u02ff]")
_ALIKE = {"greek", "cyrillic"}


def language_mismatch(row: Fields, threshold: float) -> Iterator[Hit]:
    """Question and answer in different languages, none asked for. `threshold`: least confidence that they differ."""
    if not row.single or row.response.is_json:
        return
    asked, answer = row.instruction, row.response
    if len(answer.text) < 40 or len(asked.text) < 16 or row.input.text and len(row.input.text) > 20:
        return
    if asked.script.name == answer.script.name == "latin" and _plainly_english(answer.text):
        if not _ENGLISH_ASKS.isdisjoint(asked.lower.split()):
            return
    if answer.mask.spans or answer.codelike or _listed(answer):
        return
    if TRANSLATION.search(asked.lower) or CODE.search(asked.lower):
        return
    alphabet = alphabet_of(asked.prose)
    if alphabet and alphabet not in _SHARED_ALPHABETS and alphabet == alphabet_of(answer.prose):
        return  # an alphabet of one language or few, which the detector knows less of than the letters say
    one, other = language_of(asked.prose, asked.script), language_of(answer.prose, answer.script)
    if one[0] == other[0] or any({one[0], other[0]} <= same for same in _SAME):
        return
    if asked.script.spaced == answer.script.spaced or asked.script.name == answer.script.name:
        least = threshold if len(asked.text) >= 40 else 0.9
        if one[1] < least or other[1] < 0.6 or share_of(one[0], answer.prose, answer.script) > 1 - threshold:
            return
    if asked.script != answer.script and script_counts(answer.prose)[asked.script.name] > 0.1 * len(answer.prose):
        return
    yield Hit(answer, detail=f"asked in {one[0]}, answered in {other[0]}", score=other[1])


def _plainly_english(text: str) -> bool:
    return sum(word in text for word in _ENGLISH) >= 2


def _listed(part: Part) -> bool:
    """Names, numbers and short lines tell no language."""
    if not part.script.spaced:
        return False
    words = [word for raw in part.words if len(word := raw.strip(".,;:!?()\"'’“”«»¿¡")) > 1 and word.isalpha()]
    if len(words) < 12 and part.text.rstrip()[-1:] not in ".!?…":
        return True
    lower = sum(1 for word in words if word[:1].islower() or not word.isascii())
    return len(words) < 6 or lower < len(words) / 2


def mixed_script(row: Fields, threshold: float) -> Iterator[Hit]:
    """Cyrillic or Greek letters inside Latin words, or a third script with over `threshold` of the letters."""
    if row.ascii:
        return
    for part in row.answers:
        if part.text.isascii():
            continue
        scripts = scripts_in(part.prose)
        words = [
            m
            for m in (_LOOKALIKE.finditer(part.prose) if scripts & _ALIKE else ())
            if not _GREEK_TERM.fullmatch(m.group())
            and not _IPA.search(m.group())
            and not _FORMULA.search(m.group())
            and FILLER not in m.group()
        ]
        if words:
            yield Hit(part, *words[0].span(), f"{shown(words[0].group())} and {len(words) - 1} more")
            continue
        if len(scripts) < 3:
            continue
        counts = script_counts(part.prose)
        east = counts.pop("kana", 0)
        counts["han"] += east  # one writing system
        ranked = [name for name, _ in counts.most_common()]
        if (
            len(ranked) > 2
            and counts.total() >= 40
            and counts[ranked[2]] > threshold * counts.total()
            and not TRANSLATION.search(row.prompt)
        ):
            yield Hit(part, detail=f"letters of {', '.join(ranked[:3])}", score=counts[ranked[2]] / counts.total())
