"""Two runs in two threads: neither usage, progress, budget nor what is learned of a server is shared."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from fault_server import FaultServer

from entp_hf.execution.progress import Bar, Progress, enter, listening
from entp_hf.execution.usage import metered, record
from entp_hf.llm.budget import Limits, current, spending
from entp_hf.llm.openai import OpenAIChat
from entp_hf.llm.protocol import BUDGET, ChatReply, ChatRequest

SCHEMA = '{"type": "object"}'
pytestmark = pytest.mark.usefixtures("online")


def side_by_side(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own; raises the first error."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]


def test_usage_is_of_the_own_run() -> None:
    barrier, counts = threading.Barrier(2), {}

    def work(name: str, replies: int) -> None:
        with metered() as usage:
            barrier.wait(10)
            record([ChatReply("a", prompt_tokens=1)] * replies)
            barrier.wait(10)
            counts[name] = usage.calls

    side_by_side(lambda: work("a", 2), lambda: work("b", 5))
    assert counts == {"a": 2, "b": 5}


def test_progress_goes_to_the_own_listener_and_the_own_bar() -> None:
    barrier, heard = threading.Barrier(2), {"a": [], "b": []}

    def work(name: str, size: int) -> None:
        with listening(heard[name].append):
            enter(name, size)
            barrier.wait(10)
            with Bar(size, name, "row", disable=True) as bar, bar.part(size):
                barrier.wait(10)
                with Bar(size, f"inner {name}", "row", disable=True) as inner:
                    inner.update(size)

    side_by_side(lambda: work("a", 3), lambda: work("b", 7))
    for name, size in (("a", 3), ("b", 7)):
        assert {progress.stage for progress in heard[name]} == {name}
        assert {progress.what for progress in heard[name]} == {"", name}
        assert heard[name][-1] == Progress(name, name, size, size)


def test_a_budget_is_of_the_own_run() -> None:
    barrier, replies = threading.Barrier(2), {}
    with FaultServer() as server:

        def work(name: str, calls: int) -> None:
            with spending(Limits(calls=calls)) as ledger:
                barrier.wait(10)
                requests = [ChatRequest((("user", f"{name} {i}"),)) for i in range(6)]
                replies[name] = OpenAIChat("m", server.url).chat(requests)
                barrier.wait(10)
                assert current() is ledger
                assert ledger.calls == calls

        side_by_side(lambda: work("a", 2), lambda: work("b", 5))
    assert [sum(reply.ok for reply in replies[name]) for name in "ab"] == [2, 5]
    assert sum(reply.finish_reason == BUDGET for reply in replies["a"]) == 4


def test_a_refused_schema_and_a_stop_are_of_the_own_run() -> None:
    """The same address and model: the server refuses schemas in one run, and has learned them before the other."""
    first_done = threading.Event()
    with FaultServer(refuse_schema=True) as server:

        def ask() -> tuple[list[bool], str]:
            before = len(server.calls)
            client = OpenAIChat("m", server.url, concurrency=1)
            with spending(Limits()) as ledger:
                assert client.chat([ChatRequest((("user", "hello"),), schema=SCHEMA)])[0].ok
                sent = ["response_format" in call["body"] for call in server.calls[before:]]
                return sent, ledger.server(client.name).schema_level.name

        found = {}

        def one() -> None:
            with spending(Limits()) as ledger:
                client = OpenAIChat("m", server.url)
                client.chat([ChatRequest((("user", "hello"),), schema=SCHEMA)])
                ledger.server(client.name).stopped = "no credit is left"
                found["one"] = client.chat([ChatRequest((("user", "more"),))])[0].error
                server.refuse_schema = False
                first_done.set()

        def other() -> None:
            assert first_done.wait(20)
            found["other"] = ask()

        side_by_side(one, other)
    assert found == {"one": "no credit is left", "other": ([True], "FULL")}
