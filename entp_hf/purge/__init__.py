"""Symbolic purge: rules that repair, flag or drop rows, duplicates, and contamination with test sets."""

from __future__ import annotations

from ..rules.registry import DATASET_RULES, RULES
from ..rules.row import Fields, Hit, Part, Rule
from ..rules.selection import resolve, rule_problems
from .accuracy import accuracy
from .contamination.index import Contamination
from .duplicates.search import find_duplicates, mark_duplicates, same_prompts
from .explain import explain
from .purge import Purge, Purged
from .report import purge_report
from .retune import rethreshold

__all__ = [
    "DATASET_RULES",
    "RULES",
    "Contamination",
    "Fields",
    "Hit",
    "Part",
    "Purge",
    "Purged",
    "Rule",
    "accuracy",
    "explain",
    "find_duplicates",
    "mark_duplicates",
    "purge_report",
    "resolve",
    "rethreshold",
    "rule_problems",
    "same_prompts",
]
