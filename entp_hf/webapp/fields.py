"""Pieces of the pages: errors told to the user, and a form field for each knob."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ..config import EntpConfig
from ..errors import EntpError
from .settings import options


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors that we expect are shown to the user as text; the page would read them as HTML."""
    try:
        yield
    except EntpError as error:
        raise gr.Error(html.escape(str(error)).replace("\n", "<br>"), duration=None, print_exception=False) from None


def knob_field(name: str, text: str) -> Any:
    """The field for a knob, by the type of its default."""
    default = getattr(EntpConfig(), name)
    label = {"label": name.replace("_", " ").capitalize(), "info": text}
    if isinstance(default, bool):
        return gr.Checkbox(default, interactive=True, **label)
    if found := options(name):
        return gr.Dropdown(list(found), value=default, interactive=True, **label)
    if isinstance(default, (int, float)):
        return gr.Number(default, precision=0 if isinstance(default, int) else None, interactive=True, **label)
    return gr.Textbox(", ".join(map(str, default)) if isinstance(default, list) else default, max_lines=2,
                      interactive=True, **label)  # fmt: skip
