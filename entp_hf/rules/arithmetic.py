"""F21: sums that do not come out. Numbers and four operations are read by a small parser; nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from ..text.prompt_intent import ARITHMETIC_WANTED
from .row import Fields, Hit, shown

_NUMBER = r"\d{1,12}(?:,\d{3})*(?:\.\d{1,6})?"
_SUM = re.compile(
    rf"(?<![\w.,/^*+×÷·=(-])(?<![-+*/×÷x^=(] )(\$?{_NUMBER}(?:[ \t]?[-+*/×÷−x][ \t]?\$?{_NUMBER}){{1,5}})"
    rf"[ \t]?=[ \t]?\$?(-?{_NUMBER})(?![\d.,]*\d|[ \t]?[-+*/×÷^%(x]|[ \t]?[a-z]\b|/)"
)
_GSM = re.compile(rf"<<([\d.+\-*/() ]{{3,60}})=(-?{_NUMBER})>>")
_TOKEN = re.compile(rf"\s*(?:({_NUMBER})|([-+*/()]))")


def value_of(expression: str) -> Fraction | None:
    """The value of numbers joined by + - * / and brackets; None for anything else, or a division by zero."""
    text = expression.replace("×", "*").replace("÷", "/").replace("−", "-").replace("x", "*").replace("$", "")
    tokens: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        tokens.append(match.group(1).replace(",", "") if match.group(1) else match.group(2))
        at = match.end()
    try:
        value, rest = _sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return value if not rest else None


def _sum(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        operator = tokens[0]
        right, tokens = _product(tokens[1:])
        value = value + right if operator == "+" else value - right
    return value, tokens


def _product(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _atom(tokens)
    while tokens and tokens[0] in "*/":
        operator = tokens[0]
        right, tokens = _atom(tokens[1:])
        value = value * right if operator == "*" else value / right
    return value, tokens


def _atom(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[0] == "(":
        value, rest = _sum(tokens[1:])
        if rest[0] != ")":
            raise ValueError("bracket not closed")
        return value, rest[1:]
    return Fraction(tokens[0]), tokens[1:]


def arithmetic(row: Fields, threshold: float) -> Iterator[Hit]:
    """A sum whose result differs from what is written by over `threshold` of it; GSM8K's <<a=b>> too."""
    for part in row.answers:
        text = part.prose
        if "=" not in text:
            continue
        for pattern in (_SUM, _GSM):
            for match in pattern.finditer(text):
                wrong = _wrong(match.group(1), match.group(2), threshold)
                if wrong and not ARITHMETIC_WANTED.search(row.question_before(part)):
                    yield Hit(part, *match.span(), f"{shown(match.group())}, should be {wrong}")
                    return


def _wrong(left: str, right: str, threshold: float) -> str:
    value, said = value_of(left), value_of(right.lstrip("-"))
    if value is None or said is None:
        return ""
    said = -said if right.startswith("-") else said
    digits = len(right.partition(".")[2])
    # A result may be rounded to the digits it is given with, or to the next unit.
    if abs(value - said) <= max(Fraction(1, 10**digits), abs(value) * Fraction(threshold)):
        return (
            ""
            if value.denominator != 1 or abs(value - said) * 10**digits < 1 and value == said
            else _spelt(value, said)
        )
    return _spelt(value, said)


def _spelt(value: Fraction, said: Fraction) -> str:
    return "" if value == said else f"{float(value):g}"
