"""The reply cache and the vector store, on real files, with a client that counts what it is asked."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from fault_server import FaultServer

from entp_hf.errors import ConfigError, EntpError
from entp_hf.io.sqlite_cache import get_vectors, put_vectors
from entp_hf.llm.openai import OpenAIChat
from entp_hf.llm.protocol import ChatReply, ChatRequest
from entp_hf.llm.reply_cache import CachedChat, cache_info, export, prune


@dataclass(frozen=True)
class Echo:
    """Answers with the question; fails for what begins with "bad", stops the run at "stop"."""

    name: str = "echo"
    asked: list[str] = field(default_factory=list, compare=False)

    def chat(self, requests, desc=""):
        return [reply for _, reply in self.stream(requests, desc)]

    def stream(self, requests, desc=""):
        for i in reversed(range(len(requests))):
            text = requests[i].messages[-1][1]
            self.asked.append(text)
            if text == "stop":
                raise KeyboardInterrupt
            if text.startswith("bad"):
                yield i, ChatReply(finish_reason="error", error="HTTP 500")
            else:
                yield i, ChatReply(text, "length" if text == "long" else "stop", 1, 2)

    def digit_expectations(self, prompts, prefix, digits=range(6), desc=""):
        self.asked.extend(prompts)
        return np.array([[np.nan, 0.0] if p == "none" else [len(p) / 7, 0.9] for p in prompts])


def ask(text, **values):
    return ChatRequest((("user", text),), **values)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "new" / "replies.sqlite")


def test_a_second_run_asks_nothing(path):
    requests = [ask("one"), ask("two"), ask("long"), ask("one"), ask("\ud800 half a pair")]
    client = Echo()
    first = CachedChat(client, path).chat(requests)
    assert [r.text for r in first] == ["one", "two", "long", "one", "\ud800 half a pair"]
    assert sorted(client.asked) == sorted(["one", "two", "long", "\ud800 half a pair"])
    assert [r.cached for r in first] == [False, False, False, True, False]
    again = Echo()
    second = CachedChat(again, path).chat(requests)
    assert again.asked == []
    assert second == first
    assert all(r.cached for r in second)
    assert second[2].finish_reason == "length"


@pytest.mark.parametrize(
    "other",
    [
        ask("two"),
        ask("one", max_tokens=9),
        ask("one", temperature=0.5),
        ask("one", schema="{}"),
        ask("one", prompt_version="2"),
        ask("one", attempt=1),
        ChatRequest((("system", "one"),)),
    ],
)
def test_every_part_of_a_request_is_in_the_key(path, other):
    client = Echo()
    CachedChat(client, path).chat([ask("one")])
    assert not CachedChat(client, path).chat([other])[0].cached
    assert not CachedChat(Echo(name="other"), path).chat([ask("one")])[0].cached
    assert len(client.asked) == 2


def test_failures_are_kept_but_asked_again(path):
    for _ in range(2):
        client = Echo()
        [reply] = CachedChat(client, path).chat([ask("bad luck")])
        assert (reply.error, reply.cached, client.asked) == ("HTTP 500", False, ["bad luck"])
    assert (cache_info(path)["failed"], cache_info(path)["replies"]) == (1, 0)


def test_a_run_broken_off_keeps_what_had_arrived(path):
    client = Echo()
    with pytest.raises(KeyboardInterrupt):
        CachedChat(client, path).chat([ask("stop"), ask("two"), ask("three")])
    again = Echo()
    assert all(r.cached for r in CachedChat(again, path).chat([ask("two"), ask("three")]))
    assert again.asked == []


def test_a_client_without_stream(path):
    class Plain:
        name = "plain"

        def chat(self, requests, desc=""):
            return [ChatReply(r.messages[0][1]) for r in requests]

    assert [r.text for r in CachedChat(Plain(), path).chat([ask("a"), ask("b")])] == ["a", "b"]
    assert CachedChat(Plain(), path).chat([ask("b")])[0].cached
    with pytest.raises(ConfigError, match="plain gives no probabilities"):
        CachedChat(Plain(), path).digit_expectations(["x"], "")


def test_expectations_are_kept(path):
    prompts = ["seven__", "none", "fourteen______", "none"]
    client = Echo()
    first = CachedChat(client, path).digit_expectations(prompts, "prefix")
    np.testing.assert_allclose(first, [[1, 0.9], [np.nan, 0], [2, 0.9], [np.nan, 0]])
    assert sorted(client.asked) == ["fourteen______", "none", "seven__"]
    again = Echo()
    np.testing.assert_array_equal(CachedChat(again, path).digit_expectations(prompts, "prefix"), first)
    assert again.asked == []
    CachedChat(again, path).digit_expectations(prompts[:1], "another prefix")
    CachedChat(again, path).digit_expectations(prompts[:1], "prefix", digits=range(3))
    assert again.asked == ["seven__"] * 2
    assert CachedChat(again, path).digit_expectations([], "prefix").shape == (0, 2)


def test_info_export_prune(path, tmp_path):
    CachedChat(Echo(), path).chat([ask("one"), ask("bad")])
    CachedChat(Echo(), path).digit_expectations(["row"], "p")
    info = cache_info(path)
    assert (info["replies"], info["failed"], info["rated_rows"], info["clients"]) == (1, 1, 1, {"echo": 3})
    assert info["bytes"] > 0
    assert time.time() - 60 < info["oldest"] <= info["newest"] <= time.time()
    assert export(path, tmp_path / "out.jsonl") == 3
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {(e["kind"], e["failed"]) for e in lines} == {("chat", False), ("chat", True), ("digits", False)}
    good = next(e for e in lines if e["kind"] == "chat" and not e["failed"])
    assert good["request"]["messages"] == [["user", "one"]]
    assert good["reply"]["text"] == "one"
    assert prune(path, older_than_days=1) == 0
    assert prune(path, older_than_days=-1) == 3
    assert cache_info(path)["replies"] == 0


def test_missing_damaged_and_foreign_files(tmp_path):
    with pytest.raises(EntpError, match="no reply cache at .*absent"):
        cache_info(tmp_path / "absent.sqlite")
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"this is no database, but long enough to be looked at" * 50)
    with pytest.raises(EntpError, match="damaged.sqlite.*move it away or delete it"):
        CachedChat(Echo(), str(damaged)).chat([ask("one")])
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE replies (x)")
    connection.close()
    with pytest.raises(EntpError, match="foreign.sqlite is a database of another program"):
        CachedChat(Echo(), str(foreign)).chat([ask("one")])
    with pytest.raises(EntpError, match="can't be used"):
        CachedChat(Echo(), str(damaged / "below" / "x.sqlite")).chat([ask("one")])


def test_a_file_cut_in_the_middle(path):
    CachedChat(Echo(), path).chat([ask("long text " * 500 + str(i)) for i in range(50)])
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.truncate(size // 2 // 4096 * 4096)
    with pytest.raises(EntpError, match="replies.sqlite.*move it away"):
        CachedChat(Echo(), path).chat([ask("long text " * 500 + str(i)) for i in range(50)])


def _write_many(path, start, barrier):
    barrier.wait()
    for i in range(start, start + 40):
        CachedChat(Echo(), path).chat([ask(f"q{i}"), ask("shared")])


def test_processes_share_a_file_from_its_first_moment(path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_write_many, args=(path, 40 * k, barrier)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    again = Echo()
    assert all(r.cached for r in CachedChat(again, path).chat([ask(f"q{i}") for i in range(120)]))
    assert cache_info(path)["replies"] == 121


def test_around_a_server(path, monkeypatch):
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("ENTP_API_KEY", key)
    with FaultServer(key=key) as server:
        client = CachedChat(OpenAIChat("m", server.url), path)
        requests = [ask("hello"), ask("[400,400] broken"), ask("[length] cut")]
        first = client.chat(requests)
        assert [r.ok for r in first] == [True, False, False]
        assert len(server.calls) == 3
        second = client.chat(requests)
        assert [r.cached for r in second] == [True, False, True]
        assert len(server.calls) == 4
        files = list(Path(path).parent.iterdir())
        assert files and not any(key.encode() in file.read_bytes() for file in files)


def test_vectors(tmp_path):
    path = tmp_path / "vectors.sqlite"
    assert get_vectors(path, ["a"]) == {}
    assert not path.exists()
    matrix = np.random.default_rng(0).normal(size=(1200, 8)).astype(np.float32)
    keys = [f"k{i}" for i in range(1200)]
    put_vectors(path, keys, matrix)
    found = get_vectors(path, [*keys, "absent"])
    assert len(found) == 1200
    np.testing.assert_array_equal(np.stack([found[k] for k in keys]), matrix)
    put_vectors(path, ["k3"], np.ones((1, 8)))
    np.testing.assert_array_equal(get_vectors(path, ["k3"])["k3"], np.ones(8, dtype=np.float32))
    with pytest.raises(EntpError, match="2 keys for 1 vectors"):
        put_vectors(path, ["a", "b"], matrix[:1])


def test_forty_thousand_vectors_are_read_back_quickly(tmp_path):
    path = tmp_path / "vectors.sqlite"
    matrix = np.zeros((40_000, 384), dtype=np.float32)
    matrix[:, 0] = np.arange(40_000)
    keys = [f"{i:032x}" for i in range(40_000)]
    put_vectors(path, keys, matrix)
    begun = time.perf_counter()
    found = get_vectors(path, keys)
    assert time.perf_counter() - begun < 3
    assert found[keys[-1]][0] == 39_999
