"""The rules by name, in the order R (repair), X (drop), F (flag)."""

from __future__ import annotations

from dataclasses import dataclass

from . import (
    encoding,
    grounding,
    language_mismatch,
    markup,
    non_prose,
    pii,
    refusal_and_persona,
    truncation,
    unusable,
)
from .arithmetic import arithmetic
from .character_ratios import character_ratios
from .list_numbering import list_numbering
from .repetition import repetition
from .row import Check, Rule
from .toxicity import flagged_words


@dataclass(frozen=True)
class DatasetRule:
    """A rule that needs the whole dataset; its code is in `purge.dataset_rules`, `duplicates` or `contamination`.

    Args:
        name: the name that its findings carry.
        code: its number in the rule library: F flags, D finds duplicates, K contamination.
        action: drop | flag.
        description: what it finds.
        threshold: its default threshold; null for a rule without one.
        setting: the setting that holds its threshold; "" where that is `purge_thresholds`.
        default_on: whether it is in the default set.
    """

    name: str
    code: str
    action: str
    description: str
    threshold: float | None = None
    setting: str = ""
    default_on: bool = True


DATASET_RULES: dict[str, DatasetRule] = {
    rule.name: rule
    for rule in (
        DatasetRule(
            "length_pileup", "F1", "flag", "unfinished answers that many of which have one same length", threshold=10.0
        ),
        DatasetRule(  # percentiles find as much in good data as in bad
            "length_percentile",
            "F11",
            "flag",
            "the shortest and longest percent of prompts, answers",
            threshold=0.5,
            default_on=False,
        ),
        DatasetRule(  # this and the next run a model
            "off_topic",
            "F20",
            "flag",
            "the percent of answers least like their question; embedder",
            threshold=1.0,
            default_on=False,
        ),
        DatasetRule(
            "instruction_difficulty",
            "F20",
            "flag",
            "IFD: the question makes the answer no likelier",
            threshold=1.0,
            default_on=False,
        ),
        DatasetRule("exact_duplicate", "D1", "drop", "the same row but for case, spaces and Unicode form"),
        DatasetRule(
            "same_prompt", "D2", "flag", "rows with the same prompt and different answers: kept, good to fuse"
        ),
        DatasetRule(
            "near_duplicate",
            "D3",
            "drop",
            "Jaccard similarity of 5-grams, by MinHash",
            threshold=0.8,
            setting="near_duplicate",
        ),
        DatasetRule(
            "semantic_duplicate",
            "D4",
            "drop",
            "cosine similarity of the embeddings",
            threshold=0.97,
            setting="semantic_duplicate",
        ),
        DatasetRule(
            "contamination",
            "K1, K2",
            "drop",
            "holds a benchmark's test item",
            threshold=0.5,
            setting="contamination_coverage",
        ),
    )
}
# Default thresholds of those whose threshold is set by `purge_thresholds`.
DATASET_THRESHOLDS = {
    name: rule.threshold for name, rule in DATASET_RULES.items() if rule.threshold is not None and not rule.setting
}


def _repair(name: str, code: str, check: Check, description: str, threshold: float | None = None) -> Rule:
    return Rule(name, code, "repair", check, description, threshold, repairs=True)


RULES: dict[str, Rule] = {
    "mojibake": _repair("mojibake", "R1", encoding.mojibake, "text decoded with the wrong encoding", 1.0),
    "control_chars": _repair("control_chars", "R2", encoding.control_chars, "control characters and terminal escapes"),
    "invisible_chars": _repair(
        "invisible_chars", "R3", encoding.invisible_chars, "zero-width, soft-hyphen, bidi characters"
    ),
    "replacement_chars": Rule(
        "replacement_chars", "R4", "flag", encoding.replacement_chars, "characters lost for good", 0.005
    ),
    "blank_runs": _repair("blank_runs", "R5", encoding.blank_runs, "carriage returns and runs of blank lines"),
    "double_escaped": _repair(
        "double_escaped", "R6", encoding.double_escaped, "literal \\n in place of line breaks", 2.0
    ),
    "html_entities": _repair("html_entities", "R7", encoding.html_entities, "HTML entities in prose"),
    "html_tags": _repair("html_tags", "R8", markup.html_tags, "HTML tags in prose", 0.3),
    "special_tokens": _repair("special_tokens", "R9", markup.special_tokens, "leaked chat and tokenizer tokens"),
    "empty_input_placeholder": _repair(
        "empty_input_placeholder", "R10", markup.empty_input_placeholder, "an input that says there is none"
    ),
    "field_label": _repair("field_label", "R11", markup.field_label, "a field that starts with its own label"),
    "boilerplate_tail": _repair(
        "boilerplate_tail", "R12", markup.boilerplate_tail, "a closing phrase of a chat", 25.0
    ),
    "unclosed_fence": _repair("unclosed_fence", "R13", markup.unclosed_fence, "a code fence never closed"),
    "empty_answer": Rule("empty_answer", "X1", "drop", unusable.empty_answer, "an answer without a word"),
    "broken_roles": Rule(
        "broken_roles", "X2", "drop", unusable.broken_roles, "turns missing, empty or out of order", repairs=True
    ),
    "echo": Rule("echo", "X3", "drop", unusable.echo, "an answer that repeats the prompt", 0.95),
    "copied_block": Rule("copied_block", "X3", "drop", unusable.copied_block, "an answer copied from the prompt", 0.9),
    "repetition": Rule("repetition", "X4", "flag", repetition, "pathological repetition", 1.0, repairs=True),
    "filler_text": Rule("filler_text", "X5", "drop", unusable.filler_text, "lorem ipsum and test text", 0.5),
    "missing_reference": Rule(
        "missing_reference", "X6", "flag", grounding.missing_reference, "refers to what the row does not hold", 20.0
    ),
    "impossible_action": Rule(
        "impossible_action", "X7", "flag", grounding.impossible_action, "claims an action in the world"
    ),
    "merged_records": Rule(
        "merged_records", "X8", "drop", unusable.merged_records, "a second record in the answer", repairs=True
    ),
    "corrupt_length": Rule(
        "corrupt_length", "X9", "drop", unusable.corrupt_length, "absurd lengths, data dumps", 200_000.0
    ),
    "truncated": Rule("truncated", "F1", "flag", truncation.truncated, "prose that stops in mid-sentence", 30.0),
    "cut_code": Rule("cut_code", "F2", "flag", truncation.cut_code, "code that breaks off"),
    "ends_with_colon": Rule("ends_with_colon", "F3", "flag", truncation.ends_with_colon, "ends with a colon"),
    "unbalanced": Rule("unbalanced", "F4", "flag", truncation.unbalanced, "LaTeX or brackets left open"),
    "list_numbering": Rule(
        "list_numbering", "F5", "flag", list_numbering, "lists that jump or fall short", repairs=True
    ),
    "refusal": Rule("refusal", "F6", "flag", refusal_and_persona.refusal, "an answer that declines as a whole", 60.0),
    "identity_leak": Rule(
        "identity_leak", "F7", "flag", refusal_and_persona.identity_leak, "names its model or maker", repairs=True
    ),
    "role_confusion": Rule(
        "role_confusion", "F8", "flag", refusal_and_persona.role_confusion, "other speakers' turns", repairs=True
    ),
    "placeholder": Rule("placeholder", "F9", "flag", non_prose.placeholder, "template slots left in", 3.0),
    "too_short": Rule("too_short", "F10", "flag", truncation.too_short, "too few words for what is asked", 3.0),
    "length_outlier": Rule(
        "length_outlier", "F11", "flag", truncation.length_outlier, "an absurdly long prompt", 2000.0
    ),
    "language_mismatch": Rule(
        "language_mismatch", "F12", "flag", language_mismatch.language_mismatch, "answered in another language", 0.8
    ),
    "mixed_script": Rule(
        "mixed_script", "F13", "flag", language_mismatch.mixed_script, "look-alike letters in words", 0.15
    ),
    "symbol_ratio": Rule("symbol_ratio", "F14", "flag", non_prose.symbol_ratio, "symbols in place of words", 0.25),
    "character_ratios": Rule(
        "character_ratios",
        "F14",
        "flag",
        character_ratios,
        "figures, capitals, blanks, bullets in place of prose",
        1.0,
    ),
    "url_load": Rule("url_load", "F15", "flag", non_prose.url_load, "mostly web addresses", 0.2),
    "pii": Rule("pii", "F16", "repair", pii.pii, "personal data", repairs=True),
    "secret": Rule("secret", "F17", "repair", pii.secret, "keys and tokens", repairs=True),
    "flagged_words": Rule(
        "flagged_words", "F18", "flag", flagged_words, "vulgar and abusive words", 0.045, default_on=False
    ),
    "think_tags": Rule(
        "think_tags", "F19", "flag", refusal_and_persona.think_tags, "broken reasoning tags", repairs=True
    ),
    "arithmetic": Rule("arithmetic", "F21", "flag", arithmetic, "sums that do not come out", 0.01),
    "page_boilerplate": Rule(
        "page_boilerplate",
        "F22",
        "repair",
        refusal_and_persona.page_boilerplate,
        "lines of web pages",
        25.0,
        repairs=True,
    ),
}
