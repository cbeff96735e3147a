"""What a run may spend: never passed, stopped cleanly, and in pace with a provider's limits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fault_server import FaultServer
from merging_server import MergingServer, write_pool
from tiny import tiny_llama

from entp_hf.config import EntpConfig
from entp_hf.llm import budget
from entp_hf.llm import server as calls
from entp_hf.llm.budget import Claim, Ledger, Limits, Pace, current, spending
from entp_hf.llm.local import LocalChat
from entp_hf.llm.openai import OpenAIChat
from entp_hf.llm.protocol import BUDGET, ChatReply, ChatRequest
from entp_hf.llm.reply_cache import CachedChat
from entp_hf.pipeline.run import run


def ask(text: str, **values) -> ChatRequest:
    return ChatRequest((("user", text),), **{"max_tokens": 20, **values})


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "BACKOFF", 0.02)
    for name in ("ENTP_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_calls_are_never_more_than_the_budget_repeats_included():
    with FaultServer() as server, spending(Limits(calls=7)) as ledger:
        texts = ["[500,500] slow", *[f"q{i}" for i in range(19)]]
        replies = OpenAIChat("m", server.url, concurrency=4).chat([ask(text) for text in texts])
        assert len(server.calls) == ledger.calls == 7
    refused = [reply for reply in replies if reply.finish_reason == BUDGET]
    assert all(reply.error == "budget_calls: 7 calls are used up" and not reply.ok for reply in refused)
    assert len(refused) + sum(reply.ok for reply in replies) == 20
    assert ledger.refused == refused[0].error


@pytest.mark.parametrize(
    ("limits", "most"), [(Limits(tokens=400), 400), (Limits(cost=0.004, price_in=10.0, price_out=10.0), 400)]
)
def test_tokens_and_money_come_near_the_budget_and_not_over(limits: Limits, most: int):
    with FaultServer() as server, spending(limits) as ledger:
        replies = OpenAIChat("m", server.url, concurrency=8).chat([ask(f"question {i}") for i in range(60)])
        used = sum(reply.prompt_tokens + reply.completion_tokens for reply in replies)
        assert used == ledger.prompt + ledger.reply
    assert most - 110 < used <= most  # a further call may take up to 10 + 64 + 20 tokens
    assert {reply.finish_reason for reply in replies} == {"stop", BUDGET}


def test_what_is_not_told_is_counted_in_full():
    ledger, claim = Ledger(Limits(tokens=1000)), Claim(100, 50)
    counted = ChatReply("a", "stop", 10, 1)
    for reply, free in ((None, False), (ChatReply("no counts"), False), (None, True), (counted, False)):
        assert ledger.enter(claim) == (0.0, "")
        ledger.settle(claim, reply, free)
    assert (ledger.calls, ledger.prompt, ledger.reply) == (4, 210, 101)


def test_a_call_in_flight_makes_others_wait_and_not_fail():
    ledger, claim = Ledger(Limits(calls=2, tokens=220)), Claim(100, 10)
    assert ledger.enter(claim) == ledger.enter(claim) == (0.0, "")
    wait, why = ledger.enter(claim)
    assert wait > 0 and not why
    ledger.settle(claim, ChatReply("a", "stop", 5, 5))
    ledger.settle(claim, ChatReply("a", "stop", 5, 5))
    assert ledger.enter(claim)[1] == "budget_calls: 2 calls are used up"


def test_refusals_are_not_cached_and_the_rest_is_asked_later(tmp_path: Path):
    requests = [ask(f"q{i}") for i in range(6)]
    with FaultServer() as server:
        chat = CachedChat(OpenAIChat("m", server.url), str(tmp_path / "r.sqlite"))
        with spending(Limits(calls=4)):
            assert sum(reply.ok for reply in chat.chat(requests)) == 4
        with spending(Limits(calls=2)):
            assert all(reply.ok for reply in chat.chat(requests))
        assert len(server.calls) == 6


def test_the_total_time_ends_calls_and_waits():
    with FaultServer(delay=0.3) as server, spending(Limits(seconds=0.7)):
        begun = time.monotonic()
        replies = OpenAIChat("m", server.url, concurrency=2).chat([ask(f"q{i}") for i in range(40)])
        assert time.monotonic() - begun < 2
        assert len(server.calls) <= 8
    assert "total_timeout: 0.7 s are over" in {reply.error for reply in replies}
    assert sum(reply.ok for reply in replies) >= 2


def test_requests_per_minute_hold_in_every_window(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "WINDOW", 1.0)
    with FaultServer() as server, spending(Limits(requests_per_minute=5)):
        replies = OpenAIChat("m", server.url, concurrency=8).chat([ask(f"q{i}") for i in range(15)])
        at = sorted(call["at"] for call in server.calls)
    assert all(reply.ok for reply in replies)
    assert min(later - first for first, later in zip(at, at[5:], strict=False)) > 0.6
    assert at[-1] - at[0] < 6


def test_tokens_per_minute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "WINDOW", 0.2)
    pace, claim = Pace(0, 100), Claim(80, 20)  # 40 tokens of pace
    assert pace.wait(claim) == pace.wait(claim) == 0.0
    assert 0 < pace.wait(claim) <= 0.2
    assert Pace(0, 10).wait(claim) == 0.0  # over the limit by itself: alone
    time.sleep(0.25)
    assert pace.wait(claim) == 0.0


def test_slow_calls_stop_the_growth_of_slots():
    from entp_hf.llm.http import Slots

    slots = Slots(16)
    slots.halve(0)
    for _ in range(20):
        slots.grow(1.0)
    grown = slots.limit
    for _ in range(60):
        slots.grow(9.0)
    assert 8 < grown < slots.limit < 16  # it went on growing only until the mean told
    stuck = slots.limit
    slots.grow(9.0)
    assert slots.limit == stuck


def test_a_model_in_this_process_keeps_to_the_budget(tmp_path: Path):
    with spending(Limits(tokens=300)) as ledger:
        chat = LocalChat(tiny_llama(tmp_path), batch_size=4)
        replies = chat.chat([ask(f"Say {i}.", max_tokens=8) for i in range(12)])
        assert 200 < ledger.prompt + ledger.reply <= 300
    assert BUDGET in {reply.finish_reason for reply in replies}
    assert current().limits == Limits()


def test_a_run_out_of_budget_ends_cleanly_and_goes_on_later(tmp_path: Path):
    pool = str(write_pool(tmp_path / "pool.jsonl", 60))
    values = {
        "raters": [],
        "pool": "all",
        "model": "m",
        "cache_dir": str(tmp_path),
        "fuser": "mergeit",
        "rounds": 2,
        "group_similarity": -1.0,
        "max_groups": 20,
        "target_size": 40,
        "semantic_duplicate": 1.0,
        "cluster_counts": [1],
    }
    with MergingServer(share=0.0) as server:
        config = EntpConfig.from_dict({**values, "endpoint": server.url})
        short = run(pool, EntpConfig.from_dict({**config.to_dict(), "budget_calls": 12}))
        assert len(server.calls) == 12
        whole = run(pool, config)
        assert len(server.calls) == whole.manifest["tokens"]["calls"] == 20
    (figures,) = short.manifest["fusion"]["rounds"]
    assert short.manifest["fusion"]["stopped_by"] == "budget_calls: 12 calls are used up"
    assert (figures["groups"], figures["fused"], figures["mosaic"], figures["attempts"]) == (20, 12, 8, 12)
    assert figures["reasons"]["not asked"] == 8
    assert any("budget_calls" in warning and "run again" in warning for warning in short.manifest["warnings"])
    assert short.manifest["tokens"]["calls"] == 12
    assert len(short.kept) + len(short.dropped) == 60 + 20
    assert whole.manifest["tokens"]["cached_calls"] == 12
