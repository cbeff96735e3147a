"""Studies: what they vary, that a stopped one goes on, and paragraphs that say what the figures say."""

from __future__ import annotations

import json

import pytest

from entp_hf.config import EntpConfig
from entp_hf.data import pool_files
from entp_hf.errors import ConfigError, OutputError
from entp_hf.experiments.ablation import findings, variants
from entp_hf.experiments.ablation.measurements import against_all, averaged
from entp_hf.experiments.ablation.report import markdown
from entp_hf.experiments.ablation.runner import STUDIES, Study, run_study
from entp_hf.purge import RULES

SMALL = EntpConfig(raters=[], pool="all", fuser="mosaic", limit=60, target_size=10)


def test_every_variant_is_a_sound_configuration():
    counts = {}
    for name, study in STUDIES.items():
        made = study.vary(SMALL, ["a", "b"])
        counts[name] = len(made)
        for variant in made:
            EntpConfig.from_dict({**SMALL.to_dict(), **variant.settings}).validate()
        labels = [tuple(variant.label.items()) for variant in made]
        assert len(set(labels)) == len(labels)
    assert counts["clusters-fusion"] == 12
    assert counts["families"] == 2
    assert counts["rules"] == 1 + len(RULES)


def test_sensitivity_changes_one_setting_at_a_time_and_never_to_its_default():
    made = variants.sensitivity(SMALL, [])
    assert made[0].settings == {}
    for variant in made[1:]:
        ((setting, value),) = variant.settings.items()
        assert value != getattr(SMALL, setting)
        assert variant.label == {"setting": setting, "value": value}
    assert {v.label["setting"] for v in made[1:]} == set(variants.AROUND)


def test_neural_only_runs_no_rule(tmp_path):
    from entp_hf.execution.tables import set_aside
    from entp_hf.io.reader import read_rows
    from entp_hf.pipeline.run import purge_rows

    (off,) = [v for v in variants.purge_vs_neural(SMALL, []) if v.label["arm"] == "neither"]
    config = EntpConfig.from_dict({**SMALL.to_dict(), **off.settings})
    rows = set_aside(read_rows(pool_files(), config)[0])[0]
    _, dropped, report = purge_rows(rows, config)
    found = {name: entry["found"] for name, entry in report["rules"].items() if entry["found"]}
    assert not set(found) - {"exact_duplicate"}  # copies always go: a row has one id
    assert set(dropped["dropped_by"]) <= {"purge:exact_duplicate"}


def lines(**columns):
    names = list(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_paragraphs_by_hand():
    told = findings.convergence(
        lines(round=[1, 2], groups=[8, 4], fused=[1, 0], novelty=[0.5, 0.2], stopped_by=["", "round limit"])
    )
    assert "2 rounds (round 1: 8 groups, mean novelty 0.500; round 2: 4 groups, mean novelty 0.200)" in told
    assert told.endswith("ended by: round limit. Novelty fell by 0.300 from the first to the last round.")
    grid = lines(clusters=[2, 2, 8], fusion_ratio=[0.2, 0.5, 0.5], novelsum=[3.0, 2, 1], answer_words=[10, 20, 30])
    told = findings.clusters_fusion(grid)
    assert "novelsum runs from 1 (clusters 8 fusion_ratio 0.5) to 3 (clusters 2 fusion_ratio 0.2)" in told
    assert "correlate at -1.00 over it: a trade-off" in told
    moved = lines(
        setting=["all", "rounds", "gate_copy"],
        value=["default", 3, 0.8],
        rows=[10, 15, 10],
        made=[5, 9, 5],
        vendi=[4.0, 4.0, 4.0],
    )
    told = findings.sensitivity(moved)
    assert "rows (10) moves most by rounds = 3: to 15" in told
    assert "vendi (4) does not move" in told
    assert "Without any effect here: gate_copy." in told
    told = findings.rules(
        against_all(
            lines(
                without=["-", "url", "refusal"],
                kept=[90, 95, 90],
                dropped=[10, 5, 10],
                repaired=[3, 1, 3],
                flagged=[2, 2, 2],
            )
        )
    )
    assert "keep 90 rows and drop 10. Rows more if one rule is left out: url (5). Repairs less: url (2)." in told
    assert told.endswith("1 have nothing to do in it that no other rule does: refusal.")
    assert findings.families(lines(model=["a", "b"], refused=[0.5, 0.25])).startswith(
        "The gate refused fewest fusions of b (25%)"
    )
    told = findings.convergence(lines(round=[1], groups=[8], fused=[0], novelty=[None], stopped_by=["no rows"]))
    assert "(round 1: 8 groups, mean novelty none)" in told
    assert findings.convergence([]) == "No round was run: there was nothing to fuse."


def test_seeds_are_averaged_and_a_difference_within_their_spread_is_called_so():
    one = [
        {"arm": "x", "rows": 10, "vendi": 1.0, "made": None, "defects": {"echo": 1}, "why": "a"},
        {"arm": "y", "rows": 10, "vendi": 5.0, "made": None, "defects": {}, "why": "a"},
    ]
    two = [
        {"arm": "x", "rows": 20, "vendi": 3.0, "made": 4, "defects": {"echo": 1, "pii": 1}, "why": "b"},
        {"arm": "y", "rows": 20, "vendi": 6.0, "made": None, "defects": {}, "why": "b"},
    ]
    x, y = averaged([one, two], ["arm", "round"])
    assert (x["arm"], x["rows"], x["vendi"], x["made"], x["why"]) == ("x", 15, 2, 4, "a / b")
    assert x["defects"] == "echo 2, pii 1"
    assert x["vendi_sd"] == pytest.approx(2**0.5, abs=1e-4)
    assert "made_sd" not in x
    assert y["defects"] is y["made"] is None
    # The seeds' differences are 4 and 3: 3.5 on average, with a standard deviation of 0.71.
    assert findings.apart(x, y, "vendi")
    assert "vendi runs from 2 (x) to 5.5 (y)." in findings.extremes([x, y], ["arm"])
    near = {**y, "vendi": 5.0, "vendi_runs": [6.0, 4.0]}  # differences of 5 and 1: 3, with 2.83
    assert "vendi runs from 2 (x) to 5 (y), within what the seed changes." in findings.extremes([x, near], ["arm"])
    assert findings.extremes(one, ["arm"]).endswith(findings.ONE_SEED)
    assert findings.extremes([{**line, "made": 3} for line in one], ["arm"]).endswith(findings.COMPOSED)
    assert averaged([one], ["arm"])[0]["rows"] == 10
    assert [line["seeds"] for line in averaged([one, two[:1]], ["arm"])] == [2, 1]
    assert "| x | 15\u00a0±\u00a07.1 |" in markdown([x, y])
    assert "_sd" not in markdown([x, y])
    assert "_runs" not in markdown([x, y])


def test_a_study_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    calls = []

    def measure(inputs, config, pool):
        calls.append(config.rounds)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return [{"rows": config.rounds}]

    made = [variants.Variant({"n": n}, {"rounds": n}) for n in (1, 2, 3)]
    fake = Study("about", lambda config, models: made, measure, lambda told: f"{len(told)} lines", ("rows",), False)
    monkeypatch.setitem(STUDIES, "fake", fake)
    with pytest.raises(KeyboardInterrupt):
        run_study("fake", ["x"], SMALL, tmp_path / "out")
    result = run_study("fake", ["x"], SMALL, tmp_path / "out", command="entp study fake")
    assert calls == [1, 2, 2, 3]
    assert run_study("fake", ["x"], SMALL, tmp_path / "out", seeds=2)["seeds"] == 2  # another seed may be added
    assert calls[4:] == [1, 2, 3]
    assert result["lines"] == [{"n": n, "rows": n} for n in (1, 2, 3)]
    assert json.loads((tmp_path / "out" / "study.json").read_text())["finding"] == "3 lines"
    assert "| 2 | 2 |" in (tmp_path / "out" / "table.md").read_text()
    with pytest.raises(OutputError, match="holds another study, or one with other settings"):
        run_study("fake", ["x"], EntpConfig(), tmp_path / "out")
    with pytest.raises(ConfigError, match="no study is called 'rule'; did you mean rules"):
        run_study("rule", ["x"], SMALL, tmp_path / "other")
    with pytest.raises(ConfigError, match="name them by --models"):
        run_study("families", ["x"], SMALL, tmp_path / "other")


def test_purge_vs_neural_on_the_shipped_pool(tmp_path):
    pytest.importorskip("sentence_transformers", reason="the dataset is clustered by embeddings")
    result = run_study("purge-vs-neural", pool_files(), SMALL, tmp_path / "out")
    by_arm = {line["arm"]: line for line in result["lines"]}
    assert list(by_arm) == ["neither", "symbolic only", "neural only", "both"]
    assert by_arm["neither"]["made"] == by_arm["symbolic only"]["made"] == 0
    assert by_arm["both"]["made"] > 0
    assert by_arm["neither"]["rows"] == by_arm["symbolic only"]["rows"] == SMALL.target_size
    assert by_arm["symbolic only"]["defects"] is None  # what a rule calls wrong is not kept
    assert by_arm["neither"]["defective"] > by_arm["symbolic only"]["defective"]
    assert all(0 < line["knn_coverage"] <= 1 and line["vendi"] > 1 for line in by_arm.values())
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == len(STUDIES["purge-vs-neural"].plotted)
    assert result["finding"] in page.replace("&#39;", "'")
