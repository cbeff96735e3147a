"""The client for servers, against a real one on localhost that fails on demand."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import pickle
from email.utils import format_datetime

import huggingface_hub
import pytest
from fault_server import FaultServer

from entp_hf.errors import ConfigError, EntpError
from entp_hf.llm import http as wire
from entp_hf.llm.hub import HubChat
from entp_hf.llm.openai import OpenAIChat
from entp_hf.llm.protocol import ChatRequest

KEY = "sk-very-secret-0123456789"


def ask(text, **values):
    return ChatRequest((("user", text),), **values)


pytestmark = pytest.mark.usefixtures("online")


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "drop", "garbage", "notchat", "stall", "500,429,drop"])
def test_passing_faults_are_repeated(fault):
    with FaultServer(stall=1.0) as server:
        [reply] = OpenAIChat("m", server.url, timeout=0.5).chat([ask(f"[{fault}] hello")])
        assert reply.ok
        assert reply.text == f"echo: [{fault}] hello"
        assert len(server.calls) == 2 + fault.count(",")


@pytest.mark.parametrize(
    ("fault", "reason", "error"),
    [
        ("400", "error", "HTTP 400"),
        ("422", "error", "HTTP 422"),
        ("empty", "error", "empty answer"),
        ("filter", "error", "content filter"),
        ("length", "length", ""),
        ("json", "stop", ""),
    ],
)
def test_lasting_faults_are_not_repeated(fault, reason, error):
    with FaultServer() as server:
        first, reply = OpenAIChat("m", server.url).chat([ask("fine"), ask(f"[{fault}] hello")])
        assert first.text == "echo: fine"
        assert (reply.finish_reason, error in reply.error, bool(reply.error)) == (reason, True, bool(error))
        assert reply.ok == (fault == "json")
        assert len(server.calls) == 2


def test_gives_up_after_the_retries():
    with FaultServer() as server:
        good, bad = OpenAIChat("m", server.url, retries=2).chat([ask("fine"), ask("[500,500,500,500] no")])
        assert good.ok
        assert bad.error.startswith("HTTP 500")
        assert "after 3 tries" in bad.error
        assert len(server.calls) == 4


def test_nobody_there_ends_the_run_with_one_clear_error():
    with FaultServer() as server:
        url = server.url
    with pytest.raises(EntpError, match="start the server, or check the endpoint"):
        OpenAIChat("m", url, retries=1).chat([ask(f"hello {i}") for i in range(20)])


def test_retry_after_holds_all_calls_back():
    with FaultServer(retry_after="0.6") as server:
        replies = OpenAIChat("m", server.url, concurrency=1).chat([ask("[429] first"), ask("second")])
        assert [r.ok for r in replies] == [True, True]
        refused, *later = sorted(call["at"] for call in server.calls)
        assert len(later) == 2
        assert later[0] - refused >= 0.55


def test_too_long_a_retry_after_fails_the_call():
    with FaultServer(retry_after="3600") as server:
        _, reply = OpenAIChat("m", server.url).chat([ask("fine"), ask("[429] later")])
        assert "3600 s" in reply.error
        assert len(server.calls) == 2


def test_retry_after_forms():
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    assert wire.retry_after({"retry-after": "2.5"}) == 2.5
    assert 27 < wire.retry_after({"retry-after": format_datetime(later, usegmt=True)}) <= 30
    assert wire.retry_after({"retry-after": "soon"}) == wire.retry_after({}) == 0.0


def test_concurrency_is_used_and_kept_to():
    with FaultServer(delay=0.05) as server:
        replies = OpenAIChat("m", server.url, concurrency=4).chat([ask(f"q{i}") for i in range(24)])
        assert [r.text for r in replies] == [f"echo: q{i}" for i in range(24)]
        assert server.peak == 4


def test_a_waiting_call_holds_no_slot():
    with FaultServer(retry_after="") as server:
        texts = ["[500,500,500,500] slow", *[f"q{i}" for i in range(10)]]
        order = [i for i, _ in OpenAIChat("m", server.url, concurrency=1).stream([ask(t) for t in texts])]
        assert order[-1] == 0
        assert sorted(order) == list(range(11))


def test_slots_halve_once_for_calls_of_one_time_and_grow_back():
    async def run():
        slots = wire.Slots(16)
        since = slots.cuts
        for _ in range(8):
            slots.halve(since)
        halved = slots.limit
        for _ in range(200):
            slots.grow(0.1)
        for _ in range(10):
            slots.halve(slots.cuts)
        return halved, slots.limit

    assert asyncio.run(run()) == (8.0, 1.0)


@pytest.mark.parametrize(("server_wants", "status"), [({"key": KEY}, 401), ({"model": "other"}, 404)])
def test_wrong_key_or_model_is_one_clear_error(server_wants, status, monkeypatch):
    monkeypatch.setenv("ENTP_API_KEY", "sk-wrong-but-secret-too")
    with FaultServer(**server_wants) as server:
        with pytest.raises(EntpError, match=f"HTTP {status}.*check") as caught:
            OpenAIChat("m", server.url, concurrency=2).chat([ask(f"q{i}") for i in range(50)])
        assert "sk-wrong" not in str(caught.value)
        assert len(server.calls) <= 10  # not all fifty


def test_key_is_sent_and_shown_nowhere(monkeypatch, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ENTP_API_KEY", KEY)
    with FaultServer(key=KEY) as server:
        client = OpenAIChat("m", server.url)
        replies = client.chat([ask("fine"), ask(f"[400] {KEY}")])
        assert [r.ok for r in replies] == [True, False]
        assert server.calls[0]["key"] == f"Bearer {KEY}"
    shown = [repr(client), client.name, replies[1].error, caplog.text, *capsys.readouterr()]
    assert not any(KEY in text for text in shown)
    assert KEY.encode() not in pickle.dumps(client)


def test_the_hubs_token_does_not_leave_for_other_hosts(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    with FaultServer() as server:
        assert OpenAIChat("m", server.url).chat([ask("hello")])[0].ok
        assert server.calls[0]["key"] is None
    assert (
        wire.find_key("", "auto")
        == wire.find_key("https://x.endpoints.huggingface.cloud", "")
        == "hf_abcdefghijklmnop"
    )
    assert wire.find_key("https://evilhuggingface.co/v1", "") == wire.find_key("", "openai") == ""


@pytest.mark.parametrize(
    "endpoint", ["localhost:8000", "http://me:pass@host/v1", "https://host/v1?api_key=1", "ftp://x"]
)
def test_endpoint_is_checked(endpoint):
    with pytest.raises(ConfigError, match="endpoint") as caught:
        OpenAIChat("m", endpoint)
    assert "pass" not in str(caught.value).replace("a password", "")


def test_schema_goes_as_openai_wants_it():
    with FaultServer() as server:
        OpenAIChat("m", server.url).chat([ask("hello", schema='{"type": "object"}', max_tokens=7, temperature=0.5)])
        body = server.calls[0]["body"]
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": {"type": "object"}},
    }
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 7, 0.5)


def test_a_server_without_schemas_is_asked_once_and_remembered():
    with FaultServer(refuse_schema=True) as server:
        client = OpenAIChat("m", server.url, concurrency=1)
        replies = client.chat([ask(f"q{i}", schema='{"type": "object"}') for i in range(3)])
        assert all(r.ok for r in replies)
        assert ["response_format" in call["body"] for call in server.calls] == [True, True, False, False, False]


def test_token_counts():
    with FaultServer() as server:
        told, untold = OpenAIChat("m", server.url).chat([ask("hello"), ask("[nousage] hello")])
    assert (told.prompt_tokens, told.completion_tokens) == (5, 11)
    assert (untold.prompt_tokens, untold.completion_tokens) == (0, 0)


def test_works_inside_a_running_event_loop():
    async def main(url):
        return OpenAIChat("m", url).chat([ask("hello")])

    with FaultServer() as server:
        assert asyncio.run(main(server.url))[0].text == "echo: hello"


def test_leaving_early_stops_the_calls():
    with FaultServer(delay=0.05) as server:
        stream = OpenAIChat("m", server.url, concurrency=2).stream([ask(f"q{i}") for i in range(100)])
        next(stream)
        stream.close()
        assert len(server.calls) < 20


def test_offline_means_no_hub_and_a_named_server_is_called(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with FaultServer() as server:
        assert OpenAIChat("m", server.url).chat([ask("hello")])[0].ok
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    with pytest.raises(EntpError, match="the Hub is offline.*unset HF_HUB_OFFLINE"):
        HubChat("owner/m", provider="together").chat([ask("hello")])


def test_a_provider_without_key_is_named():
    with pytest.raises(EntpError, match="set HF_TOKEN"):
        HubChat("owner/m", provider="auto").chat([ask("hello")])


def test_no_requests():
    assert OpenAIChat("m", "http://127.0.0.1:9").chat([]) == []
