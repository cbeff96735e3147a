"""Raters and embedders of a user, named by dotted path in tests."""

from __future__ import annotations

import numpy as np


def by_length(rows) -> list[float | None]:
    return [min(5.0, len(row["messages"][-1]["content"].split())) for row in rows]


def off_scale(rows) -> list[float | None]:
    return [6.0 if "two" in row["messages"][0]["content"] else None for row in rows]


def not_numbers(rows) -> list[str]:
    return ["4" for _ in rows]


def too_few(rows) -> list[float]:
    return [1.0]


def letters(texts):
    return np.array([[text.lower().count(letter) + 0.1 for letter in "aeiou"] for text in texts])


def flat(texts):
    return np.ones(len(texts))
