"""Symbolic purge: rules that repair, flag or drop rows, duplicates, and contamination with test sets."""

from __future__ import annotations

from .config_rules import resolve, rule_problems
from .engine import Purge, Purged
from .registry import DATASET_RULES, RULES
from .rows import Fields, Hit, Part, Rule

__all__ = ["DATASET_RULES", "RULES", "Fields", "Hit", "Part", "Purge", "Purged", "Rule", "resolve", "rule_problems"]
