"""Batch files: a stand-in answers each file, and the run goes on from there until its dataset is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from chats import judged, merge
from merging_server import write_pool

from entp_hf.config import EntpConfig
from entp_hf.errors import BatchWritten, EntpError, InputError
from entp_hf.llm.batch import FORMS, batching
from entp_hf.llm.openai import OpenAIChat
from entp_hf.llm.protocol import BUDGET, ChatRequest
from entp_hf.llm.reply_cache import REPLIES, CachedChat, import_results
from entp_hf.pipeline.run import run

pytestmark = pytest.mark.usefixtures("online")
ENDPOINT = "http://127.0.0.1:9/v1"  # nobody is there: nothing may be called


def answer(body: dict) -> str:
    """A good model's answer."""
    request = ChatRequest(tuple((m["role"], m["content"]) for m in body["messages"]))
    text = request.messages[0][1]
    if "Row 1:" in text:
        return merge(request)
    return judged(5) if "strict judge" in text else "A short answer of the model's own."


def completion(content: str, reason: str = "stop") -> dict:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": content}}
    return {"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}}


def openai_line(line: dict) -> dict:
    body = completion(answer(line["body"]))
    return {"id": "r", "custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}


def answered(requests: Path, results: Path, by: Callable[[dict], dict] = openai_line) -> int:
    lines = [json.loads(line) for line in requests.read_text("utf-8").splitlines()]
    assert len({line.get("custom_id", line.get("key")) for line in lines}) == len(lines)
    results.write_text("\n".join(json.dumps(by(line)) for line in reversed(lines)), "utf-8")  # in another order
    return len(lines)


def test_a_run_by_batches_comes_to_its_end(tmp_path: Path) -> None:
    pool = str(write_pool(tmp_path / "pool.jsonl", 16))
    settings = {
        "raters": ["llm"], "endpoint": ENDPOINT, "model": "m", "cache_dir": str(tmp_path / "cache"), "max_groups": 4,
        "group_similarity": -1.0, "target_size": 8, "rounds": 1, "cluster_counts": [2], "near_duplicate": 1.0,
        "semantic_duplicate": 1.0, "context_row": False,
    }  # fmt: skip
    config, stages = EntpConfig.from_dict(settings), []
    for number in range(12):
        requests, results = tmp_path / f"requests-{number}.jsonl", tmp_path / f"results-{number}.jsonl"
        try:
            with batching(requests):
                result = run(pool, config)
            break
        except BatchWritten as written:
            count = answered(requests, results)
            assert written.count == count
            assert written.paths == [str(requests)]
        line = json.loads(requests.read_text("utf-8").splitlines()[0])
        stages.append(line["body"]["messages"][0]["content"][:12])
        assert (line["method"], line["url"], line["body"]["model"]) == ("POST", "/v1/chat/completions", "m")
        assert "stream" not in line["body"]
        found = import_results(tmp_path / "cache" / REPLIES, results)
        assert found == {"answered": count}
    assert len(stages) >= 3  # ratings, direct answers, fusions
    assert result.manifest["fusion"]["rounds"][0]["fused"] >= 3
    assert result.manifest["tokens"]["cached_calls"] == result.manifest["tokens"]["calls"]
    assert not result.manifest["fusion"]["no_replies"]
    again = run(pool, config)  # without a batch: everything is in the cache, and nobody is there to be asked
    assert again.kept["id"][:] == result.kept["id"][:]


def write(tmp_path: Path, form: str = "openai", **values: object) -> tuple[CachedChat, ChatRequest, dict]:
    """A request in a batch file; the client, the request, the line."""
    client = CachedChat(OpenAIChat("m", ENDPOINT), str(tmp_path / REPLIES))
    request = ChatRequest((("system", "Be brief."), ("user", "Hello?")), **{"max_tokens": 20, **values})
    with batching(tmp_path / "requests.jsonl", form) as batch:
        [reply] = client.chat([request])
        assert (reply.finish_reason, batch.count) == (BUDGET, 1)
    [line] = (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()
    return client, request, json.loads(line)


def imported(tmp_path: Path, *lines: dict) -> dict:
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return dict(import_results(tmp_path / REPLIES, tmp_path / "results.jsonl"))


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"response": {"status_code": 429, "body": {"error": {"message": "rate limit"}}}}, "HTTP 429: rate limit"),
        ({"response": None, "error": {"code": "batch_expired", "message": "expired"}}, "expired"),
        ({"response": {"status_code": 200, "body": completion("")}}, "empty answer"),
        ({"response": {"status_code": 200, "body": {"choices": []}}}, "without any choice"),
        ({"result": {"type": "errored", "error": {"error": {"message": "overloaded"}}}}, "errored"),
        ({"result": {"type": "expired"}}, "expired"),
        ({}, "no response"),
    ],
)
def test_failed_lines_are_asked_again(tmp_path: Path, response: dict, reason: str) -> None:
    client, request, line = write(tmp_path)
    assert imported(tmp_path, {"custom_id": line["custom_id"], **response}) == {"failed": 1}
    with batching(tmp_path / "again.jsonl") as batch:
        client.chat([request])
        assert batch.count == 1
    import sqlite3

    (kept,) = sqlite3.connect(tmp_path / REPLIES).execute("SELECT reply FROM replies").fetchone()
    assert "batch file" in kept  # written anew
    assert imported(tmp_path, {"custom_id": line["custom_id"], **response}) == {"failed": 1}
    (kept,) = sqlite3.connect(tmp_path / REPLIES).execute("SELECT reply FROM replies").fetchone()
    assert reason in kept


def test_a_reply_cut_at_the_limit_stays_one(tmp_path: Path) -> None:
    client, request, line = write(tmp_path)
    body = completion("cut off in", "length")
    assert imported(tmp_path, {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}})
    [reply] = client.chat([request])
    assert (reply.text, reply.finish_reason, reply.cached) == ("cut off in", "length", True)


def test_strangers_and_other_files(tmp_path: Path) -> None:
    write(tmp_path)
    assert imported(tmp_path, {"custom_id": "other", "response": {}}) == {"unknown": 1}
    with pytest.raises(InputError, match="line 1: has no custom_id"):
        imported(tmp_path, {"instruction": "a row of a pool"})
    (tmp_path / "results.jsonl").write_text("no JSON", "utf-8")
    with pytest.raises(InputError, match="line 1: not JSON"):
        import_results(tmp_path / REPLIES, tmp_path / "results.jsonl")
    with pytest.raises(EntpError, match="no reply cache"):
        import_results(tmp_path / "none.sqlite", tmp_path / "results.jsonl")


def test_anthropic(tmp_path: Path) -> None:
    client, request, line = write(tmp_path, "anthropic")
    assert line["params"] == {
        "model": "m", "max_tokens": 20, "temperature": 0.0, "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hello?"}],
    }  # fmt: skip
    content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi."}]
    message = {"content": content, "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 4}}
    found = imported(tmp_path, {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": message}})
    assert found == {"answered": 1}
    [reply] = client.chat([request])
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("Hi.", 9, 4)


def test_gemini(tmp_path: Path) -> None:
    client, request, line = write(tmp_path, "gemini", schema='{"type": "object"}')
    assert line["request"]["contents"] == [{"role": "user", "parts": [{"text": "Hello?"}]}]
    assert line["request"]["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert line["request"]["generationConfig"]["responseMimeType"] == "application/json"
    candidate = {"content": {"parts": [{"text": "Hm.", "thought": True}, {"text": "{}"}]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4}
    response = {"candidates": [candidate], "usageMetadata": usage}
    assert imported(tmp_path, {"key": line["key"], "response": response}) == {"answered": 1}
    [reply] = client.chat([request])
    assert (reply.text, reply.prompt_tokens) == ("{}", 9)


def test_models_of_today_get_the_parameters_they_take(tmp_path: Path) -> None:
    client = CachedChat(OpenAIChat("gpt-5-mini", ENDPOINT), str(tmp_path / REPLIES))
    with batching(tmp_path / "requests.jsonl"):
        client.chat([ChatRequest((("user", "Hello?"),), max_tokens=20)])
    body = json.loads((tmp_path / "requests.jsonl").read_text("utf-8"))["body"]
    assert body == {
        "model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello?"}], "max_completion_tokens": 20,
    }  # fmt: skip


def test_long_files_are_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entp_hf.llm.batch.MOST_LINES", 3)
    client = CachedChat(OpenAIChat("m", ENDPOINT), str(tmp_path / REPLIES))
    with batching(tmp_path / "requests.jsonl") as batch:
        client.chat([ChatRequest((("user", f"q{i}"),)) for i in range(7)])
    assert [len(path.read_text("utf-8").splitlines()) for path in batch.paths] == [3, 3, 1]
    assert [path.name for path in batch.paths] == ["requests.jsonl", "requests-2.jsonl", "requests-3.jsonl"]


def test_forms_are_those_of_the_help() -> None:
    assert list(FORMS) == ["openai", "anthropic", "gemini"]
