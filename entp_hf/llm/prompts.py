"""Prompts as files: Markdown with ${placeholders}, versioned by their content."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from ..errors import ConfigError

DATA = ("rows", "row", "conversation")  # placeholders that stand for the rows; each prompt has one of them


@dataclass(frozen=True)
class Prompt:
    """A prompt's text and its version, `name@hash`: part of the reply cache's key and of each made row."""

    text: str
    version: str

    def fill(self, **values: str) -> str:
        """The text with each ${placeholder} replaced; values are not scanned again. KeyError for a missing one."""
        return Template(self.text).substitute(values)


def load_prompt(name: str, folder: str = "") -> Prompt:
    """The prompt `name`.md of `folder` if it is there, else the built-in one; read again when the file was edited.

    Raises ConfigError for a file that can't be read, has a placeholder that nothing fills, or leaves out the data, and
    for a Markdown file in `folder` that is no prompt's.
    """
    path = Path(folder, f"{name}.md") if folder else None
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path is not None and path.is_file() else None
    return _loaded(name, folder, stamp)


@functools.cache
def _loaded(name: str, folder: str, stamp: tuple[int, int] | None) -> Prompt:
    """As `load_prompt`; `stamp` tells versions of the file apart."""
    text = resources.files("entp_hf.prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")
    if folder:
        if not Path(folder).is_dir():
            raise ConfigError([f"prompt_dir: {folder} is not a folder"])
        known = sorted(file.name for file in resources.files("entp_hf.prompts").iterdir() if file.name.endswith(".md"))
        strays = sorted(file.name for file in Path(folder).glob("*.md") if file.name not in (*known, "README.md"))
        if strays:
            raise ConfigError([f"prompt_dir: {folder}/{strays[0]} is no prompt's; there are {', '.join(known)}"])
        path = Path(folder, f"{name}.md")
        text = _own(path, Template(text).get_identifiers()) if path.is_file() else text
    text = text.strip("\n")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return Prompt(text, f"{name}@{digest}")


def _own(path: Path, known: Sequence[str]) -> str:
    """The user's file, checked against the placeholders of the built-in prompt."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"prompt_dir: {path}: {error}"]) from error
    problems = []
    if not Template(text).is_valid():
        problems.append(f"prompt_dir: {path}: a $ that begins no ${{placeholder}}; write $$ for the sign itself")
    listed = ", ".join(f"${{{name}}}" for name in known)
    problems += [
        f"prompt_dir: {path}: nothing fills ${{{name}}}; there are {listed}"
        for name in Template(text).get_identifiers()
        if name not in known
    ]
    problems += [
        f"prompt_dir: {path}: has no ${{{name}}}, so the model would not see the data"
        for name in DATA
        if name in known and f"${{{name}}}" not in text
    ]
    if problems:
        raise ConfigError(problems)
    return text


def shorten(text: str, most: int) -> str:
    """At most `most` characters, the middle left out with a mark: both ends of a text tell its quality."""
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"
