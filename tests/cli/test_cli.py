"""The command line as a user meets it: what works, and what is said where something is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from fault_server import FaultServer

from entp_hf.cli import app as cli
from entp_hf.config import EntpConfig
from entp_hf.data import pool_files
from entp_hf.llm.openai import OpenAIChat
from entp_hf.llm.protocol import ChatRequest
from entp_hf.llm.reply_cache import CachedChat

QUICK = ["--raters", "", "--pool", "all", "--fuser", "mosaic", "--limit", "80", "--target-size", "12"]


@pytest.fixture
def entp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run `entp ARGS` in an empty folder; gives (exit status, output, error output)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["entp", *map(str, args)])
        capsys.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return run


def rows(path: Path, *values: dict) -> Path:
    path.write_text("\n".join(json.dumps(value) for value in values), encoding="utf-8")
    return path


def test_build_writes_everything_and_says_what_happened(entp, tmp_path: Path) -> None:
    status, said, _ = entp("build", *pool_files(), "-o", "out", *QUICK)
    assert status == 0
    files = {"README.md", "config.yaml", "manifest.json", "report.html", "data", "dropped", "plots"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    kept = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path))
    assert len(kept) == manifest["dataset"]["rows"] > 6
    assert "80" in said
    assert "exact_duplicate" in said or "drop" in said
    before = (tmp_path / "out" / "data" / "train.parquet").read_bytes()
    status, _, wrong = entp("build", *pool_files(), "-o", "out", *QUICK)
    assert (status, "--overwrite" in wrong) == (1, True)
    assert entp("build", *pool_files(), "-o", "out", "--overwrite", "--config", "out/config.yaml")[0] == 0
    assert (tmp_path / "out" / "data" / "train.parquet").read_bytes() == before


def test_dry_run_writes_and_calls_nothing(entp, tmp_path: Path) -> None:
    with FaultServer() as server:
        plan = ["--endpoint", server.url, "--model", "m", "--price-in", "1", "--price-out", "2", "--raters", "llm"]
        status, said, _ = entp("build", pool_files()[0], "--dry-run", *plan)
        assert server.calls == []
    assert status == 0
    assert all(word in said for word in ("LLM calls", "prompt tokens", "reply tokens", "cost"))
    assert not list(tmp_path.iterdir())


def test_purge_shows_its_findings_and_writes_rows(entp, tmp_path: Path) -> None:
    status, said, _ = entp("purge", pool_files()[0], "-o", "clean", "--limit", "100")
    assert status == 0
    kept, dropped = (load_dataset(str(tmp_path / "clean" / n), split="train") for n in ("data", "dropped"))
    assert len(kept) + len(dropped) == 100
    assert f"100 rows in, {len(kept)} kept, {len(dropped)} dropped" in said
    status, said, _ = entp("purge", "--list")
    assert status == 0
    assert all(rule in said for rule in ("mojibake", "refusal", "truncated", "arithmetic"))


def test_purge_shows_examples_explains_a_row_and_retunes(entp, tmp_path: Path) -> None:
    path = rows(
        tmp_path / "in.jsonl",
        {"instruction": "Why?", "output": "It is so &amp; so."},
        {"instruction": "Say how dough rises.", "output": "I'm sorry, but I can't say that."},
    )
    status, said, _ = entp("purge", path, "-o", "clean")
    assert status == 0
    assert "- It is so &amp; so." in said and "+ It is so & so." in said
    assert "html_entities" in (tmp_path / "clean" / "report.html").read_text()
    for name in ("in.jsonl:1", "1"):
        status, said, _ = entp("purge", path, "--explain", name)
        assert status == 0
        assert "It is so ⟦&amp;⟧ so." in said and "=> It is so & so." in said
    status, _, wrong = entp("purge", path, "--explain", "nobody")
    assert status == 1 and "no row has the id 'nobody'" in wrong
    status, said, _ = entp("retune", "clean", "refusal=5", "-o", "tuned")
    assert status == 0
    assert "2 rows were kept, 2 are now" in said
    tuned = load_dataset(str(tmp_path / "tuned" / "data"), split="train", cache_dir=str(tmp_path))
    assert sorted(f["rule"] for found in tuned["findings"] for f in found) == ["html_entities"]
    status, said, _ = entp("retune", "tuned", "refusal=50", "-o", "loose")  # back again, on stored scores
    loose = load_dataset(str(tmp_path / "loose" / "data"), split="train", cache_dir=str(tmp_path))
    assert status == 0 and sorted(f["rule"] for found in loose["findings"] for f in found) == [
        "html_entities",
        "refusal",
    ]
    for given, said in (
        ("refusel=5", "no rule 'refusel'; did you mean refusal?"),
        ("refusal=much", "'much' for refusal"),
    ):
        status, _, wrong = entp("retune", "tuned", given)
        assert status == 1 and said in wrong
    status, _, wrong = entp("retune", "tuned", "refusal=500")
    assert status == 1 and "refusal=500 is looser than 400" in wrong
    status, _, wrong = entp("retune", "tuned", "off_topic=2")
    assert status == 1 and "off_topic did not run in this purge" in wrong
    (tmp_path / "tuned" / "scores.parquet").unlink()
    status, _, wrong = entp("retune", "tuned", "refusal=50")
    assert status == 1 and "refusal=50 is looser than the 5" in wrong


def test_rate_leaves_ratings_as_they_are_and_corrects_them_when_asked(entp, tmp_path: Path) -> None:
    pool = []
    wrongs = np.random.default_rng(0).permutation(400) < 80
    for i, wrong in enumerate(wrongs):  # answers on bread are good, on rain poor; a fifth of the ratings is wrong
        good = i % 2
        answer = f"Knead it {i} times, let it rest, bake it." if good else f"Rain falls {i} times a year."
        pool.append(
            {
                "instruction": f"How is {'bread baked' if good else 'rain made'}, {i}?",
                "output": answer,
                "a": 4 if good ^ wrong else 1,
                "truth": (4 if good else 1) if i < 80 else None,
            }
        )
    path = rows(tmp_path / "in.jsonl", *pool)
    given = ("--raters", "column", "--rating-columns", "a")
    status, said, _ = entp("rate", path, "-o", "rated", *given)
    assert status == 0 and "400 rows rated, none corrected (add --correct)" in said
    plain = load_dataset(str(tmp_path / "rated" / "data"), split="train", cache_dir=str(tmp_path))
    assert plain["score"][:] == [row["a"] for row in pool] and not any(plain["rating_changed"])
    assert plain["long_tail"][0] is None  # nothing was embedded
    status, said, _ = entp("rate", path, "-o", "corrected", "--correct", "--gold-column", "truth", *given)
    assert status == 0 and "80 ratings changed" in said
    assert "On 80 trusted scores the level is right for" in said
    done = load_dataset(str(tmp_path / "corrected" / "data"), split="train", cache_dir=str(tmp_path))
    assert done["score"][:] == [4 if i % 2 else 1 for i in range(400)]
    assert min(done["confidence"]) > 0.5 and done["long_tail"][0] > 0
    status, _, wrong = entp("rate", path, "--correct", "--correction", "none", *given)
    assert status == 1 and "'none' was given beside --correct" in wrong


def test_config_is_yaml_that_reads_back(entp, tmp_path: Path) -> None:
    status, said, _ = entp("config")
    (tmp_path / "c.yaml").write_text(said)
    assert status == 0
    assert EntpConfig.from_yaml(tmp_path / "c.yaml") == EntpConfig()
    assert said.count("# ") > len(EntpConfig().to_dict())


def test_report_is_drawn_again(entp, tmp_path: Path) -> None:
    entp("build", pool_files()[0], "-o", "out", *QUICK, "--fuser", "none")
    (tmp_path / "out" / "report.html").unlink()
    assert entp("report", "out")[0] == 0
    assert "<html" in (tmp_path / "out" / "report.html").read_text()
    assert "no manifest.json" in entp("report", tmp_path)[2]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.jsonl", None, ["missing.jsonl", "no such file"]),
        ("empty.jsonl", b"", ["empty.jsonl", "the file is empty"]),
        ("broken.jsonl", b'{"instruction": "a", "output": "b"}\n{"instruc', ["broken.jsonl:2", "broken JSON"]),
        ("bad.parquet", b"PAR1 but no more", ["bad.parquet", "not a readable Parquet file"]),
        ("none.json", b"[]", ["none.json: no rows"]),
        ("other.jsonl", b'{"foo": 1}', ["other.jsonl", "no rating column 's'", "'foo'"]),
        ("text.txt", b"hello", ["text.txt", ".parquet"]),
        ("rated.jsonl", b'{"instruction": "a?", "output": "b", "s": 7}', ["rated.jsonl", "line 1", "'s'", "0 to 5"]),
        ("rated.jsonl", b'{"instruction": "a?", "output": "b", "s": "x"}', ["rated.jsonl", "'x' is not a number"]),
        ("rated.jsonl", b'{"instruction": "a?", "output": "b"}', ["rated.jsonl", "'s'"]),
        ("nulls.jsonl", b'{"instruction": null, "output": "b", "s": 1}', ["nulls.jsonl", "1"]),
    ],
)
def test_bad_input_is_named_before_any_work(entp, tmp_path: Path, name: str, content: bytes | None, words) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, _, wrong = entp("build", name, "-o", "out", "--raters", "column", "--rating-columns", "s")
    assert status == 1
    assert all(word in wrong for word in ["error", *words]), wrong
    assert [path.name for path in tmp_path.iterdir()] == [name] * (content is not None)


def test_columns_of_no_known_form_are_listed_with_the_known_forms(entp, tmp_path: Path) -> None:
    wrong = entp("build", rows(tmp_path / "in.jsonl", {"foo": 1}), "-o", "out")[2]
    assert all(word in wrong for word in ("in.jsonl", "'foo'", "Known: messages", "instruction=question"))


def test_rows_that_can_not_be_used_are_marked_and_the_run_goes_on(entp, tmp_path: Path) -> None:
    good = [{"instruction": f"Name metal number {i}.", "output": f"Metal {i} is iron, of course."} for i in range(12)]
    bad = [{"instruction": None, "output": "b"}, {"instruction": "a?", "output": ""}, {"instruction": 5, "output": ""}]
    status, _, wrong = entp(
        "build", rows(tmp_path / "in.jsonl", *good, *bad), "-o", "out", *QUICK[:4], "--fuser", "none"
    )
    assert status == 0, wrong
    dropped = load_dataset(str(tmp_path / "out" / "dropped"), split="train")
    marked = [row for row in dropped if row["dropped_by"].startswith("input:")]
    assert sorted(row["source"] for row in marked) == [f"in.jsonl:{n}" for n in (13, 14, 15)]


def test_every_wrong_option_is_reported_at_once(entp, tmp_path: Path) -> None:
    wrong = entp("build", "in.jsonl", "-o", "out", "--roundz", "3", "--seed", "x", "--fuser", "blender", "--wrong")[2]
    assert "4 problems" in wrong
    assert all(word in wrong for word in ("did you mean --rounds", "--wrong", "'x' is not a whole", "'blender'"))


@pytest.mark.parametrize(
    ("args", "words", "code"),
    [
        (["buidl"], "Did you mean 'build'", 2),
        (["build", "-o", "out"], "no input given", 1),
        (["build", "in.jsonl"], "no output folder given", 1),
        (["build", "in.jsonl", "-o", "out", "--model", "nobody/nothing"], "a folder 'nobody/nothing'", 1),
        (["build", "in.jsonl", "-o", "out", "--config", "no.yaml"], "no.yaml", 1),
        (["train", "in.jsonl"], "no output folder given", 1),
    ],
)
def test_wrong_commands(entp, tmp_path: Path, args: list[str], words: str, code: int) -> None:
    rows(tmp_path / "in.jsonl", {"instruction": "Why?", "output": "It is so, and has been so for long."})
    status, _, wrong = entp(*args)
    assert (status, words in wrong) == (code, True), wrong
    assert "Traceback" not in wrong


def test_a_missing_extra_names_the_pip_line(entp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    status, _, wrong = entp("build", pool_files()[0], "-o", "out", *QUICK)
    assert status == 1
    assert "pip install 'entp-hf[models]'" in wrong


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_cleanly_and_says_how_to_go_on(tmp_path: Path, how: signal.Signals) -> None:
    come = threading.Event()
    with FaultServer(delay=0.05) as server:
        real = server.calls
        server.calls = type("Calls", (list,), {"append": lambda self, x: (real.append(x), come.set())})()
        args = ["build", pool_files()[0], "-o", "out", "--raters", "llm", "--endpoint", server.url, "--model", "m"]
        run = subprocess.Popen(
            [sys.executable, "-m", "entp_hf", *args, "--concurrency", "1", "--fuser", "none"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ENTP_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
        )
        assert come.wait(60)
        run.send_signal(how)
        _, wrong = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "run the same command again to go on" in wrong
    assert "Traceback" not in wrong
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_reply_cache_can_be_read_exported_and_pruned(
    entp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    place = ["--cache-dir", "kept"]
    status, _, wrong = entp("cache", "info", *place)
    assert (status, "there is no reply cache at" in wrong) == (1, True)
    with FaultServer() as server:
        chat = CachedChat(OpenAIChat("m", server.url), str(tmp_path / "kept" / "replies.sqlite"))
        chat.chat([ChatRequest((("user", text),)) for text in ("one", "two", "[400] three")])
        name = chat.name
    status, said, _ = entp("cache", "info", *place)
    assert status == 0
    for line in (r"replies\W+2", r"failed calls \(asked again\)\W+1", rf"{re.escape(name)}\W+3"):
        assert re.search(rf"^{line}\s*$", said, re.M), said
    assert "3 entries in out.jsonl" in entp("cache", "export", "out.jsonl", *place)[1]
    asked = [json.loads(line)["request"]["messages"][0][1] for line in Path("out.jsonl").read_text().splitlines()]
    assert sorted(asked) == ["[400] three", "one", "two"]
    assert "--overwrite" in entp("cache", "export", "out.jsonl", *place)[2]
    assert "--older-than DAYS" in entp("cache", "prune", *place)[2]
    assert "0 entries deleted" in entp("cache", "prune", "--older-than", "1", *place)[1]
    assert "3 entries deleted" in entp("cache", "prune", "--older-than", "0", *place)[1]


def test_select_lists_the_methods_and_writes_a_dataset(entp, tmp_path: Path) -> None:
    status, said, _ = entp("select", "--list")
    assert status == 0
    assert all(name in said for name in ("ds2-raw", "alpagasus", "less", "rds", "2312.15685"))
    values = [{"instruction": f"Say {i}.", "output": "It is so. " * (i + 1), "a": i % 6} for i in range(20)]
    rated = ["--raters", "column", "--rating-columns", "a"]
    pool = rows(tmp_path / "in.jsonl", *values)
    status, said, _ = entp("select", pool, "-o", "best", "--method", "alpagasus", "-n", "4", *rated)
    assert status == 0
    assert "4 of 20 rows selected by alpagasus" in said
    assert "1 of 4 rows are rated under AlpaGasus's threshold" in said
    chosen = load_dataset(str(tmp_path / "best" / "data"), split="train")
    assert sorted(r[0] for r in chosen["ratings"]) == [4.0, 5.0, 5.0, 5.0]
    assert json.loads((tmp_path / "best" / "manifest.json").read_text())["selection"]["paper"] == "2307.08701"
    status, _, wrong = entp("select", pool, "-o", "other", "--method", "longest")
    assert (status, "no method is called 'longest'" in wrong) == (1, True)
    assert "'k 3' is not NAME=VALUE" in entp("select", pool, "-o", "other", "--method", "knn", "--set", "k 3")[2]
    assert not (tmp_path / "other").exists()


def test_emit_preference_is_the_knobs_other_name(entp, tmp_path: Path) -> None:
    status, _, wrong = entp("build", *pool_files(), "-o", "out", *QUICK, "--emit", "everything")
    assert (status, "only preference" in wrong) == (1, True)
    assert entp("build", *pool_files(), "-o", "out", *QUICK, "--emit", "preference")[0] == 0
    assert "emit_preference: true" in (tmp_path / "out" / "config.yaml").read_text()


def test_help_cuts_no_name_at_80_columns(entp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in cli.app.registered_commands:
        status, said, _ = entp(command.name or command.callback.__name__, "--help")
        assert (status, "…" in said) == (0, False), said
    said = entp("build", "--help-all")[1]
    assert all(name in said for name in ("--gate-parent-similarity ", "--gate-language ", "--no-gate-language]"))


@pytest.mark.parametrize("command", ["build", "purge", "rate", "select", "study"])
def test_help_lists_the_command_s_own_settings_and_help_all_lists_every_one(entp, monkeypatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = entp(command, "--help")[1], entp(command, "--help-all")[1]
    assert len(short.splitlines()) < 110 < len(whole.splitlines())
    assert "--limit" in short and "--gate-coverage" not in short and "--gate-coverage" in whole
    assert short.count(f"  entp {command} ") == 2  # examples


def test_a_switch_is_set_and_unset_over_the_file(entp, tmp_path: Path) -> None:
    pool = rows(tmp_path / "in.jsonl", {"instruction": "Why?", "output": "It is so, and has been so for long."})
    (tmp_path / "c.yaml").write_text("gate_rerate: true\n")
    for flags, rerate, language in (
        ((), True, True),
        (("--no-gate-rerate",), False, True),
        (("--no-gate-language",), True, False),
    ):
        assert entp("purge", pool, "-o", "out", "--overwrite", "--config", "c.yaml", *flags)[0] == 0
        made = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
        assert (made["gate_rerate"], made["gate_language"]) == (rerate, language)
    assert "did you mean --no-gate-rerate?" in entp("purge", pool, "--no-gate-rerat")[2]


def test_study_by_name(entp, tmp_path: Path) -> None:
    status, said, _ = entp("study", "--list")
    assert status == 0
    assert all(name in said for name in ("purge-vs-neural", "families", "convergence", "sensitivity", "rules"))
    status, said, _ = entp(
        "study", "rules", pool_files()[0], "-o", "out", "--limit", "40", "--purge-rules", "mojibake,refusal"
    )
    assert status == 0
    assert "All rules keep" in said
    assert "--purge-rules mojibake,refusal" in (tmp_path / "out" / "study.json").read_text()
    assert len(json.loads((tmp_path / "out" / "study.json").read_text())["lines"]) == 3
    assert "no study is called 'rule'" in entp("study", "rule", pool_files()[0], "-o", "x")[2]
