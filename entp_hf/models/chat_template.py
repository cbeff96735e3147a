"""Conversations as training data: reading them, and which of their tokens are the assistant's and so count."""

from __future__ import annotations

import importlib.resources
import importlib.util
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

logger = logging.getLogger(__name__)
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Conversations that a training template has to render just as the model's own template does.
_PROBES: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    [
        {"role": "system", "content": "Be brief.\n"},
        {"role": "user", "content": " Two lines:\n\n{{ a }} "},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Again, é 你好"},
        {"role": "assistant", "content": "\n  kept as it is \n"},
    ],
)


def training_template(tokenizer: Any) -> str:
    """A chat template with `{% generation %}` markers that renders the same text as the tokenizer's own.

    The own template if it has markers, else the one in `templates/` that renders the same, else TRL's patched one.
    Raises InputError if there is none.
    """
    own = tokenizer.chat_template
    own = own.get("default") if isinstance(own, Mapping) else own
    if not own:
        raise InputError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template, so conversations can't be rendered; "
            "use an instruction-tuned model, or set one in its chat_template.jinja"
        )
    if _MARKER.search(own):
        return str(own)
    for file in importlib.resources.files("entp_hf.templates").iterdir():
        if file.name.endswith(".jinja"):
            candidate = file.read_text(encoding="utf-8")
            if _renders_same(tokenizer, own, candidate):
                return candidate
    return _patched_by_trl(tokenizer, own)


def given_template(name: str) -> str:
    """The text of a template file, or of one that is shipped by name (tulu). Raises InputError.

    It must have `{% generation %}` marks: there is no other template of the model to render the same as.
    """
    shipped = importlib.resources.files("entp_hf.templates") / f"{name}_training.jinja"
    file: Any = Path(name)
    if not file.is_file():
        if not shipped.is_file():
            raise InputError(f"chat_template {name}: is no file, and no shipped template; shipped: tulu, smollm2")
        file = shipped
    text = str(file.read_text(encoding="utf-8"))
    if not _MARKER.search(text):
        raise InputError(f"chat_template {name}: has no {{% generation %}} marks around the assistant's content")
    return text


def _renders_same(tokenizer: Any, own: str, candidate: str) -> bool:
    from jinja2.exceptions import TemplateError

    def render(template: str, probe: list[dict[str, str]], prompt: bool) -> str:
        options = {"chat_template": template, "tokenize": False, "add_generation_prompt": prompt}
        try:
            return str(tokenizer.apply_chat_template(probe, **options))
        except TemplateError as error:  # templates refuse roles this way; the other one has to refuse them too
            return f"refused: {error}"

    cases = [(probe, False) for probe in _PROBES] + [(probe[:-1], True) for probe in _PROBES]
    return all(render(own, *case) == render(candidate, *case) for case in cases)


def _patched_by_trl(tokenizer: Any, own: str) -> str:
    problem = "and TRL is not installed, which knows more of them (pip install 'entp-hf[train]')"
    if importlib.util.find_spec("trl"):
        from trl.chat_template_utils import get_training_chat_template

        try:
            return str(get_training_chat_template(tokenizer) or own)
        except ValueError as error:
            problem = f"and TRL has none either ({error})"
    raise InputError(
        f"{tokenizer.name_or_path}: its chat template has no {{% generation %}} markers, no template of this package "
        f"renders the same text, {problem}. Put the markers around the assistant's content and stop token in its "
        "chat_template.jinja"
    )


def encode(
    tokenizer: Any, conversations: Sequence[Sequence[Mapping[str, str]]], template: str
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each conversation, and a 0/1 mask of the same length: 1 for the assistant's tokens and its stop."""
    if not conversations:
        return [], []
    encoded = tokenizer.apply_chat_template(
        [list(messages) for messages in conversations],
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return encoded["input_ids"], encoded["assistant_masks"]
