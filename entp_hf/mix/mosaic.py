"""Several rows composed as one, without an LLM and without a word that no row has (Mosaic-IT, arXiv 2405.13326).

Beside the plain composition the paper's three variations, each stated in one line before the parts: a `format` that
marks the answers, another `order` of the answers, and a `subset` of the parts that is answered.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

import numpy as np
from markdown_it import MarkdownIt

from ..rules.selection import defects
from ..schema import JOIN, Message, Origin, Row, response_of, without_nulls
from ..text.language import language_of, script_of
from ..text.words import normalised
from .fusion import made_row, turn
from .groups import Group

# One line before the parts, where we can say it in the rows' own language; else the parts stand alone.
PREFACE = {
    "en": "Answer each of the following in order.",
    "zh": "请依次回答以下各题。",
    "es": "Responde en orden a cada punto.",
    "fr": "Répondez dans l'ordre à chaque point.",
    "de": "Beantworte der Reihe nach jeden Punkt.",
    "pt": "Responda a cada item, na ordem.",
    "ja": "次の各項目に順に答えてください。",
    "ko": "다음 각 항목에 차례로 답하세요.",
    "ru": "Ответьте по порядку на каждый пункт.",
    "ar": "أجب عن كل بند مما يلي بالترتيب.",
}
_ORDER = {
    "en": "Answer each of the following, in the order {}.",
    "zh": "请按 {} 的顺序回答以下各题。",
    "es": "Responde a cada punto, en el orden {}.",
    "fr": "Répondez à chaque point, dans l'ordre {}.",
    "de": "Beantworte jeden Punkt, in der Reihenfolge {}.",
}
_SUBSET = {
    "en": "Answer each of the following in order, but leave out number {}.",
    "zh": "请依次回答以下各题，但跳过第 {} 题。",
    "es": "Responde en orden a cada punto, excepto el número {}.",
    "fr": "Répondez dans l'ordre à chaque point, sauf le numéro {}.",
    "de": "Beantworte der Reihe nach jeden Punkt, außer Nummer {}.",
}
_FORMAT = {
    "en": "Answer each of the following in order, and mark the answers like this: {}.",
    "zh": "请依次回答以下各题，并这样标注答案：{}。",
    "es": "Responde en orden a cada punto y marca las respuestas así: {}.",
    "fr": "Répondez dans l'ordre à chaque point et marquez les réponses ainsi : {}.",
    "de": "Beantworte der Reihe nach jeden Punkt und kennzeichne die Antworten so: {}.",
}
MARKS = ("[{}]", "({})", "<{}>", "Answer {}:")  # the last one for English rows alone
VERSION = "mosaic@3"


def mosaic(group: Group, round_: int, styles: Sequence[str] = ("plain",), seed: int = 0) -> Row | None:
    """The rows of a group as one: their instructions numbered in one, their answers numbered alike.

    The style is drawn from `styles` by the seed and the representative; one that the rows don't allow (a subset of
    two, a language without the line that says it) gives the plain composition. A row that a subset leaves out is shown
    as a question alone: it is no parent, and not used up. Conversations of several turns are played one after the
    other. Rows with a defect that repair could not mend stay out, and of rows that ask the same, all but the best one.
    None where fewer than two rows are left.
    """
    parts = _distinct([row for row in group.rows if not defects(row)])
    if len(parts) < 2:
        return None
    if group.multi_turn:
        return made_row(_played(parts), parts, Origin.MOSAIC, "", VERSION, round_)
    asked = [_question(row) for row in parts]
    text = JOIN.join(asked)
    language = language_of(text, script_of(text))[0]
    rng = np.random.default_rng([seed, round_, *parts[0]["id"].encode()])
    style = styles[int(rng.integers(len(styles)))]
    preface, chosen, mark = _styled(style, language, len(parts), rng)
    instruction = (preface + JOIN if preface else "") + _listed(asked, range(len(parts)), "{}.".format)
    answers = _listed([response_of(row) for row in parts], chosen, mark)
    used = [parts[i] for i in sorted(chosen)]
    turns = [turn("user", instruction), turn("assistant", answers)]
    return made_row(turns, used, Origin.MOSAIC, "", f"{VERSION}:{style}", round_)


def _question(row: Row) -> str:
    return next(str(m["content"]) for m in row["messages"] if m["role"] == "user")


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Of rows with the same question the one of the highest score, then of the longest answer; in their order."""
    best: dict[str, Row] = {}
    for row in rows:
        key = normalised(_question(row))
        if key not in best or _rank(row) > _rank(best[key]):
            best[key] = row
    return list(best.values())


def _rank(row: Row) -> tuple[float, int]:
    return (row["expected_score"] if row["expected_score"] is not None else -1.0, len(response_of(row)))


def _styled(
    style: str, language: str, count: int, rng: np.random.Generator
) -> tuple[str, Sequence[int], Callable[[int], str]]:
    """The line before the parts, which of `count` parts are answered in which order, and how an answer is marked."""
    every = range(count)
    if style == "order" and language in _ORDER:
        turned = rng.permutation(count)
        order = [int(i) for i in (turned if list(turned) != list(every) else turned[::-1])]
        return _ORDER[language].format(", ".join(str(i + 1) for i in order)), order, "{}.".format
    if style == "subset" and language in _SUBSET and count > 2:
        out = int(rng.integers(1, count))  # the representative is always answered
        return _SUBSET[language].format(out + 1), [i for i in every if i != out], "{}.".format
    if style == "format" and language in _FORMAT:
        mark = MARKS[int(rng.integers(len(MARKS) if language == "en" else len(MARKS) - 1))]
        shown = ", ".join(mark.format(i + 1).rstrip(":") for i in every)
        return _FORMAT[language].format(shown), every, mark.format
    return PREFACE.get(language, ""), every, "{}.".format


def _played(parts: Sequence[Row]) -> list[Message]:
    system = [m for m in parts[0]["messages"] if m["role"] == "system"]
    return system + [without_nulls(m) for row in parts for m in row["messages"] if m["role"] != "system"]


@functools.cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline")


def _is_prose(text: str) -> bool:
    """Whether Markdown reads the text as paragraphs alone: no list, code, heading, quote or table."""
    return all(token.type in ("paragraph_open", "inline", "paragraph_close") for token in _parser().parse(text))


def _listed(texts: Sequence[str], chosen: Sequence[int], mark: Callable[[int], str]) -> str:
    """The chosen texts, each after its mark, so that Markdown reads each as it read it alone.

    Paragraphs follow their mark in its line. Where a part has other blocks (a fence, a list, a heading), all marks
    stand as paragraphs of their own, numbers in bold, since "1." alone would begin or go on with a list.
    """
    parts = [texts[i].rstrip().strip("\n") for i in chosen]
    marks = [mark(i + 1) for i in chosen]
    if all(map(_is_prose, parts)):
        inside = [" " * (len(name) + 1) if name[:-1].isdigit() else "" for name in marks]
        pairs = zip(marks, parts, inside, strict=True)
        return JOIN.join(f"{name} " + re.sub(r"\n(?=[^\n])", f"\n{by}", part.lstrip()) for name, part, by in pairs)
    titles = [f"**{name}**" if name[:-1].isdigit() else name for name in marks]
    return JOIN.join(f"{title}\n\n{part}" for title, part in zip(titles, parts, strict=True))
