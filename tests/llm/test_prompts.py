"""Prompts: what is filled in is never read again, a changed text is another version, a broken own file is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entp_hf.errors import ConfigError
from entp_hf.llm.prompts import load_prompt, shorten

HOSTILE = "${rows} $5 $$ {x} {{7*7}} %s \\1 ${"


def test_values_are_not_scanned_again():
    text = load_prompt("rate").fill(conversation=HOSTILE)
    assert HOSTILE in text
    assert text.count("{") - HOSTILE.count("{") == 1  # the JSON that the prompt shows


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("rate", {"conversation"}),
        ("fuse", {"count", "rows", "context", "direct", "retry"}),
        ("logits", {"row"}),
        ("mergeit", {"count", "rows", "context", "direct", "retry"}),
        ("rewrite", {"rows", "context", "direct", "retry"}),
    ],
)
def test_a_built_in_prompt_takes_what_its_stage_gives(name, names):
    prompt = load_prompt(name)
    assert "${" not in prompt.fill(**dict.fromkeys(names, "x"))
    with pytest.raises(KeyError):
        prompt.fill(**dict.fromkeys(sorted(names)[:-1], "x"))


def test_the_version_is_the_name_and_8_hex_digits_of_the_text(tmp_path):
    built_in = load_prompt("rate")
    name, _, digest = built_in.version.partition("@")
    assert (name, len(digest)) == ("rate", 8) and int(digest, 16) >= 0
    same, other = tmp_path / "same", tmp_path / "other"
    for folder, text in ((same, built_in.text + "\n"), (other, built_in.text + " Be fair.\n")):
        folder.mkdir()
        (folder / "rate.md").write_text(text, encoding="utf-8")
    assert load_prompt("rate", str(same)) == built_in
    assert load_prompt("rate", str(other)).version != built_in.version
    assert load_prompt("rate", str(other)).text.endswith("Be fair.")
    assert load_prompt("fuse", str(other)) == load_prompt("fuse")  # not in the folder


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("Rate ${conversation} and ${rows}", ["nothing fills ${rows}; there are ${conversation}"]),
        ("It costs $5: ${conversation}", ["a $ that begins no ${placeholder}; write $$"]),
        ("Rate this.", ["has no ${conversation}, so the model would not see the data"]),
        ("", ["has no ${conversation}"]),
        ("${conversatoin}", ["nothing fills ${conversatoin}", "has no ${conversation}"]),
        (b"\xff ${conversation}", ["codec can't decode"]),
    ],
)
def test_an_own_prompt_that_cannot_work_is_refused(tmp_path, text, problems):
    (tmp_path / "rate.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as error:
        load_prompt("rate", str(tmp_path))
    assert len(error.value.problems) == len(problems)
    for problem, said in zip(problems, error.value.problems, strict=True):
        assert problem in said and "rate.md" in said


def test_a_dollar_of_ones_own_is_written_twice(tmp_path):
    (tmp_path / "rate.md").write_text("For $$5: ${conversation}", encoding="utf-8")
    assert load_prompt("rate", str(tmp_path)).fill(conversation="c$") == "For $5: c$"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="prompt_dir: .*nowhere is not a folder"):
        load_prompt("rate", str(tmp_path / "nowhere"))


def test_shorten_keeps_both_ends():
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijklmnop", 11) == "abc ... nop"


@given(st.text(max_size=60), st.integers(7, 50))
def test_shorten_never_goes_over(text, most):
    short = shorten(text, most)
    assert len(short) <= most
    assert short == text if len(text) <= most else short[0] == text[0] and short[-1] == text[-1]
