"""The table of rules as Markdown: python -m entp_hf.rules.table. docs/purge.md holds what it prints."""

from __future__ import annotations

from .registry import RULES

WHOLE = (
    ("length_pileup", "F1", "flag", "10", "unfinished answers that many of which have one same length"),
    (
        "length_percentile",
        "F11",
        "flag (off by default)",
        "0.5",
        "the shortest and longest percent of prompts, answers",
    ),
    ("off_topic", "F20", "flag (off by default)", "1", "the percent of answers least like their question; embedder"),
    ("instruction_difficulty", "F20", "flag (off by default)", "1", "IFD: the question makes the answer no likelier"),
    ("exact_duplicate", "D1", "drop", "", "the same row but for case, spaces and Unicode form"),
    ("same_prompt", "D2", "flag", "", "rows with the same prompt and different answers: kept, good to fuse"),
    ("near_duplicate", "D3", "drop", "near_duplicate 0.8", "Jaccard similarity of 5-grams, by MinHash"),
    ("semantic_duplicate", "D4", "drop", "semantic_duplicate 0.97", "cosine similarity of the embeddings"),
    ("contamination", "K1, K2", "drop", "contamination_coverage 0.5", "holds a benchmark's test item"),
)


def finds(name: str) -> str:
    """What a rule finds, in a few words; "" for a rule of one's own."""
    if name in RULES:
        return RULES[name].description
    return next((entry[-1] for entry in WHOLE if entry[0] == name), "")


def table() -> str:
    """One line a rule, in the order in which findings are listed."""
    lines = ["| rule | code | does | threshold | finds |", "|---|---|---|---|---|"]
    for rule in RULES.values():
        does = rule.action + (", repair" if rule.repairs and rule.action != "repair" else "")
        does += "" if rule.default_on else " (off by default)"
        limit = "" if rule.threshold is None else f"{rule.threshold:g}"
        lines.append(f"| `{rule.name}` | {rule.code} | {does} | {limit} | {rule.description} |")
    lines += [f"| `{name}` | {code} | {does} | {limit} | {finds} |" for name, code, does, limit, finds in WHOLE]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201
