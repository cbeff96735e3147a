"""X4: pathological repetition, by the statistics of Gopher (arXiv 2112.11446, table A1), for answers."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter

from ..text.prompt_intent import CODE, LISTS, VERSE
from .masks import FILLER
from .row import Fields, Hit, Part, shown

# Shares over which a text is repetitive (Gopher); n-grams: share of characters in the most frequent one.
# Gopher's own bounds (0.30; 0.20, 0.18, 0.16; 0.15 to 0.10) are for web pages: on short answers, where a term or the
# question comes back in every line, 7 of 25 of what they found was wrong with the text. Ours are higher.
_LINES, _TOP = 0.40, {2: 0.36, 3: 0.34, 4: 0.32}
_DUPLICATED = {5: 0.50, 8: 0.45, 10: 0.40}
_LEAST_WORDS, _LEAST_CHARS = 30, 200
_TAIL = 40  # units at the end that a loop would fill
_WORD = re.compile(r"[^\W_]+")


def repetition(row: Fields, threshold: float) -> Iterator[Hit]:
    """A loop at the end is cut; two or more of the signals drop, one flags. `threshold` scales every bound.

    Bounds are tripled for verse and where tables, lists, forms or code may repeat.
    """
    for part in row.answers:
        words = part.words
        if len(part.text) < _LEAST_CHARS or (part.script.spaced and len(words) < _LEAST_WORDS):
            continue
        units = words if part.script.spaced else [c for c in part.text if not c.isspace() and c != FILLER]
        variety = len(set(units)) / len(units) if units else 1.0
        if variety > (0.62 if part.script.spaced else 0.5) and len(set(units[-_TAIL:])) > _TAIL // 2:
            continue
        question = row.question_before(part)
        lines = [line for line in part.prose.split("\n") if line.strip()]
        listed = len(lines) >= 4 and len(set(lines)) == len(lines)
        if _DUMP.search(question):
            continue
        verse = VERSE.search(question) is not None or _is_verse(part.prose)
        easy = listed or LISTS.search(question) or CODE.search(question) or part.prose.count("|") > 8 or part.codelike
        yield from _check(part, units, threshold * (3 if verse or easy else 1), not verse)


# Tables, logs and memory as they stand repeat themselves; so does a song with a refrain.
_DUMP = re.compile(
    r"\bdumps?\b|\bhex|\blogs?\b|\bbytes?\b|\bbinary\b|\btraces?\b|\bmemory\b|\bblocks? of\b|\braw\b|\bprotokoll|日志"
)


def _is_verse(text: str) -> bool:
    """Whether short lines in stanzas come back with others between them: a refrain, not a loop.

    In three stanzas or more, at least a third of the lines are different, and no line comes three times running.
    """
    stanzas = [part.split("\n") for part in re.split(r"\n[ \t]*\n", text.strip()) if part.strip()]
    lines = [line.strip() for stanza in stanzas for line in stanza]
    if len(stanzas) < 3 or len(lines) < 8 or max(map(len, stanzas)) < 2 or sum(map(len, lines)) > 60 * len(lines):
        return False
    running = any(a == b == c for a, b, c in zip(lines, lines[1:], lines[2:], strict=False))
    return not running and 3 * len(set(lines)) >= len(lines) and len({tuple(stanza) for stanza in stanzas}) > 1


def _check(part: Part, units: Sequence[str], scale: float, cuttable: bool) -> Iterator[Hit]:
    loop = loop_start(units)
    if loop is not None and cuttable:
        keep, period, times = loop
        start = _offset(part, units, keep)
        if keep - period >= _LEAST_WORDS and start < len(part.text):
            cut = part.text[:start].rstrip()
            yield Hit(part, start, len(part.text), f"{times} times {shown(part.text[start:].strip())}", text=cut)
            return
    signals = _signals(part, units, scale)
    if loop is not None and cuttable:
        signals.append(f"the end repeats {loop[2]} times")
    if signals:
        yield Hit(part, detail="; ".join(signals), score=len(signals), action="drop" if len(signals) >= 2 else "flag")


def loop_start(units: Sequence[str]) -> tuple[int, int, int] | None:
    """Where a loop at the end begins its second turn: (index, period, turns); None without one of 4 turns or more.

    A loop of single units must turn 20 times: rows of dashes and "ha ha ha" are no defects.
    """
    total = len(units)
    for period in range(1, min(80, total // 4) + 1):
        length = 0
        while length < total - period and units[total - 1 - length] == units[total - 1 - length - period]:
            length += 1
        times = length // period + 1
        if times >= (20 if period == 1 else 4) and length >= 12:
            return total - length, period, times
    return None


def _offset(part: Part, units: Sequence[str], index: int) -> int:
    """Character at which unit number `index` starts."""
    pattern = re.compile(r"\S+") if part.script.spaced else re.compile(r"\S")
    text = part.prose
    starts = (m.start() for m in pattern.finditer(text) if m.group().replace(FILLER, ""))
    return next((start for number, start in enumerate(starts) if number == index), len(text))


def _signals(part: Part, units: Sequence[str], scale: float) -> list[str]:
    found = []
    lines = [line for line in part.prose.split("\n") if line.strip()]
    if len(lines) >= 4 and _LINES * scale < 1:
        share = 1 - len(set(lines)) / len(lines)
        if share > _LINES * scale:
            found.append(f"{share:.0%} of the lines are repeated")
    words = _WORD.findall(part.lower) if part.script.spaced else list(units)
    if len(words) >= 50:
        found += _ngrams(words, scale, part.script.spaced)
    raw = part.text.encode("utf-8", "surrogatepass")
    ratio = len(raw) / len(zlib.compress(raw, 6))
    if len(part.text) >= 400 and ratio > 6 * scale:
        found.append(f"compresses {ratio:.1f} times")
    return found


def _ngrams(words: Sequence[str], scale: float, spaced: bool) -> list[str]:
    found = []
    total = sum(map(len, words))
    for size, bound in _TOP.items() if spaced else ():
        gram, times = max(Counter(zip(*(words[i:] for i in range(size)), strict=False)).items(), key=_times)
        if times < 4:
            break  # longer n-grams are no more frequent
        share = times * sum(map(len, gram)) / total
        if share > bound * scale:
            found.append(f"{share:.0%} is one {size}-gram")
            break
    for size, bound in _DUPLICATED.items():
        if bound * scale >= 1:
            continue
        size = size if spaced else size * 2
        share = _duplicated(words, size, total)
        if share > bound * scale:
            found.append(f"{share:.0%} is in repeated {size}-grams")
            break
        if share <= _DUPLICATED[10] * scale:
            break  # longer n-grams repeat even less
    return found


_times = itemgetter(1)


def _duplicated(words: Sequence[str], size: int, total: int) -> float:
    """Share of characters inside n-grams that stood before, each counted once."""
    seen: set[tuple[str, ...]] = set()
    covered, until = 0, 0
    for i in range(len(words) - size + 1):
        gram = tuple(words[i : i + size])
        if gram in seen:
            covered += sum(map(len, words[max(i, until) : i + size]))
            until = i + size
        seen.add(gram)
    return covered / total if total else 0.0
