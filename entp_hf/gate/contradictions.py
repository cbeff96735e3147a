"""What a made row says against its parents or its own question: numbers and names in the place of others (ours).

The bounds were chosen on merged Alpaca rows with planted faults (`benchmarks/gate.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ..schema import Row, said_by, text_of
from ..text.words import STOP, sentences

_TOKEN = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W_]+")
_LISTED = re.compile(r"\d+(?:\.\d+)?(?:(?:\s*[,;+]\s*(?:and\s+)?|\s+and\s+)-?\d+(?:\.\d+)?){3,}")
_OPENS = ":\"'“‘(["  # before a capital that begins something, and so may be of any word
_LEAST_SHARED, _LEAST_SHARE = 2, 0.4  # content words that two sentences share, to be laid side by side (ours)
_MOST_REPLACED = 3  # words of a place where they differ (ours)
_TITLE = 4  # capitalised words in a row, with small ones between them, that make a title (ours)
_SMALL = frozenset("a an and as at for from how in of on or the to with".split())  # words that a title leaves small


class Fact(NamedTuple):
    """A number or name, and the words on each side (-1, 1), or on both (0), that tell what it is about."""

    kind: str
    value: str
    beside: frozenset[tuple[int, tuple[str, ...]]]


def contradiction(made: Row, parents: Sequence[Row]) -> str:
    """A number or name of the made answer in the place of another one that a parent, or its own question, says.

    Told by the words next to it ("6,650 km" against "6,690 km", "the Kowalski cycle" against "the Water cycle"), by
    sentences laid side by side, and by lists of numbers that are said again with one changed. Both must be the one's
    alone: a value that the parents know too contradicts nothing, but where it counts the same things (3 eggs, 2 eggs).
    Rounding contradicts nothing. "" if there is none.
    """
    answer, question = said_by(made, "assistant"), said_by(made, "user")
    sources = [*(text_of(parent) for parent in parents), question]
    ours = {token.replace(",", "") for token in _TOKEN.findall(answer)}
    theirs = {form for source in sources for token in _TOKEN.findall(source) for form in _forms(token)}
    return (
        _by_neighbors(answer, sources, ours, theirs)
        or _by_sentences(answer, sources, ours, theirs)
        or _by_counts(answer, [question, *(said_by(parent, "assistant") for parent in parents)])
        or _by_lists(answer, question)
    )


def _by_neighbors(answer: str, sources: Sequence[str], ours: set[str], theirs: set[str]) -> str:
    told = [fact for source in sources for fact in _facts(source, first=True) if fact.value not in ours]
    for fact in _facts(answer):
        if _forms(fact.value) & theirs:
            continue
        for other in told:
            if fact.kind == other.kind and fact.beside & other.beside and not _rounded(fact.value, other.value):
                return f"{fact.value} in place of {other.value}"
    return ""


def _by_sentences(answer: str, sources: Sequence[str], ours: set[str], theirs: set[str]) -> str:
    """Where the answer's sentence differs from a source's of much the same words by one new number or name."""
    known = [_TOKEN.findall(part) for source in sources for part in sentences(source)]
    lowered = [[token.casefold() for token in tokens] for tokens in known]
    for part in sentences(answer):
        kinds = [(match[0], kind) for match, kind in _kinds(part)]
        new = {i for i, (token, kind) in enumerate(kinds) if kind and not _forms(token) & theirs} - _titles(part)
        if not new:
            continue
        low = [token.casefold() for token, _ in kinds]
        content = set(low) - STOP
        for tokens, theirs_low in zip(known, lowered, strict=True):
            other = set(theirs_low) - STOP
            if len(content & other) < max(_LEAST_SHARED, _LEAST_SHARE * min(len(content), len(other))):
                continue
            for tag, a, b, c, d in SequenceMatcher(None, theirs_low, low, False).get_opcodes():
                found = [i for i in range(c, d) if i in new]
                if tag != "replace" or max(b - a, d - c) > _MOST_REPLACED or len(found) != 1:
                    continue
                value, kind = kinds[found[0]]
                lost = [t for t in tokens[a:b] if _kind(t) == kind and t.replace(",", "") not in ours]
                if len(lost) == 1 and not _rounded(value, lost[0]):
                    return f"{value} in place of {lost[0]}"
    return ""


def _by_counts(answer: str, told: Sequence[str]) -> str:
    counted, known = _counts([answer]), _counts(told)
    for what in counted.keys() & known.keys():
        new, lost = counted[what] - known[what], known[what] - counted[what]
        if new and lost:
            return f"{min(new)} {' '.join(what)} in place of {min(lost)}"
    return ""


def _counts(texts: Sequence[str]) -> dict[tuple[str, ...], set[str]]:
    """Whole numbers by the words after them: what there are so many of."""
    found: dict[tuple[str, ...], set[str]] = {}
    for text in texts:
        for fact in _facts(text):
            if fact.kind == "number" and fact.value.isdigit():
                for what in (words for side, words in fact.beside if side == 1):
                    found.setdefault(what, set()).add(fact.value)
    return found


def _by_lists(answer: str, question: str) -> str:
    """A list of at least four numbers of the question that the answer says again, in any order, with some changed."""
    for asked in _number_lists(question):
        for said in _number_lists(answer):
            new, lost = Counter(said) - Counter(asked), Counter(asked) - Counter(said)
            if len(said) == len(asked) and 0 < new.total() <= len(asked) // 4:
                return f"{min(new)} in place of {min(lost)}"
    return ""


def _number_lists(text: str) -> list[list[str]]:
    return [re.findall(r"\d+(?:\.\d+)?", found[0]) for found in _LISTED.finditer(text)]


def _rounded(one: str, other: str) -> bool:
    """Whether one of two numbers is the other with fewer places."""
    try:
        first, second = float(one.replace(",", "")), float(other.replace(",", ""))
    except ValueError:
        return False
    fewer, more = sorted(len(text.partition(".")[2]) for text in (one, other))
    return first == second or (0 < fewer < more and round(first, fewer) == round(second, fewer))


def _forms(token: str) -> set[str]:
    token = token.replace(",", "")
    return {token, token.casefold(), token.casefold().removesuffix("s")}


def _kind(token: str) -> str:
    if token[0].isdigit():
        return "number" if re.fullmatch(r"\d[\d,.]*", token) else ""
    return "name" if len(token) > 2 and token[0].isupper() and token[1:].islower() else ""


def _kinds(sentence: str) -> Iterator[tuple[re.Match[str], str]]:
    """The tokens of a sentence, each with "number", "name", or "" where it is neither or its capital tells nothing: at
    the beginning, and after a colon or quote before small words.
    """
    tokens = list(_TOKEN.finditer(sentence))
    for i, token in enumerate(tokens):
        kind = _kind(token[0])
        if kind == "name":
            opens = i and sentence[tokens[i - 1].end() : token.start()].strip()[-1:]
            small = i + 1 < len(tokens) and tokens[i + 1][0].islower()
            if i == 0 or (opens and opens in _OPENS and small):
                kind = ""
        yield token, kind


def _titles(sentence: str) -> set[int]:
    """Which tokens are words of titles, whose capitals tell nothing."""
    tokens = list(_TOKEN.finditer(sentence))
    found: set[int] = set()
    run: list[int] = []
    for i, token in enumerate(tokens):
        if run and sentence[tokens[i - 1].end() : token.start()].strip() not in ("", "-", ":", "'", "’"):
            run = []
        capital = token[0][0].isupper()
        run = [*run, i] if capital or (run and token[0] in _SMALL) else []
        small = sum(not tokens[k][0][0].isupper() for k in run)
        if capital and small and len(run) - small >= _TITLE:
            found.update(run)
    return found


def _facts(text: str, first: bool = False) -> Iterator[Fact]:
    """Numbers and names of the text's sentences; with `first` also a capitalised word that begins one."""
    for sentence in sentences(text):
        kinds = list(_kinds(sentence))
        titled = _titles(sentence)
        low = ["", *(match[0].casefold() for match, _ in kinds), ""]
        for i, (match, kind) in enumerate(kinds, 1):
            if first and i == 1 and low[i] not in STOP:
                kind = kind or _kind(match[0])
            if not kind:
                continue
            beside = set()
            for side, words in ((-1, low[max(i - 2, 1) : i][::-1]), (1, low[i + 1 : -1][:2])):
                if words and words[0] not in STOP and not words[0].isdigit():
                    beside.add((side, tuple(words[:1])))
                if len(words) == 2 and words[1] not in STOP and len(words[1]) > 2:
                    beside.add((side, tuple(words)))
            if kind == "name" and i - 1 in titled:
                beside = set()
            both = low[i - 1], low[i + 1]
            if not {"", *STOP}.issuperset(both):
                beside.add((0, both))
            yield Fact(kind, match[0].replace(",", ""), frozenset(beside))
