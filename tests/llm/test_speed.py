"""How long a run takes, from the speed of this machine."""

from __future__ import annotations

import pytest
from tiny import tiny_llama

from entp_hf.config import SMOLLM2, WRITER
from entp_hf.llm import speed as module
from entp_hf.llm.local import LocalChat
from entp_hf.llm.speed import SPEEDS, Speed, assumed, known_speed, speed

pytest.importorskip("torch", reason="models need torch")


@pytest.fixture
def chat(tmp_path):
    return LocalChat(tiny_llama(tmp_path / "model"), device="cpu", cache_dir=str(tmp_path))


def test_it_is_measured_once_and_kept(chat, tmp_path, monkeypatch):
    assert not known_speed(chat).measured
    found = speed(chat)
    assert found.measured and found.prompt > 0 and 0 < found.step_one <= found.step_four
    monkeypatch.setattr(module, "_measured", None)
    assert speed(chat) == known_speed(chat) == found
    assert not known_speed(chat, exact=True).measured  # another number format, another speed
    (tmp_path / SPEEDS).write_text("{half")
    assert known_speed(chat) == assumed(chat.model)


def test_a_batch_is_read_once_for_all_its_replies():
    pace = Speed(prompt=100, step_one=0.2, step_four=0.26)
    assert pace.seconds(1000, 0, 1, 16) == pytest.approx(10)
    assert pace.seconds(0, 100, 1, 16) == pytest.approx(20)
    assert pace.seconds(0, 400, 4, 16) == pytest.approx(26)
    assert pace.seconds(0, 800, 8, 4) == pytest.approx(52)
    assert pace.seconds(0, 0, 0, 4) == 0


def test_the_writer_is_assumed_to_be_slower():
    assert assumed(WRITER).seconds(500, 200, 1, 16) > 4 * assumed(SMOLLM2).seconds(500, 200, 1, 16)


def test_the_estimate_is_within_a_factor_of_two(chat):
    """Of replies that are cut at their limit, so that their tokens are known."""
    import time

    from entp_hf.llm.protocol import ChatRequest

    pace = speed(chat)
    asks = [ChatRequest((("user", f"Say {i}. " + "word " * 120),), 100, 2.0) for i in range(8)]
    begun = time.perf_counter()
    replies = chat.chat(asks)
    took = time.perf_counter() - begun
    read, written = (sum(getattr(r, f"{kind}_tokens") for r in replies) for kind in ("prompt", "completion"))
    guess = pace.seconds(read, written, len(asks), chat.batch_size)
    assert guess / 6 < took < guess * 6, (guess, took)  # a tiny model, and a machine that others may be using
