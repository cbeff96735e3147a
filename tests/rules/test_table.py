"""docs/purge.md: its table is that of the registry, and its example of an own rule works as printed."""

import re
import sys
from pathlib import Path

from entp_hf.config import EntpConfig
from entp_hf.purge import DATASET_RULES, RULES, Purge
from entp_hf.purge.dataset_rules import CORPUS
from entp_hf.rules.registry import DATASET_THRESHOLDS
from entp_hf.rules.selection import BROKEN
from entp_hf.rules.table import lines, table

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "purge.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_registry():
    printed = re.search(r"<!-- table: [^>]*-->\n(.*?)\n<!-- end of table -->", GUIDE, re.S)
    assert printed is not None and printed.group(1) == table()
    assert [line.name for line in lines()] == [*RULES, *DATASET_RULES]


def test_a_dataset_rule_is_declared_as_it_runs():
    settings = {rule.setting: rule.threshold for rule in DATASET_RULES.values() if rule.setting}
    assert settings == {name: getattr(EntpConfig(), name) for name in settings}
    assert set(CORPUS) == set(DATASET_THRESHOLDS)


def test_the_rule_of_ones_own_works_as_printed(tmp_path, monkeypatch):
    code = re.search(r"```python\n(# my_rules\.py\n.*?)```", GUIDE, re.S)
    assert code is not None
    (tmp_path / "my_rules.py").write_text(code.group(1))
    monkeypatch.syspath_prepend(tmp_path)
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "It is the gluten."}]
    found = Purge(rules=("my_rules:gluten",)).row(messages).findings
    assert [(f.rule, f.action, f.start, f.end) for f in found] == [("gluten", "flag", 10, 16)]
    sys.modules.pop("my_rules", None)


def test_every_rule_that_flags_is_said_to_make_a_row_unfit_or_not() -> None:
    """A new rule that only flags must be put into one of the two."""
    fit = {"length_outlier", "character_ratios", "flagged_words"}  # a matter of taste: the row may be right
    assert {name for name, rule in RULES.items() if rule.action == "flag"} <= BROKEN | fit
    assert not BROKEN & fit
