"""JSON by grammar in this process: which tokens may come next, so that a whole reply always parses.

The library is llguidance: it needs no other package, has wheels for all platforms, takes 20 to 100 µs a token, and
reads the same JSON schema that servers get.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from ..errors import EntpError, require

# As json.dumps writes it: with free white space a small model may write blanks until the token limit.
_SPACING: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def closed(schema: Any) -> Any:
    """The JSON schema with no properties but the named ones; else a model may go on adding some."""
    if isinstance(schema, dict):
        inner = {name: closed(value) for name, value in schema.items()}
        return {**inner, "additionalProperties": False} if "properties" in schema else inner
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


class Grammar:
    """The state of one reply in the grammar of its schema.

    Args:
        tokenizer: of `guide`
        schema: JSON schema as JSON text
    """

    def __init__(self, tokenizer: Any, schema: str) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(tokenizer, _compiled(schema))
        if self._matcher.is_error():
            raise EntpError(f"the reply's JSON schema can't be made a grammar: {self._matcher.get_error()[:300]}")

    def forbid(self, scores: Any) -> None:
        """Set the scores (vocabulary,) of all tokens that can't come next to minus infinity."""
        import torch

        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)[: len(scores)]
        scores[: len(allowed)].masked_fill_(allowed == 0, float("-inf"))
        scores[len(allowed) :] = float("-inf")

    def take(self, token: int) -> bool:
        """Go on by a token; True where the JSON is then complete."""
        if not self._matcher.consume_token(token):
            raise EntpError(f"token {token} is not allowed by the grammar: {self._matcher.get_error()[:300]}")
        return bool(self._matcher.is_accepting())  # an object is complete at its last brace


@functools.lru_cache(64)
def _compiled(schema: str) -> str:
    from llguidance import LLMatcher

    return str(LLMatcher.grammar_from_json_schema(json.dumps(closed(json.loads(schema))), overrides=_SPACING))


def guide(tokenizer: Any, vocabulary: int) -> Any:
    """The tokenizer as llguidance needs it, for `Grammar`; takes a second, so keep it.

    `vocabulary`: how many scores the model gives for a token, padding of its last layer included.
    """
    require("llguidance", "models", "JSON replies of a model in this process")
    from llguidance.hf import from_tokenizer

    try:
        return from_tokenizer(tokenizer, n_vocab=vocabulary)
    except ValueError as error:
        raise EntpError(f"the model's tokenizer can't be used with a grammar: {error}") from error
