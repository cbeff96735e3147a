"""The default purge on real, mostly good rows: how many it may drop and flag."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from entp_hf import EntpConfig
from entp_hf.execution.stage import apply
from entp_hf.io.reader import read_rows
from entp_hf.purge import Purge

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CJK = re.compile("[\u3000-\u9fff\uff00-\uffef]")
# Rules that look for phrases; the detail of their findings shows what they found.
PHRASES = {"refusal", "identity_leak", "boilerplate_tail", "impossible_action", "page_boilerplate", "placeholder"}


def purged(name, *columns):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the project (../shared/data)")
    rows, _ = read_rows(str(path), EntpConfig())
    alive = rows.filter(lambda gone: gone is None, input_columns="dropped_by")
    return apply(alive, Purge(), "purge").select_columns(["findings", "dropped_by", "messages"])


def shares(rows):
    dropped = sum(gone is not None for gone in rows["dropped_by"]) / len(rows)
    flagged = sum(any(f["action"] == "flag" for f in found) for found in rows["findings"]) / len(rows)
    return dropped, flagged


@pytest.mark.parametrize("name", ["mergeit_6k.parquet", "dolly_3k.parquet"])
def test_good_rows_stay(name):
    dropped, flagged = shares(purged(name))
    assert dropped <= 0.02 and flagged <= 0.10


def test_chinese_rows_stay_and_no_english_rule_reads_them():
    rows = purged("alpaca_zh_3k.parquet")
    assert shares(rows)[0] <= 0.02
    for messages, found in zip(rows["messages"], rows["findings"], strict=True):
        chinese = len(CJK.findall(messages[-1]["content"])) > 0.5 * len(messages[-1]["content"])
        english = [f for f in found if chinese and f["rule"] in PHRASES and not CJK.search(f["detail"])]
        assert english == []


def test_a_tool_call_is_no_reason_to_drop():
    rows = purged("sharegpt_toolcall_300.json")
    assert set(rows["dropped_by"]) == {None}
    roles = [{m["role"] for m in messages} for messages in rows["messages"]]
    assert sum("tool" in r for r in roles) > 100
    calls = [f for found in rows["findings"] for f in found if f["field"] == "tool"]
    assert calls == []
