"""Prompts as files: Markdown with ${placeholders}, versioned by their content."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from .errors import ConfigError


@dataclass(frozen=True)
class Prompt:
    """A prompt's text and its version, `name@hash`: part of the reply cache's key and of each made row."""

    text: str
    version: str

    def fill(self, **values: str) -> str:
        """The text with each ${placeholder} replaced; values are not scanned again. KeyError for a missing one."""
        return Template(self.text).substitute(values)


@functools.cache
def load_prompt(name: str, folder: str = "") -> Prompt:
    """The prompt `name`.md of `folder` if it is there, else the built-in one."""
    text = ""
    if folder:
        if not Path(folder).is_dir():
            raise ConfigError([f"prompt_dir: {folder} is not a folder"])
        path = Path(folder, f"{name}.md")
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text:
        text = resources.files("entp_hf.prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")
    text = text.strip("\n")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return Prompt(text, f"{name}@{digest}")


def shorten(text: str, most: int) -> str:
    """At most `most` characters, the middle left out with a mark: both ends of a text tell its quality."""
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"
