"""Servers of today, played on localhost: streams, silence, refused parameters and schemas, errors inside a 200, ..."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from datasets.fingerprint import Hasher

from entp_hf.errors import EntpError
from entp_hf.llm import server as calls
from entp_hf.llm.budget import Limits, spending
from entp_hf.llm.http import find_key
from entp_hf.llm.openai import OpenAIChat, route
from entp_hf.llm.protocol import BUDGET, ChatRequest
from entp_hf.llm.schemas import bare_schema
from entp_hf.llm.server_state import SchemaLevel
from entp_hf.mix.fusion import FusedTalk

pytestmark = pytest.mark.usefixtures("online")
SCHEMA = json.dumps(
    {
        "title": "T",
        "type": "object",
        "properties": {"a": {"type": "array", "minItems": 2, "items": {"type": "string"}}},
    }
)


class Played(ThreadingHTTPServer):
    """`behave(number of the call, body)` gives (status, answer): a dict, or a list of events to be streamed, where a
    number is a pause in seconds. `get` maps paths to texts.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, behave: Callable[[int, dict], tuple[int, Any]], get: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave, self.get = behave, get
        self.root = f"http://127.0.0.1:{self.server_port}"
        self.url = self.root + "/v1"
        self.bodies: list[dict] = []
        self.headers: list[Any] = []
        self.paths: list[str] = []
        self.flying = self.peak = 0
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Played

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        text = self.server.get.get(self.path)
        self._send(200 if text is not None else 404, (text or "").encode(), "text/plain")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append(self.headers)
            server.paths.append(self.path)
            number = len(server.bodies)
            server.flying += 1
            server.peak = max(server.peak, server.flying)
        try:
            status, answer = server.behave(number, body)
            if isinstance(answer, list):
                self._stream(answer)
            else:
                self._send(status, json.dumps(answer).encode(), "application/json")
        finally:
            with server.lock:
                server.flying -= 1

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            if isinstance(event, int | float):
                time.sleep(event)
                continue
            text = event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n"
            self.wfile.write(text.encode())
            self.wfile.flush()
        self.close_connection = True


@contextmanager
def played(behave: Callable[[int, dict], tuple[int, Any]], **get: str) -> Iterator[Played]:
    server = Played(behave, {f"/{name}": text for name, text in get.items()})
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def ask(text: str = "hello", **values: Any) -> ChatRequest:
    return ChatRequest((("user", text),), **values)


def done(content: Any = "fine", reason: str = "stop", usage: Any = None, **message: Any) -> dict:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": content, **message}}
    return {"choices": [choice], "usage": usage or {"prompt_tokens": 5, "completion_tokens": 2}}


def delta(content: str | None = None, reason: str | None = None, **more: Any) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
END = "data: [DONE]\n\n"


def only(client: OpenAIChat, **values: Any) -> Any:
    [reply] = client.chat([ask(**values)])
    return reply


# Streams


@pytest.mark.parametrize(
    "events",
    [
        [delta("one "), delta("two"), delta(reason="stop"), USAGE, END],
        [": ping\n\n", delta("one "), ": ping\n\n", delta("two", "stop"), USAGE, END],
        [delta("one "), delta("two"), END],  # no finish_reason: the end is said
        [delta("one "), delta("two", "stop")],  # no end: the finish_reason is there
        ["event: message\ndata: " + json.dumps(delta("one two", "stop")) + "\n\n", END],
        [{"choices": None}, delta("one two", "stop"), END],
        [delta(None, reasoning_content="Hm. "), delta(None, reasoning="Aha."), delta("one two", "stop"), END],
    ],
)
def test_streams_of_all_kinds(events: list) -> None:
    with played(lambda n, body: (200, events)) as server:
        reply = only(OpenAIChat("m", server.url))
    assert (reply.text, reply.finish_reason, reply.error) == ("one two", "stop", "")
    assert server.bodies[0]["stream"] is True


@pytest.mark.parametrize(
    "events",
    [
        [delta("one ")],  # broken off
        [],
        [END],
        [delta("one "), {"error": {"message": "worker died"}}],
        [delta("one "), "data: {not json\n\n"],
        [delta("one "), {"choices": [{"error": {"message": "provider failed", "code": 502}}]}],
    ],
)
def test_a_broken_stream_is_asked_again(events: list) -> None:
    with played(lambda n, body: (200, events) if n == 1 else (200, done())) as server:
        assert only(OpenAIChat("m", server.url)).text == "fine"
        assert len(server.bodies) == 2


def test_the_time_limit_is_on_silence_not_on_the_whole_reply() -> None:
    slow = [part for i in range(8) for part in (delta(f"{i} "), 0.2)] + [delta(reason="stop"), END]
    with played(lambda n, body: (200, slow)) as server:
        reply = only(OpenAIChat("m", server.url, timeout=1.0))  # 1.6 s in all
        assert reply.text.split() == [str(i) for i in range(8)]
        assert len(server.bodies) == 1


def test_silence_amid_a_reply_ends_it_and_the_next_try_has_twice_the_time() -> None:
    events = [delta("one "), 1.4, delta("two", "stop"), END]
    with played(lambda n, body: (200, events)) as server:
        client = OpenAIChat("m", server.url, timeout=1.0)
        assert only(client).text == "one two"
        assert len(server.bodies) == 2
        assert client.own_state.timed_out == 1


def test_calls_in_the_queue_of_a_slow_server_are_not_lost() -> None:
    """One slot, 0.4 s a reply, a limit of 1 s: the last of 6 calls waits 2 s for its first token."""
    slot = threading.Lock()

    def behave(n: int, body: dict) -> tuple[int, Any]:
        with slot:
            time.sleep(0.4)
            return 200, [delta("fine", "stop"), END]

    with played(behave) as server:
        replies = OpenAIChat("m", server.url, timeout=1.0, concurrency=6).chat([ask(f"q{i}") for i in range(6)])
        assert [reply.text for reply in replies] == ["fine"] * 6
        assert len(server.bodies) == 6


def test_a_server_of_ones_own_that_reads_a_long_prompt_is_waited_for_while_it_is_alive() -> None:
    events = [2.5, delta("fine", "stop"), END]
    with played(lambda n, body: (200, events), health="ok") as server:
        assert only(OpenAIChat("m", server.url, timeout=1.0)).text == "fine"
        assert len(server.bodies) == 1


def test_a_lost_call_is_asked_again_while_others_are_answered() -> None:
    lost = threading.Event()

    def behave(n: int, body: dict) -> tuple[int, Any]:
        if body["messages"][-1]["content"] == "q0" and not lost.is_set():
            lost.set()
            time.sleep(8)
        time.sleep(0.1)
        return 200, done()

    with played(behave, health="ok") as server:
        begun = time.monotonic()
        replies = OpenAIChat("m", server.url, timeout=1.0, concurrency=2).chat([ask(f"q{i}") for i in range(30)])
        assert all(reply.ok for reply in replies)
        assert time.monotonic() - begun < 7
        assert len(server.bodies) == 31


# Slots


def test_slots_are_those_that_llama_cpp_tells() -> None:
    with played(lambda n, body: (200, done()), props=json.dumps({"total_slots": 3})) as server:

        def behave(n: int, body: dict) -> tuple[int, Any]:
            time.sleep(0.05)
            return 200, done()

        server.behave = behave
        client = OpenAIChat("m", server.url, concurrency=0)
        assert all(reply.ok for reply in client.chat([ask(f"q{i}") for i in range(24)]))
        assert (server.peak, client.own_state.slots) == (3, 3)


def test_slots_are_what_vllms_cache_holds() -> None:
    metrics = 'x 1\nvllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="1280"} 1.0\n'
    with played(lambda n, body: (200, done()), metrics=metrics) as server:
        client = OpenAIChat("m", server.url, concurrency=0)
        assert client.chat([ask()])[0].ok
        assert client.own_state.slots == 10  # 20,480 tokens


def test_unknown_slots_are_measured() -> None:
    gate = threading.Semaphore(2)

    def two_at_once(n: int, body: dict) -> tuple[int, Any]:
        with gate:
            time.sleep(0.15)
        return 200, done()

    def all_at_once(n: int, body: dict) -> tuple[int, Any]:
        time.sleep(0.15)
        return 200, done()

    peaks = []
    for behave in (two_at_once, all_at_once):
        with played(behave) as server:
            assert all(
                r.ok for r in OpenAIChat("m", server.url, concurrency=0).chat([ask(f"q{i}") for i in range(80)])
            )
            peaks.append(server.peak)
    assert peaks[0] <= 24 and peaks[0] < peaks[1]  # how fast they rise hangs on the machine's load


# Parameters that are refused


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                       "'max_completion_tokens' instead."),
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) "
                        "value is supported."),
        ("temperature", "`temperature` is deprecated for this model."),
        ("stream_options", "Unknown field: stream_options"),
        ("stream", "stream is not supported for this model"),
    ],
)  # fmt: skip
def test_a_refused_parameter_is_left_out_from_then_on(refused: str, message: str) -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        return (400, {"error": {"message": message}}) if refused in body else (200, done())

    with played(behave) as server:
        client = OpenAIChat("m", server.url, concurrency=2)
        assert all(reply.ok for reply in client.chat([ask(f"q{i}", max_tokens=77) for i in range(10)]))
        assert sum(refused in body for body in server.bodies) <= 2
        if refused == "max_tokens":
            assert server.bodies[-1]["max_completion_tokens"] == 77
        if refused == "stream_options":
            assert server.bodies[-1]["stream"] is True


def test_a_limit_that_is_too_high_is_no_refused_parameter() -> None:
    error = {"error": {"message": "max_tokens is too large: 99999. This model supports at most 16384."}}
    with played(lambda n, body: (400, error)) as server:
        reply = only(OpenAIChat("m", server.url))
        assert "max_tokens is too large" in reply.error
        assert all("max_tokens" in body for body in server.bodies)


def test_extras_go_along_and_win() -> None:
    extras = {"top_p": 0.9, "temperature": 1, "stream": False, "extra_body": {"chat_template_kwargs": {"x": 1}}}
    with played(lambda n, body: (200, done())) as server:
        client = OpenAIChat("m", server.url, extras_json=json.dumps(extras))
        assert only(client).ok
    [body] = server.bodies
    assert (body["top_p"], body["temperature"], body["stream"], body["chat_template_kwargs"]) == (
        0.9,
        1,
        False,
        {"x": 1},
    )
    assert "extra_body" not in body and "stream_options" not in body
    assert client.name != OpenAIChat("m", server.url).name  # replies differ, so the cache must


def test_thinking_off_is_said_in_the_servers_way_and_a_refusal_is_warned_of() -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        if "chat_template_kwargs" in body:
            return 400, {"error": {"message": "Unrecognized request argument supplied: chat_template_kwargs"}}
        return 200, done()

    with played(behave) as server:
        client = OpenAIChat("m", server.url, thinking="off")
        assert only(client).ok
        assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
        assert "can't be switched off" in client.own_state.warnings["thinking"]
    from entp_hf.llm.openai import thinking_off

    assert thinking_off("https://api.openai.com/v1") == {"reasoning_effort": "minimal"}
    assert thinking_off("https://openrouter.ai/api/v1") == {"reasoning": {"enabled": False}}
    assert thinking_off("http://127.0.0.1:11434/v1") == {"reasoning_effort": "none"}


# Schemas


def level_of(body: dict) -> str:
    form = body.get("response_format")
    if form is None:
        return "none"
    return form["type"] if form["type"] == "json_object" else "full" if "minItems" in str(form) else "bare"


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ("bare", "Invalid schema for response_format 'reply': 'minItems' is not permitted"),
        ("json_object", "response_format type json_schema is not supported"),
        ("none", "response_format is not supported"),
    ],
)
def test_a_server_is_asked_for_as_much_of_the_schema_as_it_takes(taken: str, message: str) -> None:
    levels = ["full", "bare", "json_object", "none"]

    def behave(n: int, body: dict) -> tuple[int, Any]:
        ok = levels.index(level_of(body)) >= levels.index(taken)
        return (200, done("{}")) if ok else (400, {"error": {"message": message}})

    with played(behave) as server:
        client = OpenAIChat("m", server.url, concurrency=1)
        assert all(reply.ok for reply in client.chat([ask(f"q{i}", schema=SCHEMA) for i in range(6)]))
        assert [level_of(body) for body in server.bodies][-5:] == [taken] * 5
        assert len(server.bodies) == 6 + levels.index(taken)


def test_one_400_of_another_cause_does_not_switch_schemas_off() -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        if body["messages"][-1]["content"] == "bad":
            return 400, {"error": {"message": "the request was flagged"}}
        return 200, done("{}")

    with played(behave) as server:
        client = OpenAIChat("m", server.url, concurrency=1)
        replies = client.chat([ask(text, schema=SCHEMA) for text in ("bad", "a", "b")])
        assert [reply.ok for reply in replies] == [False, True, True]
        assert [level_of(body) for body in server.bodies[-2:]] == ["full", "full"]
        assert client.own_state.schema_level == SchemaLevel.FULL


def test_a_reply_that_did_not_fit_is_that_replys_alone() -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        if n == 2:
            return 400, {"error": {"message": "Failed to generate JSON", "code": "json_validate_failed"}}
        return 200, done("{}")

    with played(behave) as server:
        client = OpenAIChat("m", server.url, concurrency=1)
        assert all(reply.ok for reply in client.chat([ask(f"q{i}", schema=SCHEMA) for i in range(4)]))
        assert [level_of(body) for body in server.bodies] == ["full", "full", "none", "full", "full"]


def test_a_500_at_each_schema_counts_as_refusal() -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        return (500, {"error": "grammar crashed"}) if "response_format" in body else (200, done("{}"))

    with played(behave) as server:
        client = OpenAIChat("m", server.url, concurrency=1)
        assert all(reply.ok for reply in client.chat([ask(f"q{i}", schema=SCHEMA) for i in range(4)]))
        assert client.own_state.schema_level == SchemaLevel.NONE or len(server.bodies) < 16


def test_a_prompt_that_is_too_long_is_asked_once() -> None:
    error = {"error": {"message": "This model's maximum context length is 4096 tokens, however you requested 9000"}}
    with played(lambda n, body: (400, error)) as server:
        assert "maximum context" in only(OpenAIChat("m", server.url), schema=SCHEMA).error
        assert len(server.bodies) == 1


def test_bare_schemas_have_types_and_names_alone() -> None:
    found = bare_schema(FusedTalk.model_json_schema())
    turn = {
        "type": "object", "properties": {"user": {"type": "string"}, "assistant": {"type": "string"}},
        "required": ["user", "assistant"], "additionalProperties": False,
    }  # fmt: skip
    assert found == {
        "type": "object", "properties": {"turns": {"type": "array", "items": turn}}, "required": ["turns"],
        "additionalProperties": False,
    }  # fmt: skip


# Answers that are not what they seem


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "provider is overloaded", "code": 502}},
        {"error": "something broke"},
        {"choices": None},
        {"choices": []},
        {"choices": [{"error": {"message": "upstream", "code": 503}, "message": {"content": ""}}]},
        {"choices": [None]},
        "text",
        None,
    ],
)
def test_a_200_without_an_answer_is_asked_again(answer: Any) -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        return (
            (200, done())
            if n > 1
            else (200, {"list": answer}.get("list"))
            if not isinstance(answer, list)
            else (200, "")
        )

    with played(behave) as server:
        reply = only(OpenAIChat("m", server.url))
        assert (reply.text, len(server.bodies)) == ("fine", 2)


def test_a_402_inside_a_200_is_one() -> None:
    with played(lambda n, body: (200, {"error": {"message": "Insufficient credits", "code": 402}})) as server:
        with pytest.raises(EntpError, match="HTTP 402.*pay in"):
            only(OpenAIChat("m", server.url))
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "text", "error"),
    [
        (done([{"type": "text", "text": "fine"}]), "fine", ""),
        (done([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}]), "a", ""),
        (done([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, "a"]), "a", ""),
        (done("fine", reasoning_content="Hm."), "fine", ""),
        (done(None, reasoning_content="Hm."), "", "thoughts and no answer"),
        (done(None, reasoning="Hm."), "", "thoughts and no answer"),
        (done(None, refusal="I can't help with that."), "", "the model refuses: I can't"),
        (done("", "content_filter"), "", "content filter"),
        (done(None, "length", reasoning_content="Hm."), "", "in the model's thoughts at the limit of 40 tokens"),
        (done("<think>Hm. ", "length"), "", "cut off in the model's thoughts"),
        (done("<think>Hm.</think>An answ", "length"), "<think>Hm.</think>An answ", ""),
    ],
)  # fmt: skip
def test_thoughts_are_no_answer_and_a_cut_in_them_is_named(answer: dict, text: str, error: str) -> None:
    with played(lambda n, body: (200, answer)) as server:
        reply = only(OpenAIChat("m", server.url), max_tokens=40)
    assert reply.text == text
    assert error in reply.error and bool(error) == bool(reply.error)
    assert reply.cut_in_thoughts == ("thoughts at" in error or "model's thoughts" in error)


def test_most_replies_cut_in_thoughts_end_the_asking() -> None:
    with played(lambda n, body: (200, done(None, "length", reasoning="Hm."))) as server, spending(Limits()):
        client = OpenAIChat("m", server.url, concurrency=4)
        replies = client.chat([ask(f"q{i}", prompt_version="rate@1", max_tokens=160) for i in range(200)])
        assert len(server.bodies) < 60
    assert replies[-1].finish_reason == BUDGET
    assert "160 tokens; set thinking to off, or raise rate_tokens" in replies[-1].error


# Stopping


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (402, {"message": "Payment required"}),
        (
            429,
            {"message": "You exceeded your current quota", "code": "insufficient_quota"},
        ),
        (429, {"message": "Your credit balance is too low"}),
        (403, {"message": "Arrearage: insufficient balance"}),
    ],
)
def test_used_up_credit_is_asked_once(status: int, error: dict) -> None:
    with played(lambda n, body: (200, done()) if n <= 3 else (status, {"error": error})) as server:
        client = OpenAIChat("m", server.url, concurrency=2)
        replies = client.chat([ask(f"q{i}") for i in range(40)])
        assert len(server.bodies) <= 3 + 2
    stopped = [reply for reply in replies if reply.finish_reason == BUDGET]
    assert len(stopped) == 37
    assert error["message"] in stopped[0].error


def test_a_passing_429_is_not_the_end() -> None:
    error = {"error": {"message": "Rate limit reached for requests per minute", "code": "rate_limit_exceeded"}}
    with played(lambda n, body: (429, error) if n == 2 else (200, done())) as server:
        assert all(reply.ok for reply in OpenAIChat("m", server.url, concurrency=1).chat([ask("a"), ask("b")]))


def test_a_cause_that_all_calls_share_ends_the_asking() -> None:
    with played(lambda n, body: (400, {"error": {"message": f"the model is asleep (request {n})"}})) as server:
        replies = OpenAIChat("m", server.url, concurrency=4).chat([ask(f"q{i}") for i in range(300)])
        assert len(server.bodies) < 60
    assert "all of the first 20 calls failed: HTTP 400: the model is asleep" in replies[-1].error


def test_a_failure_rate_over_the_bound_ends_the_asking_after_50() -> None:
    def behave(n: int, body: dict) -> tuple[int, Any]:
        return (200, done()) if n % 4 == 0 else (400, {"error": {"message": "bad" if n % 2 else "worse"}})

    with played(behave) as server:
        client = OpenAIChat("m", server.url, concurrency=2, max_failure_rate=0.6)
        replies = client.chat([ask(f"q{i}") for i in range(300)])
        assert 50 <= len(server.bodies) < 70
    assert "over the max_failure_rate of 0.6; most often: HTTP 400: bad" in replies[-1].error
    with played(behave) as server:
        OpenAIChat("m", server.url, max_failure_rate=1.0).chat([ask(f"q{i}") for i in range(100)])
        assert len(server.bodies) == 100


def test_a_start_that_never_ends_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with played(lambda n, body: (503, {"error": "loading"})) as server:
        client = OpenAIChat("m", server.url, start_timeout=0.5, retries=1)
        [reply] = client.chat([ask()])
        assert "HTTP 503: loading" in reply.error


def test_a_start_is_watched_by_one_call_at_a_time() -> None:
    begun = time.monotonic()

    def behave(n: int, body: dict) -> tuple[int, Any]:
        return (503, {"error": "loading"}) if time.monotonic() < begun + 1.5 else (200, done())

    with played(behave) as server:
        replies = OpenAIChat("m", server.url, concurrency=8).chat([ask(f"q{i}") for i in range(40)])
        assert all(reply.ok for reply in replies)
        assert len(server.bodies) < 40 + 8 + 1.5 / (4 * calls.BACKOFF) + 5


# Addresses and keys


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("https://g/v1beta/openai", "https://g/v1beta/openai/chat/completions"),
        ("https://a.azure.com/openai/deployments/d?api-version=2024-10-21",
         "https://a.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"),
        ("https://h/x/chat/completions", "https://h/x/chat/completions"),
    ],
)  # fmt: skip
def test_routes(endpoint: str, url: str) -> None:
    assert route(endpoint) == url
    OpenAIChat("m", endpoint)  # no secret is suspected in it


def test_keys_by_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTP_API_KEY", "general")
    monkeypatch.setenv("ENTP_API_KEY_API_OPENAI_COM", "own")
    assert find_key("https://api.openai.com/v1", "") == find_key("https://api.openai.com/v1", "", False) == "own"
    assert find_key("https://other.example/v1", "") == "general"
    assert find_key("https://other.example/v1", "", shared=False) == ""


def test_a_redirection_is_named() -> None:
    with played(lambda n, body: (308, {})) as server, pytest.raises(EntpError, match="sends calls on to"):
        only(OpenAIChat("m", server.url))


def test_pickled_clients_are_equal_and_take_nothing_learned_along() -> None:
    client = OpenAIChat("m", "http://127.0.0.1:9/v1")
    before = Hasher.hash(client)
    client.own_state.schema_level = SchemaLevel.NONE
    again = pickle.loads(pickle.dumps(client))
    assert again == client and again.own_state.schema_level == SchemaLevel.FULL
    assert Hasher.hash(client) == before
