"""Figures and texts as a reader sees them: numbers with separators, cut texts, word diffs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape

Shown = dict[str, Any]  # what a section hands to the page's template

TEXT_LIMIT = 4000  # characters of one text that a report embeds
_DIFF_WORDS = 1500  # longest text that is compared word by word: the comparison is quadratic
_WORDS = re.compile(r"\s+|[^\s]+")


def num(value: Any) -> str:
    """A figure for reading: 12,345; 0.123; an en dash for None. Other values as they are."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return f"{int(value):,}"
        if abs(value) >= 1000:
            return f"{value:,.0f}"
        if abs(value) < 0.001:
            return f"{value:.1e}"
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def raw(rater: str) -> str:
    """What a rater's counts are called: `logits` ones are of equal shares by construction (`rate.to_levels`)."""
    return f"{rater} ({'ranked' if rater == 'logits' else 'raw'})"


def share(part: float | None, whole: float | None = 1) -> str:
    """`part / whole` in per cent; an en dash where one of them is unknown."""
    if part is None or not whole:
        return "–"
    value = 100 * part / whole
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"


def duration(seconds: float | None) -> str:
    """Seconds in the unit that a reader would choose."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 0.1 or seconds == 0 else f"{1000 * seconds:.0f} ms"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def squash(text: Any, limit: int = 160) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def clean(text: str) -> str:
    """Without lone surrogates and NULs, which can't be written as UTF-8 or shown in a page."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """The text, or its beginning and a note that says how much is missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {limit:,} of {len(text):,} characters shown]"


def word_diff(before: str, after: str) -> Markup:
    """Both texts in one, words taken out in <del>, words put in in <ins>; all text is escaped."""
    old, new = _WORDS.findall(cut(before)), _WORDS.findall(cut(after))
    if max(len(old), len(new)) > _DIFF_WORDS:
        return Markup("<del>{}</del><ins>{}</ins>").format("".join(old), "".join(new))
    parts: list[Markup] = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = "".join(old[i1:i2]), "".join(new[j1:j2])
        if kind == "equal":
            parts.append(escape(gone))
            continue
        if gone:
            parts.append(Markup("<del>{}</del>").format(visible(gone)))
        if come:
            parts.append(Markup("<ins>{}</ins>").format(visible(come)))
    return Markup("").join(parts)


def visible(text: str) -> str:
    """Characters that can't be seen, as their names in brackets: a diff must show what it took out."""
    shown = []
    for character in text:
        hidden = not character.isprintable() and character not in "\n\t "
        shown.append(f"[U+{ord(character):04X}]" if hidden else character)
    return "".join(shown)


def listed(words: Iterable[Any]) -> str:
    """'a, b and c'."""
    parts = [str(word) for word in words]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""
