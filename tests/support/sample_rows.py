"""Rows for tests: a question and its answer, a conversation, a dataset of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datasets import Dataset

from entp_hf.schema import FEATURES, JOIN, Row, new_row


def row(question: str, answer: str, *more: str, given: str = "", system: str = "", **values: Any) -> Row:
    """A row of a question and its answer.

    Args:
        question: the first user turn.
        answer: the first assistant turn.
        more: further turns, of user and assistant by turns.
        given: the separate input, which stands below the question.
        system: a system turn before them; "" for none.
        values: columns of the row, see `schema.FEATURES`.
    """
    said = (question + (JOIN + given if given else ""), answer, *more)
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    head = [{"role": "system", "content": system}] if system else []
    return new_row([*head, *turns], **({"input": given} if given else {}), **values)


def answered(answer: str, ask: str = "Explain how bread rises.", **values: Any) -> Row:
    """A row where the answer matters and the question is any one."""
    return row(ask, answer, **values)


def rows(*questions: str) -> list[Row]:
    """A row for each question, all with one answer."""
    return [row(question, "An answer.") for question in questions]


def dataset(rows: Iterable[Row]) -> Dataset:
    """The rows with the columns of a run."""
    return Dataset.from_list(list(rows), features=FEATURES)
