"""Symbolic purge: rules that repair, flag or drop rows, duplicates, and contamination with test sets."""

from __future__ import annotations

from .accuracy import accuracy
from .config_rules import resolve, rule_problems
from .contamination import Contamination
from .duplicates import find_duplicates, mark_duplicates, same_prompts
from .engine import Purge, Purged
from .explain import explain
from .registry import DATASET_RULES, RULES
from .report import purge_report
from .rows import Fields, Hit, Part, Rule
from .tune import rethreshold

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
