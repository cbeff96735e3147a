"""TGI's native API, through either client, against a localhost server that speaks its routes."""

from __future__ import annotations

import importlib.util

import pytest
from chats import fused
from tgi_server import TGIServer
from tiny import smollm2

from entp_hf.config import EntpConfig
from entp_hf.llm.factory import make_client
from entp_hf.llm.protocol import ChatRequest
from entp_hf.llm.tgi import TGIChat
from entp_hf.mix.fusion import Fused, read_fused

SCHEMA = '{"type": "object", "properties": {"instruction": {"type": "string"}, "response": {"type": "string"}}}'
KEY = "sk-very-secret-0123456789"


def ask(text: str, **values) -> ChatRequest:
    return ChatRequest((("user", text),), **values)


pytestmark = pytest.mark.usefixtures("online")


@pytest.fixture(params=["text_generation", "huggingface_hub"])
def client(request: pytest.FixtureRequest):
    """A client for a server, through either library."""
    native = request.param == "text_generation"
    if native and importlib.util.find_spec("text_generation") is None:
        pytest.skip("text-generation is not installed (pip install --no-deps text-generation)")

    def made(server: TGIServer, **values) -> TGIChat:
        return TGIChat("m", server.root, native=native, **{"timeout": 5.0, **values})

    return made


def test_text_counts_and_the_end(client) -> None:
    with TGIServer() as server:
        whole, cut = client(server).chat([ask("one two three"), ask("four five six seven", max_tokens=2)])
    assert (whole.text, whole.finish_reason, whole.prompt_tokens, whole.completion_tokens) == (
        "echo: one two three",
        "stop",
        3,
        4,
    )
    assert (cut.text, cut.finish_reason, cut.ok, cut.completion_tokens) == ("echo: four", "length", False, 2)


def test_the_grammar_holds_the_reply_to_the_schema(client) -> None:
    with TGIServer() as server:
        [reply] = client(server).chat([ask("merge", schema=SCHEMA, temperature=0.5)])
        sent = server.calls[0]["body"]["parameters"]
    assert read_fused(reply) == (Fused(instruction="the instruction", response="the response"), "")
    assert sent["grammar"]["value"]["properties"].keys() == {"instruction", "response"}
    assert (sent["temperature"], sent["do_sample"], sent["details"]) == (0.5, True, True)


def test_a_server_without_grammars_is_asked_once_and_remembered(client) -> None:
    with TGIServer(refuse_schema=True) as server:
        replies = client(server, concurrency=1).chat([ask(f"q{i}", schema=SCHEMA) for i in range(3)])
        assert [reply.text for reply in replies] == [f"echo: q{i}" for i in range(3)]
        assert [bool(c["body"]["parameters"].get("grammar")) for c in server.calls] == [True, False, False, False]


@pytest.mark.parametrize("fault", ["429", "500", "drop", "garbage", "stall", "500,429,drop"])
def test_passing_faults_are_repeated(client, fault: str) -> None:
    with TGIServer(stall=1.5) as server:
        [reply] = client(server, timeout=1.0).chat([ask(f"[{fault}] hello")])
        assert reply.text == f"echo: [{fault}] hello"
        assert len(server.calls) == 2 + fault.count(",")


def test_what_does_not_pass_is_an_error_reply(client) -> None:
    with TGIServer() as server:
        good, bad = client(server, retries=1).chat([ask("fine"), ask("[500,500,500] no")])
    assert good.ok
    assert (bad.finish_reason, "HTTP 500" in bad.error, "2 tries" in bad.error) == ("error", True, True)


def test_the_key_is_sent_and_not_shown(client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTP_API_KEY", KEY)
    with TGIServer() as server:
        chat = client(server, retries=0)
        assert all(KEY not in r.error for r in chat.chat([ask("hello"), ask(f"[500] {KEY}")]))
        assert {call["key"] for call in server.calls} == {f"Bearer {KEY}"}
        assert KEY not in repr(chat) + chat.name


def test_the_models_own_template_where_its_tokenizer_is_here() -> None:
    with TGIServer() as server:
        [reply] = TGIChat(smollm2(), server.root, native=False).chat([ask("Name a red fruit.")])
        sent = server.calls[0]["body"]
    assert sent["inputs"].endswith("<|im_start|>user\nName a red fruit.<|im_end|>\n<|im_start|>assistant\n")
    assert not sent["parameters"].get("decoder_input_details")
    assert 20 < reply.prompt_tokens < 50  # counted here, with the system turn that the template adds


def test_turns_in_plain_text_elsewhere(client) -> None:
    turns = (("system", "Be brief."), ("user", "2 + 2?"), ("assistant", "4"), ("user", "And 3 + 3?"))
    with TGIServer() as server:
        client(server).chat([ChatRequest(turns)])
        sent = server.calls[0]["body"]["inputs"]
    assert sent == "system: Be brief.\n\nuser: 2 + 2?\n\nassistant: 4\n\nuser: And 3 + 3?\n\nassistant:"


def test_the_configuration_chooses_it(tmp_path) -> None:
    with TGIServer() as server:
        config = EntpConfig(endpoint=server.root, api="tgi", model="m", raters=["llm"], cache_dir=str(tmp_path))
        chat = make_client(config.validate())
        assert chat.name == f"m@127.0.0.1:{server.server_port}#generate"
        [reply] = chat.chat([ask("merge", schema=SCHEMA)])
    assert reply.text == fused("the instruction", "the response")
    assert "api: 'tgi' needs endpoint" in EntpConfig(api="tgi").problems()[0]
