"""Precision and recall of `pii` on labelled lines: pii_lines.jsonl, made up; every value has a kind, or none.

Each line is {"text", "kind", "value"}: kind EMAIL, PHONE, CARD, IBAN, ID or IP with the value to replace, or "" where
nothing is personal (versions, clauses, part numbers, barcodes, order references, machine accounts, handles).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from entp_hf.purge import Purge

LINES = [json.loads(line) for line in (Path(__file__).parent / "pii_lines.jsonl").read_text("utf-8").splitlines()]


def replaced(text):
    messages = [{"role": "user", "content": "What does the note say?"}, {"role": "assistant", "content": text}]
    return Purge(rules=("pii",)).row(messages).messages[-1]["content"]


def test_precision_and_recall():
    counts, missed, wrong = Counter(), [], []
    for line in LINES:
        after = replaced(line["text"])
        if line["kind"]:
            hit = line["value"] not in after and f"[{line['kind']}_" in after
            counts["found" if hit else "missed"] += 1
            missed += [] if hit else [line["text"]]
        else:
            counts["left" if after == line["text"] else "spoilt"] += 1
            wrong += [] if after == line["text"] else [(line["text"], after)]
    assert counts["found"] + counts["missed"] >= 200 and counts["left"] + counts["spoilt"] >= 200
    precision = counts["found"] / (counts["found"] + counts["spoilt"])
    recall = counts["found"] / (counts["found"] + counts["missed"])
    assert precision >= 0.99 and recall >= 0.98, (precision, recall, missed, wrong)
