"""The experiment: what its configuration may be, what a run leaves, going on after a kill, and the table by hand."""

from __future__ import annotations

import csv
import json
import math

import pytest
import yaml
from tiny import tiny_llama

from entp_hf.errors import ConfigError, OutputError
from entp_hf.evaluation.results import Evaluation
from entp_hf.experiments.compare import compare, table
from entp_hf.experiments.compare.config import Arm, load_experiment
from entp_hf.experiments.compare.runner import Outcome, Run, runs_of

pytest.importorskip("trl", reason="an experiment trains")
pytest.importorskip("lm_eval", reason="an experiment evaluates")


@pytest.fixture
def small(tmp_path, tmp_path_factory):
    """A tiny experiment as YAML values; its files are in tmp_path."""
    rows = [
        {"instruction": f"Say {i}, please.", "output": f"It is {i}. " * (i % 4 + 1), "a": i % 6} for i in range(24)
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ready = [{"instruction": f"Ready {i}?", "output": f"Ready {i}."} for i in range(9)]
    (tmp_path / "ready.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ready))
    return {
        "pool": ["pool.jsonl"],
        "data_dir": str(tmp_path),
        "sizes": [4],
        "seeds": [0, 1],
        "data": {"raters": ["column"], "rating_columns": ["a"], "correction": "none", "device": "cpu"},
        "arms": [
            "base",
            "random",
            "length",
            {"name": "ready", "rows": "ready.jsonl"},
            {"name": "entp", "entp": {"fuser": "mosaic", "pool": "all"}},
        ],
        "models": [tiny_llama(tmp_path_factory.mktemp("tiny"))],
        "recipe": {"batch_size": 2, "max_length": 64, "learning_rate": 0.01, "device": "cpu", "save_steps": 1},
        "tasks": ["heldout", "entp_quiz"],
        "limits": {"entp_quiz": 3},
        "reference": "random",
    }


def written(values, tmp_path, name="experiment.yaml"):
    (tmp_path / name).write_text(yaml.safe_dump(values))
    return load_experiment(str(tmp_path / name))


def test_an_experiment_from_pool_to_table(small, tmp_path):
    experiment = written({**small, "seeds": [0]}, tmp_path)
    lines = compare(experiment, tmp_path / "out", "entp compare x")
    assert [line.arm for line in lines] == ["base", "random", "length", "ready", "entp"]
    assert [line.rows for line in lines] == [0, 4, 4, 4, lines[-1].rows]
    assert lines[1].cells["heldout"].against is None
    assert all(line.cells["heldout"].against for line in lines if line.arm != "random")
    assert lines[0].cells["heldout"].items == 48
    out = tmp_path / "out"
    assert {"experiment.yaml", "results.json", "table.md", "table.csv", "table.tex", "report.html", "runs"} == {
        path.name for path in out.iterdir()
    }
    figures = json.loads((out / "results.json").read_text())
    assert figures["command"] == "entp compare x"
    assert (figures["runs_finished"], figures["runs_planned"]) == (5, 5)
    assert figures["versions"]["trl"]
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert len(rows) == 5 * 2
    assert float(rows[0]["mean"]) == lines[0].cells["heldout"].mean
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_it_goes_on_where_it_was_killed(small, tmp_path, monkeypatch):
    from entp_hf.experiments.compare import runner

    values = {
        **small,
        "arms": ["base", "random", "length"],
        "seeds": [0],
        "tasks": ["heldout"],
        "limits": {},
        "heldout": "ready.jsonl",
    }
    experiment = written(values, tmp_path)
    whole = compare(experiment, tmp_path / "whole")
    calls = []
    train, measure = runner.train, runner.measure

    def counted(options, rows, callbacks=()):
        calls.append(options.output_dir.split("/")[-2].split("-")[0])
        return train(options, rows, callbacks)

    def killed(*given):
        if len(calls) == 2:
            raise KeyboardInterrupt  # trained, not evaluated
        return measure(*given)

    monkeypatch.setattr(runner, "train", counted)
    monkeypatch.setattr(runner, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        compare(experiment, tmp_path / "out")
    early = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (early["runs_finished"], early["runs_planned"]) == (2, 3)
    monkeypatch.setattr(runner, "measure", measure)
    again = compare(experiment, tmp_path / "out")
    assert calls == ["random", "length"]  # nothing was trained twice
    for a, b in zip(whole, again, strict=True):
        assert b.cells["heldout"].mean == pytest.approx(a.cells["heldout"].mean, abs=1e-4)
    calls.clear()
    compare(experiment, tmp_path / "out")
    assert calls == []


def test_a_training_that_was_killed_goes_on_from_its_checkpoint(small, tmp_path, monkeypatch):
    from entp_hf.experiments.compare import runner
    from entp_hf.training import sft

    experiment = written(
        {
            **small,
            "arms": ["random"],
            "seeds": [0],
            "sizes": [6],
            "tasks": ["heldout"],
            "limits": {},
            "heldout": "ready.jsonl",
        },
        tmp_path,
    )
    steps = []

    def killed(*given, **named):
        raise KeyboardInterrupt

    whole = compare(experiment, tmp_path / "whole")
    monkeypatch.setattr(sft, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        compare(experiment, tmp_path / "out")
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    assert sorted(p.name for p in (folder / "adapter").glob("checkpoint-*")) == [f"checkpoint-{i}" for i in (1, 2, 3)]
    monkeypatch.undo()
    plain = runner.train
    monkeypatch.setattr(runner, "train", lambda o, *rest: steps.append(o.resume) or plain(o, *rest))
    again = compare(experiment, tmp_path / "out")
    assert steps == [True]
    assert again[0].cells["heldout"].mean == pytest.approx(whole[0].cells["heldout"].mean, abs=1e-4)


def test_a_folder_of_another_experiment_is_not_touched(small, tmp_path):
    experiment = written({**small, "arms": ["base"], "reference": "base"}, tmp_path)
    compare(experiment, tmp_path / "out")
    other = written({**small, "arms": ["base"], "reference": "base", "tasks": ["entp_quiz"]}, tmp_path, "other.yaml")
    with pytest.raises(OutputError, match="holds another experiment: tasks differ"):
        compare(other, tmp_path / "out")
    more = written(
        {
            **small,
            "arms": ["base", {"name": "rnd", "method": "random"}],
            "reference": "base",
            "sizes": [2],
            "seeds": [0],
        },
        tmp_path,
        "more.yaml",
    )
    assert [line.arm for line in compare(more, tmp_path / "out")] == ["base", "rnd"]  # an arm more is none
    arms = ["base", {"name": "rnd", "method": "length"}]
    changed = written({**small, "arms": arms, "reference": "base", "sizes": [2], "seeds": [0]}, tmp_path, "c.yaml")
    with pytest.raises(OutputError, match="is of another arm called rnd"):
        compare(changed, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="is not empty and holds no experiment.yaml"):
        compare(experiment, tmp_path / "mine")


def test_every_problem_is_told_at_once(small, tmp_path):
    wrong = {
        **small,
        "arms": ["random", "random", "ds3", {"name": "none"}, {"name": "x", "rows": "absent.jsonl"}],
        "sizes": [0],
        "recipe": {
            "seed": 1,
            "lr": 2,
        },
        "tasks": ["heldout", "mmlux"],
        "limits": {"bbh": 1},
        "reference": "best",
        "data": {"poool": "all"},
    }
    with pytest.raises(ConfigError) as caught:
        written(wrong, tmp_path)
    told = str(caught.value)
    for words in (
        "'random' comes twice",
        "reference: 'best' is none of",
        "sizes: 0 is out",
        "no method is called 'ds3'",
        "arm none: give one of method, entp, rows",
        "absent.jsonl is not in data_dir",
        "seed: each run sets it",
        "recipe: lr: no such setting",
        "data: poool: no such setting",
        "'bbh' is not among the tasks",
        "no task is called 'mmlux'; did you mean mmlu?",
    ):
        assert words in told, words
    with pytest.raises(ConfigError, match="none of the shipped cpu, paper, small"):
        load_experiment("absent")
    with pytest.raises(ConfigError, match="armz: no such key"):
        written({**small, "armz": []}, tmp_path)
    with pytest.raises(ConfigError, match="sizes: 4 is no list"):
        written({**small, "sizes": 4}, tmp_path)


@pytest.mark.parametrize("name", ["cpu", "small", "paper"])
def test_shipped_experiments_are_sound(name, tmp_path):
    (tmp_path / "mergeit_6k.parquet").touch()
    experiment = load_experiment(name, {"data_dir": str(tmp_path)})
    names = [arm.name for arm in experiment.arms]
    assert {"base", "random", "length", "ds2", "entp"} <= set(names)
    runs = list(runs_of(experiment))
    models, seeds = len(experiment.models), len(experiment.seeds)
    assert len(runs) == models * (1 + seeds * (len(names) - 1))
    assert len({run.folder for run in runs}) == len(runs)


def outcome(arm, seed, acc, loss):
    found = Evaluation({}, {"heldout": {"loss": loss, "tokens": [1.0, 3.0]}, "entp_quiz": {"acc_norm": acc}})
    size = 0 if arm == "base" else 4
    return Outcome(Run(Arm(arm, method=arm), size, seed, "m"), size, [], {}, found, {})


def test_the_table_by_hand(small, tmp_path):
    experiment = written({**small, "arms": ["base", "random", "length"]}, tmp_path)
    outcomes = [
        outcome("base", 0, [0.0, 0, 0], [4.0, 2]),
        *(outcome("random", seed, [1.0, 0, 0], [2.0, 2]) for seed in (0, 1)),
        outcome("length", 0, [1.0, 1, 1], [1.0, 1]),
        outcome("length", 1, [1.0, 1, 0], [2.0, 2]),
    ]
    base, random, length = table.lines_of(outcomes, experiment)
    assert base.cells["heldout"].mean == (4 * 1 + 2 * 3) / 4
    assert base.cells["heldout"].against.difference == pytest.approx(2.5 - 2)
    assert (random.seeds, random.rows) == (2, 4)
    assert random.cells["entp_quiz"].mean == pytest.approx(1 / 3)
    assert random.cells["entp_quiz"].error == pytest.approx(1 / 3)  # sd of (1, 0, 0) over the root of 3
    cell = length.cells["entp_quiz"]
    assert cell.mean == pytest.approx(5 / 6)
    assert cell.against.difference == pytest.approx(5 / 6 - 1 / 3)
    assert length.cells["heldout"].mean == 1.5
    text = table.markdown([base, random, length], "random")
    assert text.splitlines()[0] == "| arm | rows | seeds | heldout | entp_quiz |"
    assert "| random | 4 | 2 | 2.000 ± 0.000 | 0.333 ± 0.333 |" in text
    assert r"\begin{tabular}{lrrrr}" in table.latex([base, random, length], "random")
    assert "random & 4 & 2 & 2.000 $\\pm$ 0.000 & 0.333 $\\pm$ 0.333 \\\\" in table.latex([random], "random")
    told = table.sentences([base, random, length], "random")
    assert any(t.startswith("heldout: ") and "length (4 rows)" in t for t in told)
    assert not any("random (4 rows)" in t for t in told)
    summary = table.verdict([base, random, length], "random")
    assert summary.startswith("Of 4 comparisons with random, ")
    assert math.isfinite(cell.against.low)


def test_the_average_is_of_the_benchmarks_each_counting_the_same(small, tmp_path):
    experiment = written({**small, "arms": ["random", "length"]}, tmp_path)

    def of(arm, seed, mmlu, gsm):
        items = {
            "mmlu": {"acc": mmlu},
            "gsm8k_cot": {"exact_match,flexible-extract": gsm},
            "entp_quiz": {"acc_norm": [1]},
        }
        return Outcome(Run(Arm(arm, method=arm), 4, seed, "m"), 4, [], {}, Evaluation({}, items), {})

    random, length = table.lines_of(
        [of("random", 0, [1.0, 0, 0, 0], [0.0, 0]), of("length", 0, [1.0, 1, 0, 0], [1.0, 1])], experiment
    )
    assert list(length.cells) == ["entp_quiz", "mmlu", "gsm8k", "average"]
    cell = length.cells["average"]
    assert cell.mean == (0.5 + 1) / 2  # not 4/6, the share of all items
    assert cell.error == pytest.approx(math.sqrt(1 / 12) / 2)
    assert cell.items == 6
    assert cell.against.difference == pytest.approx((0.25 + 1) / 2)
    assert (
        0.5 <= cell.against.low < cell.against.difference < cell.against.high <= 1
    )  # gsm8k differs by 1 in each draw
    assert random.cells["average"].against is None


def test_the_command(small, tmp_path, monkeypatch, capsys):
    import sys

    from entp_hf.cli import app as cli

    (tmp_path / "e.yaml").write_text(yaml.safe_dump({**small, "arms": ["base", "random"], "seeds": [0]}))
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "entp",
            "compare",
            str(tmp_path / "e.yaml"),
            "-o",
            str(tmp_path / "out"),
            "--data-dir",
            str(tmp_path),
            "--set",
            "sizes=[2]",
        ],
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "| random | 2 | 1 |" in said
    assert "comparisons with random" in said
    assert "entp compare" in json.loads((tmp_path / "out" / "results.json").read_text())["command"]
