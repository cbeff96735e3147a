"""Sentence embeddings, L2-normalised, kept in a cache on disk so that a second run embeds only new texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .config import MINILM, EntpConfig
from .errors import require
from .neighbours import Floats
from .progress import Bar
from .schema import text_of
from .stage import Batch, rows_of

CHUNK = 1024  # texts between two writes to the cache


@dataclass(frozen=True)
class Embed:
    """Embeds whole conversations. As a `datasets.map` transform it adds the column `embedding` (d floats a row)."""

    model: str = MINILM
    device: str = "auto"
    batch_size: int = 32
    cache_dir: str = ""  # "": no cache

    @classmethod
    def from_config(cls, config: EntpConfig) -> Embed:
        """The embedder that the configuration asks for."""
        return cls(config.embedder, config.device, cache_dir=str(config.cache_path()))

    def __call__(self, batch: Batch) -> Batch:
        """Add `embedding`; texts are the turns of `messages`, parted by blank lines."""
        return {**batch, "embedding": list(self.encode([text_of(row) for row in rows_of(batch)]))}

    def encode(self, texts: Sequence[str], desc: str = "") -> Floats:
        """Embeddings of `texts`, float32 of shape (N, d), unit length; a progress bar where `desc` is given.

        Texts beyond the model's own limit (256 word pieces for all-MiniLM-L6-v2) are embedded by their beginning.
        """
        keys = [self._key(text) for text in texts]
        vectors = self._load(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if missing:
            order = sorted(missing, key=lambda key: (len(missing[key]), key))  # like lengths together: little padding
            with Bar(len(order), desc, "rows", disable=not desc) as bar:
                for start in range(0, len(order), CHUNK):
                    chunk = order[start : start + CHUNK]
                    matrix = self._embed([missing[key] for key in chunk])
                    self._store(chunk, matrix)
                    vectors.update(zip(chunk, matrix, strict=True))
                    bar.update(len(chunk))
        return np.stack([vectors[key] for key in keys]) if keys else np.zeros((0, 1), dtype=np.float32)

    def _embed(self, texts: list[str]) -> Floats:
        require("sentence_transformers", "models", f"the embedder {self.model}")
        from .models import load_encoder

        encoder = load_encoder(self.model, self.device, self.cache_dir)
        out = encoder.encode(texts, batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(out, dtype=np.float32)

    def _key(self, text: str) -> str:
        return hashlib.blake2b(f"{self.model}\x1f{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _load(self, keys: Sequence[str]) -> dict[str, Floats]:
        if not self.cache_dir:
            return {}
        from .llm.store import get_vectors

        return get_vectors(f"{self.cache_dir}/vectors.sqlite", list(dict.fromkeys(keys)))

    def _store(self, keys: Sequence[str], matrix: Floats) -> None:
        if self.cache_dir:
            from .llm.store import put_vectors

            put_vectors(f"{self.cache_dir}/vectors.sqlite", list(keys), matrix)
