r"""Backslashes that a model wrote single in JSON: restored where only they can be meant, else kept or refused."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from entp_hf.llm.json_escapes import AmbiguousEscape, restore_backslashes
from entp_hf.llm.structured import parse_json


class Answer(BaseModel):
    a: str


def read(raw):
    """The text that a reply holds as its `a`, or None where the reply is refused."""
    found, _ = parse_json('{"a": "' + raw + '"}', Answer)
    return found.a if found else None


COMMANDS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu xi pi rho sigma tau upsilon phi chi psi omega "
    "frac tfrac dfrac binom sqrt sum prod int lim log sin cos tanh sec times div pm cdot leq geq neq nleq approx "
    "equiv forall exists in notin subset cup cap nabla partial infty bar hat vec tilde ddot underline overline "
    "textbf text mathrm mathbb rightarrow Rightarrow leftarrow triangle therefore because boxed begin right left big "
    "bigl quad ldots cdots vdots bmod bf rm rangle rceil rfloor fbox footnotesize flat newline nearrow natural texttt"
).split()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("form", ["${}$", "so ${}{{x}}$ holds", "\\\\[ a {} b \\\\]", "{} stands alone"])
def test_commands_of_latex(name, form):
    command = "\\" + name
    assert read(form.format(command)) == json.loads(f'"{form.format(chr(92) * 2 + name)}"')


@pytest.mark.parametrize("name", ["nu", "ne", "ni", "not", "neg", "to", "top", "tan", "nexists"])
def test_commands_whose_rest_is_a_word(name):
    assert read(f"Take $a \\{name} b$ here.") == f"Take $a \\{name} b$ here."
    rest = name[1:]
    assert read(f"First\\{name} last") == "First" + {"n": "\n", "t": "\t"}[name[0]] + rest + " last"


def test_a_formula_on_lines_of_its_own_is_refused_where_nothing_tells():
    with pytest.raises(AmbiguousEscape, match="twice"):
        restore_backslashes('{"a": "$$\\nu = 3$$"}')
    value, why = parse_json('{"a": "$$\\nu = 3$$"}', Answer)
    assert value is None and "backslash" in why
    assert read("$$\\\\alpha$$ and $$\\nu = 3$$") == "$$\\alpha$$ and $$\nu = 3$$"  # this reply doubles them


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ("One\\n\\ttwo\\nthree", "One\n\ttwo\nthree"),
        ("a\\r\\nb", "a\r\nb"),
        ("a\\tb\\tc", "a\tb\tc"),
        ("line\\nnew line\\nthe end\\ntext", "line\nnew line\nthe end\ntext"),
        ("Use \\\\frac and \\\\n.", "Use \\frac and \\n."),
        ('say \\"hi\\" \\/ \\u00e9', 'say "hi" / é'),
        ("C:\\temp\\new", "C:\\temp\new"),  # only the first is certain to be no tab
        ("match \\bword\\b and \\d+", "match \\bword\\b and \\d+"),
        ("\\u000crac", "\\frac"),
        ("\\u0008eta", "\\beta"),
        ("50\\% of \\$5, a\\_b", "50\\% of \\$5, a\\_b"),
        ("\\(x\\) and \\[y\\]", "\\(x\\) and \\[y\\]"),
        ("\\{1, 2\\}", "\\{1, 2\\}"),
    ],
)
def test_other_escapes(raw, want):
    assert read(raw) == want


@pytest.mark.parametrize("name", COMMANDS)
def test_no_control_character_survives(name):
    text = read(f"It is $\\{name}$.") or ""
    assert not set(text) & set("\b\f\v\x00") and "\t" not in text and "\r" not in text
