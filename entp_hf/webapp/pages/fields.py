"""Form fields for settings, and errors shown to the user."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ...config import EntpConfig
from ...errors import EntpError
from ..settings import options

LABELS = {
    "limit": "Rows to take", "target_size": "Rows of the dataset", "fusion_ratio": "Share of made rows",
    "rounds": "Rounds of merging", "fuser": "How rows are merged", "pool": "Which rows are taken up",
}  # fmt: skip  # of the settings in sight; the others are called what the configuration calls them
WORDS = {
    "fuser": {"entp": "by the model, as published", "mosaic": "composed, without a model", "none": "not at all",
              "rewrite": "each rewritten by the model", "mergeit": "two by two, by the model"},
    "pool": {"score": "those of low score", "quantile": "the lowest share", "all": "all"},
}  # fmt: skip


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors that we expect are shown to the user as text; the page would read them as HTML."""
    try:
        yield
    except EntpError as error:
        raise gr.Error(html.escape(str(error)).replace("\n", "<br>"), duration=None, print_exception=False) from None


def knob_field(name: str, text: str) -> Any:
    """The field for a setting, by the type of its default."""
    default = getattr(EntpConfig(), name)
    label = {"label": LABELS.get(name, name.replace("_", " ").capitalize()), "info": text}
    if isinstance(default, bool):
        return gr.Checkbox(default, interactive=True, **label)
    if found := options(name):
        words = WORDS.get(name, {})
        return gr.Dropdown(
            [(words.get(value, value), value) for value in found], value=default, interactive=True, **label
        )
    if isinstance(default, (int, float)):
        return gr.Number(default, precision=0 if isinstance(default, int) else None, interactive=True, **label)
    return gr.Textbox(
        ", ".join(map(str, default)) if isinstance(default, list) else default, max_lines=2, interactive=True, **label
    )
