"""The engine: the map transform, what passes untouched, names and thresholds, idempotence, hostile text."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import pytest
from datasets import Dataset
from sample_rows import answered as row
from sample_rows import dataset

import entp_hf
from entp_hf.config import EntpConfig
from entp_hf.execution.stage import apply
from entp_hf.purge import RULES, Hit, Purge, Rule, mark_duplicates, purge_report, rule_problems
from entp_hf.purge.accuracy import accuracy
from entp_hf.rules.masks import mask
from entp_hf.schema import FEATURES

POOL = Path(entp_hf.__file__).parent / "data" / "pool.jsonl"
GOOD = "Yeast eats sugar and gives off gas."


def shout(fields, threshold):
    """Answers in capitals."""
    return [Hit(p, 0, len(p.text), "capitals", text=p.text.lower()) for p in fields.answers if p.text.isupper()]


LOUD = Rule("loud", "own", "flag", shout, "answers in capitals", repairs=True)


def test_map_with_two_processes_equals_one_and_keeps_the_schema():
    rows = dataset([row(GOOD + tail, source=str(i)) for i in range(30) for tail in ("", "<|im_end|>", "\x07")])
    one = rows.map(Purge(), batched=True, batch_size=16, features=FEATURES)
    two = rows.map(Purge(), batched=True, batch_size=16, features=FEATURES, num_proc=2)
    assert one.to_list() == two.to_list()
    assert one.features == FEATURES and one["id"] == rows["id"]
    assert {m[1]["content"] for m in one["messages"]} == {GOOD}
    assert [len(f) for f in one["findings"][:3]] == [0, 1, 1]


def test_rows_with_messages_only_get_the_two_columns_and_keep_theirs():
    rows = Dataset.from_list([{"messages": row(a)["messages"], "mine": i} for i, a in enumerate([GOOD] * 4 + ["..."])])
    out = rows.map(Purge(), batched=True, batch_size=2, features=Purge().features(rows.features))
    assert out["mine"] == [0, 1, 2, 3, 4] and out["dropped_by"] == [None] * 4 + ["purge:empty_answer"]
    assert "input" not in out.column_names


def test_dropped_rows_and_rows_outside_the_pool_pass_untouched():
    rows = [row("...", dropped_by="input:x"), row("...", in_pool=False), row("...", in_pool=True)]
    out = apply(dataset(rows), Purge(only_pool=True), "purge")
    assert out["dropped_by"] == ["input:x", None, "purge:empty_answer"]
    assert [len(f) for f in out["findings"]] == [0, 0, 1]


def test_a_flag_drops_where_it_is_told_to_and_thresholds_hold():
    refusal = row("I'm sorry, but I can't help with that.")["messages"]
    assert Purge().row(refusal).dropped_by is None
    assert Purge(drop=("refusal",)).row(refusal).dropped_by == "purge:refusal"
    assert Purge(off=("refusal",)).row(refusal).findings == []
    assert Purge(thresholds=(("refusal", 3.0),)).row(refusal).findings == []


def test_own_rules_by_path_as_function_or_rule():
    for name in ("shout", "LOUD"):
        result = Purge(rules=(f"{__name__}:{name}",)).row(row("SHOUTED TEXT")["messages"])
        assert result.messages[1]["content"] == "shouted text" and result.findings[0].action == "repair"


def test_the_purge_pickles_and_equal_purges_are_equal():
    purge = Purge(rules=("echo",), thresholds=(("echo", 0.9),))
    again = pickle.loads(pickle.dumps(purge))
    assert again == purge and hash(again) == hash(purge) and repr(again) == repr(purge)
    assert pickle.loads(pickle.dumps(RULES["echo"])) == RULES["echo"]


def test_every_rule_is_described_and_in_order():
    letters = [rule.code[0] for rule in RULES.values()]
    assert letters == sorted(letters, key="RXF".index)
    assert all(name == rule.name and rule.description and rule.check.__doc__ for name, rule in RULES.items())


def test_problems_name_what_is_near():
    config = EntpConfig(
        purge_rules=["ecko"],
        purge_off=["no.such:x"],
        purge_drop=["refusal", f"{__name__}:LOUD"],
        purge_thresholds=["echo=high", "secret=1", "echo=0.9"],
    )
    named = (config.purge_rules, config.purge_off, config.purge_drop, config.purge_thresholds)
    found = rule_problems(*named)
    assert len(found) == 4
    assert "did you mean echo" in found[0] and "no.such" in found[1]
    assert "'high'" in found[2] and "has no threshold" in found[3]
    assert rule_problems() == []


def test_a_tool_call_is_no_defect():
    call = json.dumps({"name": "f", "arguments": {"x": "<br><br> N/A", "n": [1, 2]}})
    turns = [("system", "Tools."), ("user", "Run f."), ("assistant", call), ("tool", "{}"), ("assistant", "Done.")]
    result = Purge().row([{"role": r, "content": c} for r, c in turns])
    assert (result.findings, result.dropped_by, result.changed) == ([], None, False)


def test_masks_cover_code_and_mathematics_only():
    text = "Run `x <br>` for $a_1 + b$ at $5 or $6.\n\n```py\ncode\n```\n\\(z\\)"
    covered = mask(text).cover(text)
    assert len(covered) == len(text)
    assert "br" not in covered and "a_1" not in covered and "code" not in covered and "z" not in covered
    assert "$5 or $6" in covered and mask("plain words, no code").spans == ()


@pytest.fixture(scope="module")
def pool():
    if not POOL.exists():
        pytest.skip("the labelled demo pool is not there")
    from entp_hf.io.formats import normalise

    lines = [json.loads(line) for line in POOL.read_text(encoding="utf-8").splitlines()]
    rows = dataset([normalise(line, "alpaca", source=str(i)) for i, line in enumerate(lines)])
    return rows, [line["noise"] for line in lines]


def test_the_labelled_pool_is_found_and_a_second_run_changes_nothing(pool):
    rows, labels = pool
    out = mark_duplicates(apply(rows, Purge(), "purge"))
    figures = accuracy(out.to_list(), labels)
    assert figures["precision"] >= 0.95 and figures["recall"] >= 0.85, figures
    again = mark_duplicates(apply(out, Purge(), "again"))
    assert again.to_list() == out.to_list()


def test_the_report_counts_rows_and_warns(pool):
    rows, _ = pool
    out = apply(rows, Purge(), "purge")
    report = purge_report(rows, out, {"echo": 0.5}, warn_share=0.01)
    alive = [r for r in rows["dropped_by"] if not r]
    gone = sum(1 for b, a in zip(rows["dropped_by"], out["dropped_by"], strict=True) if a and not b)
    assert report["rows_in"] == len(alive) and report["rows_out"] == len(alive) - gone
    assert sum(r["dropped"] for r in report["rules"].values()) == gone
    assert report["rules"]["echo"]["seconds"] == 0.5 and any("rule echo dropped" in w for w in report["warnings"])
    mended = report["examples"]["special_tokens"][0]
    assert mended["before"] != mended["after"] and all(len(e) <= 5 for e in report["examples"].values())
    json.dumps(report, allow_nan=False)
    with pytest.raises(ValueError, match="same rows"):
        purge_report(rows, out.select(range(3)), None)


def test_accuracy_counts_pairs_and_rows_refused_at_the_door():
    rows = [{"findings": [{"rule": "echo"}, {"rule": "pii"}]}, {"findings": [], "dropped_by": "input:null_response"}]
    figures = accuracy(rows, [["echo", "secret"], ["empty_answer"]])
    assert (figures["tp"], figures["fp"], figures["fn"]) == (2, 1, 1)
    assert figures["precision"] == figures["recall"] == 0.6667
    with pytest.raises(ValueError, match="2 rows"):
        accuracy(rows, [[]])


def test_warnings_of_python_code_stay_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Purge().row(row("```python\nx = '\\d'\nif x is 'a': pass\n```")["messages"])
