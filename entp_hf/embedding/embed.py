"""Sentence embeddings, L2-normalised, kept in a cache on disk so that a second run embeds only new texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..arrays import FloatMatrix
from ..config import MINILM, EntpConfig
from ..errors import ConfigError, StageError, require
from ..execution.own_code import Fingerprinted
from ..execution.progress import Bar
from ..execution.ray_engine import RayEngine
from ..execution.stage import Batch, resolve, rows_of
from ..execution.tables import each, gathered, matrix, take
from ..models.hardware import has_bfloat16
from ..models.loading import find, load_encoder, pick_device
from ..schema import Row, text_of
from .neighbors import check_embeddings, unit

# Not in the paper:
BATCH_TOKENS = 2048  # tokens, padding included, in one pass of the model on the CPU: more don't fit its cache
GPU_TOKENS = 32_768  # on another device (not measured)
ROUNDED = 2.0**20  # steps a unit of a float64 embedder's results: far wider than its error, 1e-15
CHUNK = 1024  # texts between two writes to the cache
BLOCK = 8192  # rows whose texts are held at once, sorted by length
RAY_BLOCK = 2**18  # the same where Ray's workers embed: each time they load the model


@dataclass(frozen=True)
class Embed(Fingerprinted):
    """Embeds whole conversations. As a `datasets.map` transform it adds the column `embedding` (d floats a row).

    `model`: a sentence-transformers model; or by dotted path a function of one's own, from texts to an array (N, d),
    whose embeddings are not cached.
    """

    model: str = MINILM
    device: str = "auto"
    cache_dir: str = ""  # "": no cache
    ray: RayEngine | None = None  # whose workers embed; the cache stays with this process
    dtype: str = "float32"  # of the products in the model: float32, bfloat16 or float64; results are float32

    @classmethod
    def from_config(cls, config: EntpConfig) -> Embed:
        """The embedder that the configuration asks for."""
        return cls(
            config.embedder,
            config.device,
            str(config.cache_path()),
            RayEngine.from_config(config),
            config.embedder_dtype,
        )

    @property
    def own(self) -> bool:
        """The model is a function of the user's own."""
        return ":" in self.model and not Path(self.model).is_dir()

    @property
    def half(self) -> bool:
        """Products are in bfloat16."""
        return self.dtype == "bfloat16"

    @property
    def double(self) -> bool:
        """Products are in float64, and results rounded to 20 binary places: the same digits on every processor."""
        return self.dtype == "float64"

    def check(self) -> None:
        """Raise ModelNotFound, MissingExtra or ConfigError now where the model can't be had; nothing is loaded."""
        if self.own:
            resolve(self.model, "embedder", [MINILM])
            return
        require("sentence_transformers", "models", f"the embedder {self.model}")
        find(self.model)
        if self.ray is None and (self.half or self.double):  # workers may have what this machine lacks
            self._check_dtype(pick_device(self.device))

    def __call__(self, batch: Batch) -> Batch:
        """Add `embedding`; texts are the turns of `messages`, parted by blank lines."""
        return {**batch, "embedding": list(self.encode([text_of(row) for row in rows_of(batch)]))}

    def encode(self, texts: Sequence[str], desc: str = "") -> FloatMatrix:
        """Embeddings of `texts`, float32 of shape (N, d), unit length; a progress bar where `desc` is given.

        Texts beyond the model's own limit (256 word pieces for all-MiniLM-L6-v2) are embedded by their beginning.
        """
        keys = [self._key(text) for text in texts]
        vectors = self._load(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if missing:
            order = sorted(missing, key=lambda key: (len(missing[key]), key))  # like lengths together: little padding
            with Bar(len(order), desc, "rows", disable=not desc) as bar:
                chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
                texts_of = [[missing[key] for key in chunk] for chunk in chunks]
                for chunk, matrix in zip(chunks, self._matrices(texts_of), strict=True):
                    self._store(chunk, matrix)
                    vectors.update(zip(chunk, matrix, strict=True))
                    bar.update(len(chunk))
        return np.stack([vectors[key] for key in keys]) if keys else np.zeros((0, 1), dtype=np.float32)

    def _matrices(self, chunks: Sequence[list[str]]) -> Iterable[FloatMatrix]:
        """Embeddings of each chunk of texts; on Ray the same chunks, so that the same rows share a batch."""
        if self.ray is None:
            return map(self._embed, chunks)
        tables = (pa.table({"text": chunk}) for chunk in chunks)
        schema = pa.schema({"embedding": pa.list_(pa.float32())})
        found = self.ray.run(_Encode(replace(self, ray=None)), tables, schema)
        return (np.stack(table["embedding"].to_numpy()) for table in found)

    def encode_rows(self, rows: Dataset, desc: str = "", text: Callable[[Row], str] = text_of) -> FloatMatrix:
        """Embeddings (N, d) of a `text` of each row, mapped from disk; texts go by in blocks."""
        out: FloatMatrix = np.zeros((len(rows), 0), np.float32)
        with Bar(len(rows), desc, "rows", disable=not desc) as bar:
            texts = map(text, each(rows, "messages", "input"))
            size = BLOCK if self.ray is None else RAY_BLOCK
            for start in range(0, len(rows), size):
                some = list(islice(texts, size))
                with bar.part(len(some)):
                    part = self.encode(some, desc)
                if not start:
                    out = matrix(len(rows), part.shape[1])
                out[start : start + len(part)] = part
        return out

    def count_unread(self, vectors: FloatMatrix, rows: Dataset) -> int:
        """Rows whose text the embedder could not read: their vectors (N, d) are stand-ins."""
        if self.own or not len(vectors) or not vectors.shape[1]:
            return 0
        texts = enumerate(map(text_of, each(rows, "messages", "input")))
        return sum(
            bool(np.allclose(vectors[i], stand_in(text, vectors.shape[1]), atol=1e-6))
            for i, text in texts
            if not text.isascii()
        )

    def renewed(self, vectors: FloatMatrix, rows: Dataset) -> FloatMatrix:
        """`vectors` (N, d) with those of the rows that a rule repaired made anew."""
        mended = (any(f["action"] == "repair" for f in row["findings"]) for row in each(rows, "findings"))
        at = np.array([i for i, so in enumerate(mended) if so], np.int64)
        if len(at):
            vectors = gathered(vectors, np.arange(len(vectors)), fresh=True)
            vectors[at] = self.encode_rows(take(rows, at), desc="embed repaired rows")
        return vectors

    def _embed(self, texts: list[str]) -> FloatMatrix:
        if self.own:
            return self._own(texts)
        require("sentence_transformers", "models", f"the embedder {self.model}")
        import torch

        encoder = load_encoder(self.model, self.device, self.cache_dir, self.double)
        lengths = [0] * len(texts)  # of a static encoder, which pads nothing
        if callable(encoder.tokenizer):
            lengths = [len(ids) for ids in encoder.tokenizer(texts, truncation=True)["input_ids"]]
        unread = unreadable(texts, encoder.tokenizer)
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])  # by tokens: hardly any padding
        budget = BATCH_TOKENS * (1 + self.half) if encoder.device.type == "cpu" else GPU_TOKENS
        if self.half or self.double:
            self._check_dtype(encoder.device.type)
        out: FloatMatrix | None = None
        while order:
            size = max(1, budget // max(1, lengths[order[0]]))
            some, order = order[:size], order[size:]
            with torch.autocast(encoder.device.type, torch.bfloat16, enabled=self.half):
                part = encoder.encode(
                    [texts[i] for i in some], batch_size=size, normalize_embeddings=True, show_progress_bar=False
                )
            out = np.empty((len(texts), part.shape[1]), np.float32) if out is None else out
            out[some] = np.rint(part * ROUNDED) / ROUNDED if self.double else part
        assert out is not None
        for i in unread:
            out[i] = stand_in(texts[i], out.shape[1])
        return out

    def _own(self, texts: list[str]) -> FloatMatrix:
        matrix = np.asarray(resolve(self.model, "embedder", [MINILM])(texts), dtype=np.float32)
        if matrix.ndim != 2 or len(matrix) != len(texts):
            raise StageError(
                "embed",
                f"{self.model} returned an array of shape {matrix.shape} for {len(texts)} "
                "texts; it must be (texts, width)",
            )
        check_embeddings(matrix, "embed")
        return unit(matrix)

    def _check_dtype(self, device: str) -> None:
        if self.double and device == "mps":
            raise ConfigError(["embedder_dtype: mps has no float64; set device to cpu, or embedder_dtype to float32"])
        if self.half and not has_bfloat16(device):
            raise ConfigError(
                [
                    f"embedder_dtype: this {device} has no instructions for bfloat16, and would be many "
                    "times slower with it; set float32"
                ]
            )

    def _key(self, text: str) -> str:
        model = self.model if self.dtype == "float32" else f"{self.model} in {self.dtype}"
        model += "" if text.isascii() else ", unreadable texts apart"  # vectors of older versions are not read
        return hashlib.blake2b(f"{model}\x1f{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _load(self, keys: Sequence[str]) -> dict[str, FloatMatrix]:
        if not self.cache_dir or self.own:
            return {}
        from ..io.sqlite_cache import get_vectors

        return get_vectors(f"{self.cache_dir}/vectors.sqlite", list(dict.fromkeys(keys)))

    def _store(self, keys: Sequence[str], matrix: FloatMatrix) -> None:
        if self.cache_dir and not self.own:
            from ..io.sqlite_cache import put_vectors

            put_vectors(f"{self.cache_dir}/vectors.sqlite", list(keys), matrix)


UNREAD = 0.4  # share of a text's letters without a piece in the vocabulary from which on its vector says nothing
UNREAD_HAN = 0.75  # the same for Chinese characters, of which each known one is a word


def unreadable(texts: Sequence[str], tokenizer: Any) -> list[int]:
    """Places of the texts that the embedder has no word pieces for, so that different texts get one vector.

    Counted are letters in unknown words. Scripts whose letters are known one by one and only in part (Tibetan in
    BERT's English vocabulary) count as well. Tokenizers without an unknown token (bytes, SentencePiece with byte
    fallback) read everything.
    """
    suspects = [i for i, text in enumerate(texts) if not text.isascii()]
    unknown = getattr(tokenizer, "unk_token_id", None)
    if not suspects or unknown is None or not getattr(tokenizer, "is_fast", False):
        return []
    some = [texts[i] for i in suspects]
    coded = tokenizer(some, truncation=True, return_offsets_mapping=True, add_special_tokens=False)
    found = []
    for i, text, ids, offsets in zip(suspects, some, coded["input_ids"], coded["offset_mapping"], strict=True):
        letters = unread = single = 0
        for token, (start, end) in zip(ids, offsets, strict=True):
            size = sum(map(str.isalpha, text[start:end]))
            letters += size
            unread += size if token == unknown else 0
            single += size if token != unknown and end - start == 1 and text[start] > "\u024f" else 0
        if not letters:
            continue
        han = any("\u2e80" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" for char in text)
        known = letters - unread
        in_letters = not han and unread >= 0.05 * letters and single >= 0.9 * known
        if unread >= (UNREAD_HAN if han else UNREAD) * letters or in_letters:
            found.append(i)
    return found


def stand_in(text: str, width: int) -> FloatMatrix:
    """A unit vector (width,) drawn by the text's hash, for a text that can't be read: near to no other text's."""
    seed = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    drawn: FloatMatrix = unit(np.random.default_rng(seed).standard_normal((1, width)))[0]
    return drawn


@dataclass(frozen=True)
class _Encode:
    """An embedder's work without its cache, as a stage on Ray: a column `text` becomes a column `embedding`."""

    embed: Embed

    def __call__(self, batch: Batch) -> Batch:
        return {"embedding": list(self.embed._embed(batch["text"]))}
