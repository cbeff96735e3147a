"""Edited rules, prompts and files make new fingerprints, also within one process."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from datasets.fingerprint import Hasher

from entp_hf.errors import ConfigError
from entp_hf.execution import own_code, source_hash
from entp_hf.execution.own_code import content_hash
from entp_hf.execution.stage import apply
from entp_hf.llm.prompts import load_prompt
from entp_hf.purge import Purge

RULE = '''
from entp_hf.rules.row import Hit


def shouting(fields, threshold):
    """Text with {word} in it."""
    for part in fields.answers:
        if "{word}" in part.text:
            yield Hit(part, 0, 1)
'''


@pytest.fixture
def rule(tmp_path, monkeypatch):
    """Writes the own rule for a word; each call edits the same module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda word: (tmp_path / "edited_rule_19.py").write_text(RULE.replace("{word}", word))
    sys.modules.pop("edited_rule_19", None)
    own_code._loaded.pop("edited_rule_19", None)


def rows():
    turns = [{"role": "user", "content": "Name two metals."}, {"role": "assistant", "content": "Iron and copper."}]
    return Dataset.from_dict({"messages": [turns]})


def flagged(found):
    return [finding["rule"] for finding in found["findings"][0]]


def test_an_edited_rule_is_run_again_as_it_is_now(rule):
    rule("gold")
    purge = Purge(rules=("edited_rule_19:shouting",))
    data = rows()
    first = data.map(purge, batched=True, features=purge.features(data.features))
    assert flagged(first) == []
    before = content_hash({"purge_rules": ["edited_rule_19:shouting"]}), Hasher.hash(purge)
    rule("copper")
    again = Purge(rules=("edited_rule_19:shouting",))
    assert (content_hash({"purge_rules": ["edited_rule_19:shouting"]}), Hasher.hash(again)) != before
    second = data.map(again, batched=True, features=again.features(data.features))
    assert flagged(second) == ["shouting"]
    assert second._fingerprint != first._fingerprint


def test_a_stages_fingerprint_knows_own_modules_and_the_packages_code(rule, monkeypatch):
    rule("gold")
    stage = Purge(rules=("edited_rule_19:shouting",))
    data = rows()
    data = Dataset.from_dict(stage(data[:]), features=stage.features(data.features))
    first = apply(data, stage, "purge")._fingerprint
    assert apply(data, stage, "purge")._fingerprint == first
    rule("copper")
    assert apply(data, stage, "purge")._fingerprint != first
    plain = Hasher.hash(Purge())
    assert Hasher.hash(Purge()) == plain
    source_hash.source_hash.cache_clear()
    monkeypatch.setattr(
        Path, "read_bytes", lambda self, real=Path.read_bytes: real(self) + b"# edited" * (self.suffix == ".py")
    )
    try:
        assert Hasher.hash(Purge()) != plain
    finally:
        monkeypatch.undo()
        source_hash.source_hash.cache_clear()


def test_a_pickled_stage_is_the_same_stage():
    purge = Purge(off=("echo",), thresholds=(("repetition", 0.5),))
    assert pickle.loads(pickle.dumps(purge)) == purge
    assert vars(pickle.loads(pickle.dumps(purge))) == vars(purge)


def test_contents_of_benchmark_files_and_prompts_count(tmp_path):
    file = tmp_path / "items.jsonl"
    file.write_text("{}")
    first = content_hash({"benchmark_files": [str(file)], "prompt_dir": str(tmp_path)})
    file.write_text('{"question": "x"}')
    assert content_hash({"benchmark_files": [str(file)], "prompt_dir": ""}) != first
    before = content_hash({"prompt_dir": str(tmp_path)})
    (tmp_path / "rate.md").write_text("x")
    assert content_hash({"prompt_dir": str(tmp_path)}) != before
    assert content_hash({"fuser": "mosaic", "endpoint": "localhost:8000"}) == content_hash({})


def test_an_edited_prompt_is_read_again_and_a_stray_one_is_told(tmp_path):
    own = load_prompt("rate").text
    (tmp_path / "rate.md").write_text(own + "\nBe strict.")
    first = load_prompt("rate", str(tmp_path))
    (tmp_path / "rate.md").write_text(own + "\nBe very strict indeed.")
    second = load_prompt("rate", str(tmp_path))
    assert second.text.endswith("Be very strict indeed.") and second.version != first.version
    other = tmp_path / "other"
    other.mkdir()
    (other / "raet.md").write_text(own)
    with pytest.raises(ConfigError, match=r"raet\.md is no prompt's; there are .*rate\.md"):
        load_prompt("rate", str(other))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"off": ("ecko",)}, "off: no rule is called 'ecko'; did you mean echo"),
        ({"drop": ["refusel"]}, "drop: no rule is called 'refusel'"),
        ({"drop": "refusal"}, r"drop: 'refusal' is a string; give a list of names, as \['refusal'\]"),
        ({"thresholds": {"repetitions": 0.5}}, "thresholds: no rule is called 'repetitions'"),
        ({"thresholds": (("echo_", 1.0),)}, "thresholds: no rule"),
    ],
)
def test_the_purge_checks_its_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Purge(**arguments)


def test_lists_and_dictionaries_are_taken():
    purge = Purge(drop=["refusal"], thresholds={"repetition": 0.5})
    assert purge == Purge(drop=("refusal",), thresholds=(("repetition", 0.5),))
    assert purge(rows()[:])["dropped_by"] == [None]
