r"""Restore backslashes that a model wrote single in JSON, where JSON reads them as control characters.

"\frac" is valid JSON for a form feed and "rac", "\times" for a tab and "imes". A backslash is doubled where no text
can be meant otherwise: before letters that form a command of LaTeX, before b and f (no answer holds a backspace or a
form feed), before r without a line feed, and before any character that JSON knows no escape for. Where a line break or
tab before a word is as likely as a command ("\nu" in a formula may be a new line that begins with u), the reply is
refused, so that it is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.|\Z)", re.S)
_LETTERS = re.compile(r"[A-Za-z]+")

# Commands of LaTeX that begin with n or t and whose rest is a word in no language.
_CERTAIN = frozenset(
    "nabla nleq nleqslant ngeq ngeqslant neq notin ncong nsim ngtr nprec nsucc npreceq nsucceq"
    " nsubseteq nsupseteq nsupset natural nearrow nwarrow nleftarrow nrightarrow nLeftarrow nRightarrow"
    " nleftrightarrow nLeftrightarrow nvdash nvDash newcommand newline newpage noindent nonumber nolimits"
    " normalsize nobreak nocite newenvironment ntriangleleft ntriangleright tau theta thetasym times tilde text textbf"
    " textit texttt textrm textsf textsc textup textnormal textstyle textcolor textwidth textheight tfrac tbinom tanh"
    " therefore thickapprox thicksim thinspace triangle triangleq triangleleft triangleright triangledown"
    " trianglelefteq trianglerighteq twoheadrightarrow twoheadleftarrow tableofcontents tabular tabcolsep topsep"
    " underline upsilon".split()
)
# The rest may be a word, a name or a symbol on a new line or after a tab: only the surroundings can tell.
_POSSIBLE = frozenset("nu ne ni not neg norm nmid nless nexists nparallel nsubset to top tan tag th tt tiny".split())
_MATHS_OPEN = re.compile(r"\$\$|\$|\\\\?[(\[]|\\\\?begin\{|\\\\?[)\]]|\\\\?end\{")
_PROPERLY = re.compile(r"\\\\[A-Za-z]{2,}|\\\\[()\[\]]")


class AmbiguousEscape(ValueError):
    """A backslash that may begin a command of LaTeX or stand for a line break or tab; the message says what to do."""


def restore_backslashes(text: str) -> str:
    r"""`text`, JSON amid other text, with backslashes doubled that were meant as such.

    Args:
        text: a reply as the model wrote it.

    Raises:
        AmbiguousEscape: where a command of LaTeX and a line break or tab are as likely.

    """
    if "\\" not in text:
        return text
    proper = _PROPERLY.search(text) is not None
    pieces: list[str] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        if _is_backslash(text, match, proper):
            pieces += [text[at : match.start()], "\\"]
            at = match.start()
            if match.group()[1:2] == "u" and len(match.group()) == 6:  # an encoder spelt the backspace or form feed
                pieces.append("\\b" if match.group()[-1] == "8" else "\\f")
                at = match.end()
    return "".join(pieces) + text[at:] if pieces else text


def _is_backslash(text: str, match: re.Match[str], proper: bool) -> bool:
    escape = match.group()
    char = escape[1:2]
    if char in ("\\", '"', "/", "'", "\n", ""):
        return False
    if len(escape) == 6:
        return escape.lower() in (r"\u0008", r"\u000c")
    if char in "bf":
        return True
    if char == "r":
        return not text.startswith("\\n", match.end())
    if char not in "nt":
        return True  # JSON has no such escape
    letters = _LETTERS.match(text, match.start() + 1)
    word = letters.group() if letters else ""
    if word in _CERTAIN:
        return True
    if word in _POSSIBLE:
        return _in_doubt(text, match.start(), word, proper)
    return char == "t" and _in_path(text, match.start())


def _in_path(text: str, at: int) -> bool:
    """Whether the backslash parts the names of a Windows path."""
    return re.search(r"(?:^|[\s\"'(])[A-Za-z]:(?:\\[\w.\\ -]*)?\Z", text[max(0, at - 120) : at]) is not None


def _in_doubt(text: str, at: int, word: str, proper: bool) -> bool:
    """Decide on a command whose rest may be a word: outside of formulas it is none, unless it has an argument."""
    if text[at + 1 + len(word) :].startswith("{"):
        return True
    if not _in_maths(text, at):
        return False
    before, after = text[max(0, at - 3) : at], text[at + 1 + len(word) :][:2]
    if proper:
        return False  # this reply doubles its backslashes, so a single one is an escape
    # On both sides a formula goes on in the same line: "$x \to 0$", "$\nu$", "a \ne b".
    laid_out = before.endswith(("$$", "\\[", "\\\\", "}", "\\n")) and before[-1:] != " "
    if laid_out and after[:1] in ("", " ", "="):
        raise AmbiguousEscape(
            f"the reply's JSON has \\{word} in a formula, which is a line break or tab and {word[1:]!r} as it stands;"
            " write every backslash of LaTeX twice (\\\\)"
        )
    return True


def _in_maths(text: str, at: int) -> bool:
    """Whether a formula is open at `at`, counted from the start of the JSON string."""
    start = _string_start(text, at)
    dollars: list[str] = []
    depth = 0
    for match in _MATHS_OPEN.finditer(text, start, at):
        mark = match.group()
        if mark[0] == "$":
            dollars = dollars[:-1] if dollars and dollars[-1] == mark else [*dollars, mark]
        else:
            depth += 1 if mark[-1] in "([" or "begin" in mark else -1
    return bool(dollars) or depth > 0


def _string_start(text: str, at: int) -> int:
    """Where the JSON string that holds `at` begins: after the last quote that no backslash precedes."""
    quote: Callable[[int], int] = lambda end: text.rfind('"', 0, end)  # noqa: E731
    found = quote(at)
    while found > 0 and text[found - 1] == "\\":
        found = quote(found)
    return found + 1
