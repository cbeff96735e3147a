"""What is to be done with a row that no group takes: keep it, answer it anew, or leave it out.

Not in the paper (arXiv 2510.23160); after Cure-SFT: triage first, then a repair of what can be repaired. Half of the
rows of low ratings are not bad at all, but short answers to small tasks: keeping them is a real outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..config import EntpConfig
from ..rules.selection import defects
from ..schema import Row, is_single_turn
from .fusion import CURES

HOPELESS = frozenset({"missing_reference", "placeholder", "role_confusion", "replacement_chars"})  # in a request
MOST_CHARS = 6000  # of a request that is answered anew: a longer one carries a whole document


def triage(row: Row, config: EntpConfig) -> str:
    """What is to be done with a row by itself: "keep", "cure" or "drop".

    Cured are rows with a finding that a new answer can mend, and rows whose expected score is under `cure_below`.
    Dropped are those whose request can't be answered: what it speaks of is not there. Conversations of several turns
    and tool use are kept: a new last answer may not fit the turns before it.
    """
    if not is_single_turn(row) or row.get("tools"):
        return "keep"
    flagged = {(f["rule"], f["field"]) for f in row["findings"] if f["action"] == "flag"}
    if any(rule in HOPELESS and (rule == "missing_reference" or field != "response") for rule, field in flagged):
        return "drop"
    if sum(len(m["content"]) for m in row["messages"] if m["role"] == "user") > MOST_CHARS:
        return "keep"
    if any(rule in CURES for rule, _ in flagged) or defects(row):
        return "cure"
    score = row.get("expected_score")
    return "cure" if score is not None and score < config.cure_below else "keep"


def triaged(rows: Iterable[Row], config: EntpConfig) -> dict[str, int]:
    """How many of the rows are to be kept, cured and dropped."""
    return dict(Counter(triage(row, config) for row in rows))
