"""Whether a rule is too lenient: it finds nothing, where the plain test that a peer ships for the same finds much.

The plain tests find far too much to act on; a rule that finds not one of their rows is off in its threshold, though,
or knows nothing of this kind of data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..schema import response_of

SHARE, LEAST = 0.02, 20  # of the rows, and rows at least, that a peer's test must find (ours)
# rule -> whose test, and the pattern that it looks for in a response
PEERS: dict[str, tuple[str, re.Pattern[str]]] = {
    "mojibake": ("ftfy's commonest", re.compile("Ã[\x80-\xbf]|â€")),
    "invisible_chars": ("dingo", re.compile("[\u200b\u2060\ufeff\u00ad\u202a-\u202e]")),
    "replacement_chars": ("dingo, DataFlow", re.compile("\ufffd")),
    "html_entities": ("DataFlow, dingo", re.compile(r"&(?:nbsp|amp|lt|gt|quot|#\d+);")),
    "html_tags": ("data-juicer", re.compile(r"</?(?:p|br|div|span|a|li|td|b|i)\b[^<>]*>")),
    "special_tokens": ("dingo", re.compile(r"<\|.*?\|>")),
    "boilerplate_tail": ("Cherry_LLM", re.compile(r"(?i)i hope this helps|let me know if|feel free to ask")),
    "empty_answer": ("self-instruct", re.compile(r"\A[\W_]*\Z")),
    "repetition": ("data-juicer", re.compile(r"(\b\w+\W+\w+\W+\w+\W+)\1\1\1")),
    "ends_with_colon": ("DataFlow, dingo", re.compile(r"[:：]\s*\Z")),
    "refusal": ("Cherry_LLM, open-instruct", re.compile(r"(?i)as an ai|i cannot (?:assist|help)|i'm sorry, but|抱歉")),
    "identity_leak": ("open-instruct", re.compile(r"(?i)\bchatgpt\b|openai|knowledge cutoff|language model")),
    "placeholder": ("AlpacaDataCleaned", re.compile(r"(?i)\[(?:insert|your)\b[^\]]*\]|\{\{\w+\}\}")),
    "url_load": ("NeMo Curator", re.compile(r"(?:https?://\S+\s*){2}")),
    "pii": ("datatrove", re.compile(r"\b[\w.+-]+@(?!example\.)[\w-]+\.\w{2,}\b")),
    "page_boilerplate": ("C4", re.compile(r"(?i)all rights reserved|uses? cookies|privacy policy")),
}


def warnings(idle: Sequence[str], rows: Iterable[Mapping[str, Any]], total: int) -> list[str]:
    """A sentence for every rule of `idle` (they found nothing in `rows`) whose peer finds `SHARE` of `total` rows."""
    tests = [(name, *PEERS[name]) for name in idle if name in PEERS]
    counts = dict.fromkeys((name for name, _, _ in tests), 0)
    for row in rows if tests and total >= LEAST else ():
        response = response_of(row)
        for name, _, pattern in tests:
            counts[name] += pattern.search(response) is not None
    return [
        f"purge: rule {name} found nothing, where a plain test as in {peer} finds {counts[name]} of {total} rows; "
        "its threshold may be too lenient (purge_thresholds)"
        for name, peer, _ in tests
        if counts[name] >= max(LEAST, SHARE * total)
    ]
