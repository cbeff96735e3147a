"""Whole runs against servers that behave as users have reported (field cases of the shared data folder)."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entp_hf.config import EntpConfig
from entp_hf.errors import EntpError
from entp_hf.pipeline.result import Result
from entp_hf.pipeline.run import run

CASES = Path(__file__).parents[3] / "shared" / "data" / "field-cases"
pytestmark = [
    pytest.mark.usefixtures("online"),
    pytest.mark.skipif(not CASES.is_dir(), reason=f"the field cases are not at {CASES}"),
]


class Played:
    """A field case's server: its address, and the calls that it got."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.root = folder, f"http://127.0.0.1:{port}"

    @property
    def calls(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text("utf-8").splitlines()]


@contextmanager
def played(case: str, tmp_path: Path, behave: str = "") -> Iterator[Played]:
    """The server of a case in a process of its own; `behave` replaces the source of its behaviour."""
    folder = tmp_path / f"server-{time.monotonic_ns()}"
    folder.mkdir()
    (folder / "behave.py").write_text(behave or (CASES / case / "server.py").read_text("utf-8"), "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(CASES / "chat_server.py"), str(folder), str(port)])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Played(folder, port)
    finally:
        process.terminate()
        process.wait(10)


def build(case: str, server: Played, tmp_path: Path, path: str = "/v1", **settings: object) -> Result:
    """What `entp build input.jsonl --endpoint ... --raters llm` does."""
    values = {"raters": ["llm"], "endpoint": server.root + path, "model": "any", "cache_dir": str(tmp_path / "cache")}
    return run(str(CASES / case / "input.jsonl"), EntpConfig.from_dict({**values, **settings}))


def ratings(result: Result) -> list[float]:
    """Of the rows that came in."""
    rows = [*result.kept, *result.dropped]
    return [row["ratings"][0] for row in rows if row["origin"] not in ("fused", "mosaic") and row["ratings"]]


def fused(result: Result) -> int:
    return sum(entry["fused"] for entry in result.manifest["fusion"]["rounds"])


def test_parameters_that_models_of_today_refuse_are_learned_once(tmp_path: Path) -> None:
    case = "14-max-completion-tokens"
    with played(case, tmp_path) as server:
        result = build(case, server, tmp_path, temperature=0.5)
        refused = [call for call in server.calls if call["status"] == 400]
    assert len(ratings(result)) == 6
    assert fused(result) >= 1
    assert 1 <= len(refused) <= 18


def test_a_limit_that_thoughts_use_up_ends_the_run_with_the_setting_to_turn(tmp_path: Path) -> None:
    case = "15-reasoning-eats-the-limit"
    with played(case, tmp_path) as server:
        with pytest.raises(EntpError, match=r"160 tokens; set thinking to off, or raise rate_tokens"):
            build(case, server, tmp_path)
        assert len(server.calls) <= 6
        result = build(case, server, tmp_path, rate_tokens=512)
    assert len(ratings(result)) == 6


def test_a_draft_in_the_thoughts_is_no_answer(tmp_path: Path) -> None:
    case = "16-draft-in-the-thoughts"
    with played(case, tmp_path) as server:
        result = build(case, server, tmp_path)
    assert ratings(result) == [3.0] * 6
    assert fused(result) >= 1
    assert not any("This draft" in str(row["messages"]) for row in [*result.kept, *result.dropped])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": {"message": "no credit is left"}}),
        (429, {"error": {"message": "no credit is left", "code": "insufficient_quota"}}),
        (403, {"error": {"message": "no credit is left: insufficient balance"}}),
    ],
)
def test_used_up_credit_ends_the_asking_in_one_sentence(tmp_path: Path, status: int, body: dict) -> None:
    case = "19-out-of-credit"
    behave = (
        f"def behave(n, path, body):\n    return ({status}, {{}}, {body!r}) if n > 6 else (200, {{}}, good(body))\n"
    )
    with played(case, tmp_path, behave) as server:
        result = build(case, server, tmp_path)
        calls = len(server.calls)
    assert calls <= 24
    [warning] = [text for text in result.manifest["warnings"] if "no credit is left" in text]
    assert "the asking was stopped" in warning
    assert result.manifest["fusion"]["no_replies"]
    assert "no credit is left" in result.manifest["fusion"]["stopped_by"]
    with played(case, tmp_path, "def behave(n, path, body): return 200, {}, good(body)\n") as server:
        # A new place is a new key of the cache, so the same address is played again by its port alone.
        assert fused(build(case, server, tmp_path)) >= 1


@pytest.mark.parametrize(
    "path",
    ["/api/paas/v4", "/v1beta/openai", "/v1beta/openai/", "/api/v3", "/v1", "", "/api/paas/v4/chat/completions"],
)
def test_the_path_of_the_endpoint_is_used_as_given(tmp_path: Path, path: str) -> None:
    case = "20-endpoint-without-v1"
    with played(case, tmp_path) as server:
        result = build(case, server, tmp_path, path, fuser="none")
        assert all(call["status"] == 200 for call in server.calls)
    assert len(ratings(result)) == 6


def test_a_prompt_that_the_server_cuts_is_named_and_its_replies_are_refused(tmp_path: Path) -> None:
    case = "22-prompt-cut-in-silence"
    with played(case, tmp_path) as server:
        result = build(case, server, tmp_path)
    [warning] = [text for text in result.manifest["warnings"] if "its replies to such prompts" in text.lower()]
    assert "the server cut the prompt: it counts 128 tokens" in warning
    assert fused(result) == 0


def test_a_cold_start_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = "23-cold-start-503"
    behave = (CASES / case / "server.py").read_text("utf-8").replace("40", "6")
    with played(case, tmp_path, behave) as server:
        result = build(case, server, tmp_path)
        waiting = [call for call in server.calls if call["status"] == 503]
    assert len(ratings(result)) == 6
    assert fused(result) >= 1
    assert len({round(call["t"], 1) for call in waiting}) <= 250


def test_a_cause_that_all_calls_share_is_said(tmp_path: Path) -> None:
    case = "46-all-calls-fail"
    with played(case, tmp_path) as server:
        result = build(case, server, tmp_path, raters=[], pool="all")
    assert result.manifest["fusion"]["no_replies"]
    assert any("the model any is asleep" in text for text in result.manifest["warnings"])
    assert result.manifest["failed_calls"][0]["example"] == "HTTP 400: the model any is asleep"


def test_offline_a_named_server_is_called(tmp_path: Path) -> None:
    import huggingface_hub

    assert huggingface_hub.constants.HF_HUB_OFFLINE
    case = "47-offline-and-a-local-server"
    with played(case, tmp_path) as server:
        assert len(ratings(build(case, server, tmp_path))) == 6


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_failure_ends_the_command_with_status_3(tmp_path: Path) -> None:
    case = "46-all-calls-fail"
    with played(case, tmp_path) as server:
        done = subprocess.run(
            [sys.executable, "-m", "entp_hf", "build", str(CASES / case / "input.jsonl"), "-o", str(tmp_path / "out"),
             "--endpoint", server.root + "/v1", "--model", "any", "--raters", "", "--pool", "all",
             "--cache-dir", str(tmp_path / "cache")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "the model any is asleep" in done.stdout
    assert (tmp_path / "out" / "manifest.json").is_file()
