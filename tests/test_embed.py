"""Embedders of one's own; the packaged model's batches are tested with the models."""

from __future__ import annotations

import numpy as np
import pytest

from entp_hf.config import EntpConfig
from entp_hf.embed import Embed
from entp_hf.errors import ConfigError, StageError
from entp_hf.hybrid import as_dataset
from entp_hf.pipeline import check_models
from entp_hf.schema import Finding, new_row


def letters(texts):
    return np.array([[text.lower().count(letter) + 0.1 for letter in "aeiou"] for text in texts])


def flat(texts):
    return np.ones(len(texts))


def rows(number: int):
    turns = [
        [{"role": "user", "content": f"Ask {i}"}, {"role": "assistant", "content": "aeio" * i}] for i in range(number)
    ]
    return as_dataset([new_row(turn) for turn in turns])


def test_a_function_embeds_and_its_vectors_are_of_unit_length():
    embed = Embed("test_embed:letters")
    found = embed.encode_rows(rows(5))
    assert found.shape == (5, 5) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.array_equal(found, embed.encode([f"Ask {i}" + (f"\n\n{'aeio' * i}" if i else "") for i in range(5)]))


def test_only_repaired_rows_are_embedded_again():
    given = rows(4)
    mended = Finding("mojibake", "response", "repair").as_dict()
    given = as_dataset([row | {"findings": [mended] if i == 2 else []} for i, row in enumerate(given)])
    known = np.zeros((4, 5), np.float32)
    renewed = Embed("test_embed:letters").renewed(known, given)
    assert np.flatnonzero(renewed.any(axis=1)).tolist() == [2] and not known.any()


def test_what_is_no_embedder_says_so():
    with pytest.raises(ConfigError, match="embedder: 'test_embed:nothing'"):
        check_models(EntpConfig(embedder="test_embed:nothing", fuser="mosaic", raters=[], pool="all"))
    with pytest.raises(StageError, match=r"shape \(2,\) for 2 texts"):
        Embed("test_embed:flat").encode(["a", "b"])
