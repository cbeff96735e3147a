"""Reasoning told apart from the answer, in the markup of the model families."""

from __future__ import annotations

import pytest

from entp_hf.text.reasoning import split_reasoning, without_reasoning

DIALECTS = {
    "think": ("<think>\n{}\n</think>\n\n", ""),
    "upper case": ("<THINK>{}</THINK>", ""),
    "thinking": ("<thinking>{}</thinking>", ""),
    "thought": ("<thought>{}</thought>", ""),
    "reasoning": ("<reasoning>{}</reasoning>\n", ""),
    "attribute": ('<think time="3">{}</think>', ""),
    "Magistral": ("[THINK]{}[/THINK]", ""),
    "Kimi": ("◁think▷{}◁/think▷", ""),
    "Seed": ("<seed:think>{}</seed:think>", ""),
    "Sky-T1": ("<|begin_of_thought|>{}<|end_of_thought|>\n<|begin_of_solution|>", "<|end_of_solution|>"),
    "Command A": ("<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>", "<|END_RESPONSE|>"),
    "Apertus": ("<|inner_prefix|>{}<|inner_suffix|>", ""),
    "MedGemma": ("<unused94>thought\n{}<unused95>", ""),
    "answer tags": ("<think>{}</think>\n<answer>", "</answer>"),
    "bare": ("{}\n</think>\n\n", ""),
    "bare, end of a sentence": ("{}</think>\n\n", ""),
    "bare Kimi": ("{}\n◁/think▷\n", ""),
    "harmony": ("<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    "harmony, whole": (
        "<|start|>assistant<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", "",
    ),
    "harmony, commentary": (
        "<|channel|>commentary<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", "<|end|>",
    ),
    "harmony, constrained": (
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>", "",
    ),
    "harmony without its tokens": ("analysis{}assistantfinal", ""),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("thought", ["Rivers of Spain first.", 'Two lines.\n\nIs it {"a": 1}? Yes.'])
def test_dialects(dialect, thought):
    begin, end = DIALECTS[dialect]
    text = begin.replace("{}", thought) + "The Ebro.\n\nIt is long." + end
    found = split_reasoning(text)
    assert (found.reasoning, found.answer, found.closed) == (thought, "The Ebro.\n\nIt is long.", True)
    assert without_reasoning(text) == "The Ebro.\n\nIt is long."


@pytest.mark.parametrize(
    "text",
    [
        "<think>A river", "[THINK]A river. Or a lake?", "◁think▷A river", "<thought>A river\n\nThe Ebro.",
        "<|channel|>analysis<|message|>A river", "<|channel|>analysis<|message|>A river<|end|>",
        "<think>a</think><think>and again",
    ],
)  # fmt: skip
def test_reasoning_that_never_ends(text):
    found = split_reasoning(text)
    assert (found.answer, found.closed) == ("", False)
    assert without_reasoning(text) == ""


def test_several_blocks():
    text = "<think>One.</think>\n<think>Two.</think>\nThe Ebro."
    assert split_reasoning(text).reasoning == "One.\n\nTwo."
    assert without_reasoning("Well.\n<think>One.</think>\nThe Ebro.") == "Well.\nThe Ebro."


@pytest.mark.parametrize(
    "text",
    [
        "The Ebro.", "", "Close the block with </think> and go on.", "The tag `</think>` ends it.",
        "The block ends with\n</think>\nand the answer follows.", 'It prints "</think>" at the end.',
        "Use it so:\n```\n<think>\n...\n</think>\n```\nThe rest is the answer.", "analysis of the final assistant",
        "The <think> tag opens the block. The </think> tag ends it.", "Harmony has <|channel|>analysis<|message|>.",
        "One family has [THINK] as its mark.",
    ],
)  # fmt: skip
def test_texts_without_reasoning(text):
    assert split_reasoning(text) is None
    assert without_reasoning(text) == text
