"""What the purge tells: seconds, warnings, one row explained, texts before repair, thresholds tried afterwards."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset
from sample_rows import answered as row
from sample_rows import dataset

from entp_hf import EntpConfig
from entp_hf.data import pool_files
from entp_hf.execution.stage import apply
from entp_hf.io.formats import normalise
from entp_hf.io.reader import read_rows
from entp_hf.pipeline.run import purge_rows
from entp_hf.purge import DATASET_RULES, RULES, Purge, mark_duplicates, rethreshold
from entp_hf.purge.explain import explain
from entp_hf.purge.report import PEERS
from entp_hf.purge.retune import LOOSEST, SCORED, loosest
from entp_hf.schema import JOIN, without_nulls


def own(fields, threshold):
    """Answers with the word gluten."""
    from entp_hf.purge import Hit

    return [Hit(p, detail="gluten") for p in fields.answers if "gluten" in p.lower]


@pytest.fixture(scope="module")
def pool():
    return read_rows(pool_files(), EntpConfig())[0]


def test_every_rule_that_ran_has_its_seconds(pool):
    kept, dropped, report = purge_rows(pool, EntpConfig())
    spent = {name: entry["seconds"] for name, entry in report["rules"].items()}
    assert report["seconds"] >= spent["near_duplicate"] > 0
    assert sum(spent[name] > 0 for name in Purge().names()) >= len(RULES) - 4  # rounded to 0.1 ms
    assert len(kept) + len(dropped) == len(pool)


def test_a_rule_is_too_lenient_where_only_a_plain_test_finds_something():
    rows = dataset([row(f"I'm sorry, but I can't answer question {i}.") for i in range(30)])
    lenient = EntpConfig(purge_thresholds=["refusal=1"], purge_rules=["refusal"])
    assert any("rule refusal found nothing" in w and "30 of 30" in w for w in purge_rows(rows, lenient)[2]["warnings"])
    assert purge_rows(rows, EntpConfig(purge_rules=["refusal"]))[2]["warnings"] == []
    assert purge_rows(rows, EntpConfig(purge_rules=["echo"]))[2]["warnings"] == []  # what did not run can't be lenient
    few = rows.select(range(10))
    assert purge_rows(few, lenient)[2]["warnings"] == []
    assert set(PEERS) <= set(RULES)


def test_rules_over_the_whole_dataset_are_chosen_like_the_others():
    rows = dataset([row("Gas."), row("Gas.", source="2"), row("It is the gas.")])
    assert len(purge_rows(rows, EntpConfig())[1]) == 1
    assert len(purge_rows(rows, EntpConfig(purge_off=["exact_duplicate", "near_duplicate"]))[1]) == 0
    assert len(purge_rows(rows, EntpConfig(purge_rules=["echo"]))[1]) == 0
    assert len(purge_rows(rows, EntpConfig(purge_rules=["echo", "exact_duplicate"]))[1]) == 1


def test_rules_are_chosen_tuned_and_added_by_a_yaml_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        f"purge_rules: [default, '{__name__}:own']\npurge_off: [arithmetic]\npurge_drop: [refusal, '{__name__}:own']\n"
        "purge_thresholds: [refusal=20]\n"
    )
    rows = dataset([row("I'm sorry, but I can't say."), row("It is the gluten."), row("2 + 2 = 5, so it rises.")])
    kept, dropped, report = purge_rows(rows, EntpConfig.from_yaml(path))
    assert dropped["dropped_by"] == ["purge:refusal", "purge:own"] and len(kept) == 1
    assert report["rules"]["own"]["found"] == 1 and report["rules"]["arithmetic"]["found"] == 0


def test_a_rule_that_is_off_runs_where_it_is_named():
    assert "flagged_words" not in Purge().names()
    assert Purge(rules=("default", "flagged_words")).names() == [*RULES]
    assert Purge(rules=("flagged_words", "echo")).names() == ["echo", "flagged_words"]


def test_a_row_is_explained_with_the_text_that_each_rule_saw():
    answer = "Answer: Yeast makes gas &amp; heat.<|im_end|>\n\nI hope this helps!"
    found = explain(Purge(), row(answer))
    assert [e.finding.rule for e in found] == ["html_entities", "special_tokens", "field_label", "boilerplate_tail"]
    assert [e.span for e in found] == ["&amp;", "<|im_end|>", "Answer: ", "I hope this helps!"]
    assert found[-1].after == "Yeast makes gas & heat."
    for one, after in zip(found, found[1:], strict=False):
        assert one.after == after.before + after.span + after.behind
    flagged = explain(Purge(), row("So 2 + 2 = 5 it is."))[0]
    assert (flagged.span, flagged.after, flagged.where) == ("2 + 2 = 5", None, "response, turn 1")
    link = "https://news.example.org/a/1"  # says nothing without what was asked of it
    bare = explain(Purge(), row("It says that bread is old.", f"Summarise it.{JOIN}{link}", input=link))[0]
    assert (bare.span, bare.finding.detail) == (link, "the whole input of: Summarise it.")


def test_the_text_before_a_repair_is_kept():
    turns = [("human", "Hi.<|im_end|>"), ("gpt", "Hello."), ("human", "Why?"), ("gpt", "Because &amp; so.")]
    raw = {"conversations": [{"from": r, "value": v} for r, v in turns]}
    rows = dataset([normalise(raw, "sharegpt", source="a:1")])
    out = apply(rows, Purge(), "purge")
    assert out[0]["messages"][3]["content"] == "Because & so." and out[0]["messages"][0]["content"] == "Hi."
    again = normalise(json.loads(out[0]["original"]), "sharegpt", source="a:1")
    assert again["messages"] == list(map(without_nulls, rows[0]["messages"])) and again["id"] == out[0]["id"]


def test_plain_messages_get_their_text_before_a_repair_too():
    plain = [{"messages": row(text)["messages"]} for text in ("Gas &amp; heat.", "Gas.")]
    rows = Dataset.from_list(plain)
    out = rows.map(Purge(), batched=True, features=Purge().features(rows.features))
    assert json.loads(out[0]["original"])["messages"] == plain[0]["messages"] and out[1]["original"] is None
    twice = out.map(Purge(), batched=True, features=Purge().features(out.features))
    assert twice.to_list() == out.to_list()
    mine = Dataset.from_list([{**plain[0], "original": 7}]).map(Purge(), batched=True)
    assert mine[0]["original"] == 7
    made = dataset([row("Gas &amp; heat.", origin="fused")])
    assert apply(made, Purge(), "purge")[0]["original"] is None


ECHO = "Describe the process of baking a fresh loaf of bread at home."
TUNED = [
    row(ECHO[:-1] + " today.", ECHO), row(ECHO, ECHO), row("I'm sorry, but I can't help with that."),
    row("I'm sorry, but I can't answer this question, since nobody has told me enough about the bread you mean."),
    row("$$$ ### bread @@@ %%%"),
    row("lorem ipsum, said baker Ann Lee of Rome to Bob. Then more words, and yet more words, came to his mind. " * 2),
    row("See https://www.bread-facts.net/rise and https://yeast.info/gas"), row("Yeast."),
    row("Yeast eats sugar. It gives off gas. The dough holds the gas in many small bubbles, which swell slowly over "
        "two hours in a warm room, and then the heat of the oven sets the"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "loose", "strict"),
    [
        ("echo", 0.8, 0.99),
        ("refusal", 60, 10),
        ("truncated", 10, 60),
        ("symbol_ratio", 0.1, 0.9),
        ("url_load", 0.1, 0.95),
        ("too_short", 3, 1),
        ("filler_text", 0.05, 0.5),
        ("filler_text", 0.5, 0.05),
    ],
)
def test_a_threshold_tried_on_stored_scores_gives_what_a_new_run_gives(rule, loose, strict):
    def purged(threshold):
        return apply(dataset(TUNED), Purge(thresholds=((rule, threshold),)), "purge")

    before, after = purged(loose), rethreshold(purged(loose), {rule: strict}, {rule: loose})
    assert after.to_list() == purged(strict).to_list() != before.to_list()


def test_duplicates_come_back_under_a_stricter_threshold():
    words = " ".join(f"word{i}" for i in range(60))
    rows = mark_duplicates(dataset([row(words), row(words + " more and more")]), near=0.8)
    assert sorted(map(str, rows["dropped_by"])) == ["None", "purge:near_duplicate"]
    tuned = rethreshold(rows, {"near_duplicate": 0.99}, {"near_duplicate": 0.8})
    assert tuned["dropped_by"] == [None, None] and not any(
        f["rule"] == "near_duplicate" for f in sum(tuned["findings"], [])
    )
    assert rethreshold(rows, {"near_duplicate": 0.85}, {"near_duplicate": 0.8}).to_list() == rows.to_list()


def test_looser_thresholds_and_rules_without_a_score_are_refused():
    rows = apply(dataset(TUNED), Purge(), "purge")
    with pytest.raises(ValueError, match="echo=0.5 is looser than the 0.95"):
        rethreshold(rows, {"echo": 0.5})
    with pytest.raises(ValueError, match="mojibake can't be tuned"):
        rethreshold(rows, {"mojibake": 2})
    with pytest.raises(ValueError, match="near_duplicate=0.5 is looser .* were not compared"):
        rethreshold(rows, {"near_duplicate": 0.5}, {"near_duplicate": 0.8}, loosest(Purge(), rows))
    with pytest.raises(ValueError, match="echo=0.3 is looser than 0.5, from which scores are stored"):
        rethreshold(rows, {"echo": 0.3}, None, loosest(Purge(), rows))
    assert all(name in RULES or name in DATASET_RULES for name in SCORED) and set(LOOSEST) < set(SCORED)


@pytest.mark.parametrize(
    ("rule", "loose", "strict"),
    [
        ("echo", 0.8, 0.99),
        ("refusal", 60, 10),
        ("truncated", 10, 60),
        ("symbol_ratio", 0.1, 0.9),
        ("url_load", 0.1, 0.95),
        ("too_short", 3, 1),
        ("filler_text", 0.05, 0.5),
    ],
)
def test_with_stored_scores_a_threshold_is_loosened_as_a_new_run_would(rule, loose, strict):
    before = apply(dataset(TUNED), Purge(thresholds=((rule, float(strict)),)), "purge")
    scores = list(loosest(Purge(), before))
    after = rethreshold(before, {rule: loose}, {rule: strict}, scores)
    assert after.to_list() == apply(dataset(TUNED), Purge(thresholds=((rule, loose),)), "purge").to_list()
    assert after.to_list() != before.to_list()
    assert rethreshold(after, {rule: strict}, {rule: loose}, scores).to_list() == before.to_list()
