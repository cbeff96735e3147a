"""Which rules run, with which thresholds: names resolved, mistakes put into words."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from ..schema import Row
from .registry import DATASET_RULES, DATASET_THRESHOLDS, RULES
from .row import Rule

# A row in which one of these rules found something that repair could not mend may feed a fusion or a repair by an LLM,
# but is neither quoted in a composition nor kept as it is.
BROKEN = {
    "truncated", "cut_code", "refusal", "ends_with_colon", "missing_reference", "too_short", "language_mismatch",
    "replacement_chars", "role_confusion", "placeholder", "symbol_ratio", "echo", "repetition", "identity_leak",
    "mixed_script", "think_tags", "arithmetic", "impossible_action", "url_load", "unbalanced", "list_numbering",
    "html_tags",
}  # fmt: skip

DEFAULT = "default"  # in `purge_rules`: the default set, beside what else is named


def resolve(name: str) -> Rule:
    """A rule by its name or as "package.module:attr", a `Rule` or a function (Fields, threshold) -> hits.

    Raises KeyError for an unknown name, ImportError or AttributeError for a path that leads nowhere, TypeError
    for one that leads to no rule.
    """
    if ":" not in name:
        return RULES[name]
    module, _, attr = name.partition(":")
    found = getattr(importlib.import_module(module), attr)
    if isinstance(found, Rule):
        return found
    if callable(found):
        text = (found.__doc__ or attr).strip().splitlines()[0]
        return Rule(attr, "own", "flag", found, text, repairs=True)
    raise TypeError(f"{name} is {type(found).__name__}, neither a Rule nor a function")


def rule_name(name: str) -> str:
    """The name that a rule's findings carry; own rules are given by path and named by what the path leads to."""
    return resolve(name).name if ":" in name else name


def selected(rules: Sequence[str], off: Sequence[str]) -> list[Rule]:
    """The rules to run, in the library's order, own rules last; no names, or "default", mean the default set."""
    names = [n for n in rules if n not in DATASET_RULES]
    if not rules or DEFAULT in rules:
        names = [n for n, r in RULES.items() if r.default_on] + [n for n in names if n != DEFAULT]
    order = {name: place for place, name in enumerate(RULES)}
    return [resolve(n) for n in sorted(dict.fromkeys(names), key=lambda n: order.get(n, len(order))) if n not in off]


def dataset_rules_off(rules: Sequence[str], off: Sequence[str]) -> set[str]:
    """The rules over the whole dataset (duplicates, contamination) that are not to run."""
    wanted = set(rules)
    if not rules or DEFAULT in rules:
        wanted |= {name for name, rule in DATASET_RULES.items() if rule.default_on}
    return {name for name in DATASET_RULES if name in off or name not in wanted}


def parse_thresholds(entries: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """("repetition=0.4",) -> (("repetition", 0.4),). Raises ValueError for what is no number."""
    found = []
    for entry in entries:
        name, _, value = entry.partition("=")
        if not _is_number(value):
            raise ValueError(f"{value!r} for {name.strip()} is not a number; write {name.strip()}=0.5")
        found.append((name.strip(), float(value)))
    return tuple(found)


def rule_problems(
    rules: Sequence[str] = (), off: Sequence[str] = (), drop: Sequence[str] = (), thresholds: Sequence[str] = ()
) -> list[str]:
    """Wrong rule names and thresholds, each in words with the setting's name; [] if there are none.

    Args:
        rules: names to run (setting `purge_rules`).
        off: names not to run (`purge_off`).
        drop: names of rules that drop instead of flagging (`purge_drop`).
        thresholds: entries NAME=NUMBER (`purge_thresholds`).

    """
    found = []
    for setting, names in (("purge_rules", rules), ("purge_off", off), ("purge_drop", drop)):
        found += [f"{setting}: {problem}" for name in names if (problem := _name_problem(name))]
    for entry in thresholds:
        name, sign, value = (piece.strip() for piece in entry.partition("="))
        if not sign:
            continue  # reported by the configuration itself
        if problem := _name_problem(name):
            found.append(f"purge_thresholds: {problem}")
        elif ":" not in name and default_threshold(name) is None:
            usable = ", ".join([n for n, r in RULES.items() if r.threshold is not None] + [*DATASET_THRESHOLDS])
            found.append(f"purge_thresholds: rule {name!r} has no threshold; those with one: {usable}")
        if not _is_number(value):
            found.append(f"purge_thresholds: {value!r} for {name} is not a number; write {name}=0.5")
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _name_problem(name: str) -> str:
    if ":" in name:
        try:
            resolve(name)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            return f"{name!r} can't be used as a rule: {error}"
        return ""
    if name in RULES or name in DATASET_RULES or name == DEFAULT:
        return ""
    near = get_close_matches(name, [*RULES, *DATASET_RULES], n=3)
    return f"no rule is called {name!r}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(RULES)}"
    )


def default_threshold(name: str) -> float | None:
    """A shipped rule's threshold; None for rules without one, and for own rules."""
    return RULES[name].threshold if name in RULES else DATASET_THRESHOLDS.get(name)


def thresholds_of(rules: Sequence[Rule], given: Mapping[str, float]) -> dict[str, float]:
    """Each rule's threshold in force; 0 for rules without one."""
    return {r.name: given.get(r.name, r.threshold if r.threshold is not None else 0.0) for r in rules}


def defects(row: Row) -> set[str]:
    """Rules of `BROKEN` that found something in the row which repair could not mend."""
    return BROKEN & {finding["rule"] for finding in row["findings"] if finding["action"] != "repair"}
