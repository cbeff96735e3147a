"""The demo with the writer, and without where it can't be had; what `entp build` says where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from entp_hf.cli import demo as module
from entp_hf.cli.app import app
from entp_hf.cli.demo import DEMO, with_writer
from entp_hf.config import SMOLLM2, WRITER, EntpConfig
from entp_hf.errors import ModelNotFound
from entp_hf.llm.factory import settled
from entp_hf.llm.protocol import ChatRequest
from entp_hf.models.known import KNOWN, fetched_file


def test_without_the_writer_rows_are_composed_and_a_warning_says_so(monkeypatch, tmp_path, capsys):
    def fail(name, cache):
        raise ModelNotFound("the file could not be fetched:\n  - the Hub: no network")

    monkeypatch.setattr(module, "fetch", fail)
    config, _, warnings = with_writer(EntpConfig(cache_dir=str(tmp_path)))
    assert (config.fuser, warnings) == ("mosaic", ["no writer: the file could not be fetched:"])
    said = capsys.readouterr()
    assert "Fetching the model that writes the fusions: qwen2.5-coder-1.5b, 1.1 GB" in said.out
    assert "make demo WRITER=no" in said.out
    assert "no network" in said.err and "goes on without it" in said.err


def test_the_demo_s_command_takes_the_flag(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "run_demo", lambda *args: asked.append(args))
    monkeypatch.setattr(module, "with_writer", lambda config: (config, "training", ["w"]))
    for words in ([], ["--no-writer"]):
        assert CliRunner().invoke(app, ["demo", *words]).exit_code == 0
    assert [args[2:] for args in asked] == [(DEMO, "training", ["w"]), (DEMO,)]
    assert DEMO.model == SMOLLM2


def test_the_makefile_passes_it_on():
    text = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    assert "$(if $(filter no,$(WRITER)),--no-writer)" in text


@pytest.mark.parametrize(
    ("values", "model", "rater"),
    [
        ({}, SMOLLM2, SMOLLM2),
        ({"model": "x/y"}, "x/y", ""),
        ({"rater_model": "x/y"}, SMOLLM2, "x/y"),
        ({"raters": ["llm"]}, SMOLLM2, ""),
        ({"endpoint": "http://e.example", "raters": ["llm"]}, SMOLLM2, ""),
    ],
)
def test_auto_is_smollm2_where_there_is_no_writer(values, model, rater, tmp_path):
    found = settled(EntpConfig(cache_dir=str(tmp_path), **values))
    assert (found.model, found.rater_model) == (model, rater)


def test_auto_is_the_writer_where_it_is_there(tmp_path):
    place = KNOWN[WRITER].download
    (tmp_path / "models").mkdir()
    with (tmp_path / "models" / place.file).open("wb") as out:
        out.truncate(place.bytes)  # a sparse file: nothing reads it here
    assert settled(EntpConfig(cache_dir=str(tmp_path))).model == WRITER
    assert settled(EntpConfig(cache_dir=str(tmp_path))).rater_model == SMOLLM2


def test_build_says_how_to_get_a_writer(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"instruction": "Name a metal.", "output": "Iron."}\n' * 3)
    words = ["build", str(tmp_path / "in.jsonl"), "--dry-run", "--cache-dir", str(tmp_path / "cache"), "--pool", "all"]
    noted = CliRunner().invoke(app, [*words, "--raters", ""])
    assert "entp models fetch writer (1.1 GB)" in noted.output + noted.stderr
    quiet = CliRunner().invoke(app, [*words, "--raters", "", "--fuser", "mosaic"])
    assert "entp models fetch" not in quiet.output + quiet.stderr


def test_the_writer_writes_json():
    """With the 1.1 GB file, where a cache folder has it: the one of $ENTP_WRITER_CACHE, or the user's own."""
    cache = os.environ.get("ENTP_WRITER_CACHE") or str(Path.home() / ".cache" / "entp")
    if fetched_file(WRITER, cache) is None:
        pytest.skip(f"{WRITER} is not in {cache}; run: entp models fetch writer; or set ENTP_WRITER_CACHE")
    import json

    from entp_hf.llm.local import LocalChat
    from entp_hf.llm.structured import parse_json
    from entp_hf.mix.fusion import Fused

    rows = "Row 1: What is the capital of France? Paris. Row 2: Which river flows through Paris? The Seine."
    ask = f"Merge these rows into one instruction and one response. {rows} Answer with a JSON object."
    request = ChatRequest((("user", ask),), 120, 0.0, json.dumps(Fused.model_json_schema()))
    (reply,) = LocalChat(WRITER, device="cpu", cache_dir=cache).chat([request])
    assert reply.ok
    value, _ = parse_json(reply.text, Fused)
    assert "Paris" in value.response or "Seine" in value.response
