"""Counting tokens with a model's own tokenizer, where that is on this machine; nothing is downloaded."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelNotFound
from .protocol import ChatRequest

CHARS_PER_TOKEN = 4.0  # English prose under common tokenizers, where there is none to count with (ours)
TEMPLATE_TOKENS = 24  # that a chat template adds to a conversation, counted likewise (ours)


@functools.cache
def local_tokenizer(model: str, cache_dir: str) -> Any:
    """The tokenizer of `model` (folder, packaged model, or Hub id in the local cache) if it can chat; else None."""
    if importlib.util.find_spec("transformers") is None:
        return None
    from ..models import loading as models
    from ..models.known import known

    try:
        here = Path(model).is_dir() or model.endswith(".gguf") or known(model) is not None
        tokenizer = models.load_tokenizer(models.resolve(model, cache_dir) if here else _cached_folder(model))
    except ModelNotFound:
        return None
    return tokenizer if getattr(tokenizer, "chat_template", None) else None


def _cached_folder(model: str) -> str:
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        found = huggingface_hub.try_to_load_from_cache(model, "tokenizer_config.json")
    except HFValidationError:
        found = None
    if not isinstance(found, str):
        raise ModelNotFound(f"{model}: its tokenizer is not in the Hub's cache")
    return str(Path(found).parent)


def templated(tokenizer: Any, request: ChatRequest) -> str:
    """The conversation in the model's chat template, up to where the reply begins."""
    messages = request.as_messages()
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def count_prompts(tokenizer: Any, requests: Sequence[ChatRequest]) -> list[int]:
    """Prompt tokens of each request; by `CHARS_PER_TOKEN` where `tokenizer` is None."""
    if tokenizer is None:
        return [
            round(sum(len(content) for _, content in request.messages) / CHARS_PER_TOKEN) + TEMPLATE_TOKENS
            for request in requests
        ]
    texts = [templated(tokenizer, request) for request in requests]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []


def count_text(tokenizer: Any, text: str) -> int:
    """Tokens of a text by itself."""
    if tokenizer is None:
        return round(len(text) / CHARS_PER_TOKEN)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
