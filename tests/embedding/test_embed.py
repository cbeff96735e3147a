"""Embedders of one's own; the packaged model's batches are tested with the models."""

from __future__ import annotations

import numpy as np
import pytest

from entp_hf.config import MINILM, EntpConfig
from entp_hf.embedding import embed as module
from entp_hf.embedding.embed import Embed
from entp_hf.errors import ConfigError, StageError
from entp_hf.execution.tables import as_dataset
from entp_hf.models.hardware import has_bfloat16
from entp_hf.models.loading import find
from entp_hf.pipeline.run import check_inputs
from entp_hf.schema import Finding, new_row


def rows(number: int):
    turns = [
        [{"role": "user", "content": f"Ask {i}"}, {"role": "assistant", "content": "aeio" * i}] for i in range(number)
    ]
    return as_dataset([new_row(turn) for turn in turns])


def test_a_function_embeds_and_its_vectors_are_of_unit_length():
    embed = Embed("plugins:letters")
    found = embed.encode_rows(rows(5))
    assert found.shape == (5, 5) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.array_equal(found, embed.encode([f"Ask {i}" + (f"\n\n{'aeio' * i}" if i else "") for i in range(5)]))


def test_only_repaired_rows_are_embedded_again():
    given = rows(4)
    mended = Finding("mojibake", "response", "repair").as_dict()
    given = as_dataset([row | {"findings": [mended] if i == 2 else []} for i, row in enumerate(given)])
    known = np.zeros((4, 5), np.float32)
    renewed = Embed("plugins:letters").renewed(known, given)
    assert np.flatnonzero(renewed.any(axis=1)).tolist() == [2] and not known.any()


def test_what_is_no_embedder_says_so():
    with pytest.raises(ConfigError, match="embedder: 'plugins:nothing'"):
        check_inputs(EntpConfig(embedder="plugins:nothing", fuser="mosaic", raters=[], pool="all"))
    with pytest.raises(StageError, match=r"shape \(2,\) for 2 texts"):
        Embed("plugins:flat").encode(["a", "b"])


def test_bfloat16_embeds_nearly_alike_and_is_cached_apart(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(module, "has_bfloat16", lambda device: True)  # a CPU without it computes the same, slowly
    texts = ["Sort these numbers.", "Name a river in Peru.", "Write a haiku about rain."]
    full, half = (Embed(cache_dir=str(tmp_path), dtype=name).encode(texts) for name in ("float32", "bfloat16"))
    assert half.dtype == np.float32 and np.allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    assert not np.array_equal(full, half) and ((full * half).sum(axis=1) > 0.999).all()
    assert np.array_equal(Embed(cache_dir=str(tmp_path), dtype="bfloat16").encode(texts), half)


def test_bfloat16_is_refused_where_there_are_no_instructions_for_it(monkeypatch: pytest.MonkeyPatch):
    assert not has_bfloat16("mps")
    monkeypatch.setattr(module, "has_bfloat16", lambda device: False)
    config = EntpConfig(embedder_dtype="bfloat16", device="cpu", fuser="mosaic", raters=[], pool="all")
    with pytest.raises(ConfigError, match="embedder_dtype: this cpu has no instructions for bfloat16"):
        check_inputs(config)


def test_a_static_encoder_embeds(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    words = Tokenizer.from_file(f"{find(MINILM)}/tokenizer.json")
    table = np.random.default_rng(0).standard_normal((words.get_vocab_size(), 16)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_weights=table)]).save_pretrained(str(tmp_path))
    texts = ["Sort these numbers.", "numbers these sort .", "Name a river in Peru.", ""]
    found = Embed(str(tmp_path)).encode(texts)
    assert found.shape == (4, 16) and np.isfinite(found).all()
    assert found[0] @ found[1] == pytest.approx(1, abs=0.01) and found[0] @ found[2] < 0.9


def test_texts_without_word_pieces_are_no_duplicates_of_one_another():
    """Khmer, Burmese, Gujarati and Tibetan: English BERT has few or none of their letters."""
    texts = [
        "ភ្នំពេញជារដ្ឋធានី។", "ប្រទេសកម្ពុជាមានទន្លេ។", "ရန်ကုန်မြို့သည် ကုန်သွယ်ရေးဖြစ်သည်။", "လယ်သမားများသည် စပါးစိုက်ကြသည်။",
        "અમદાવાદ સૌથી મોટું શહેર છે.", "ખેડૂત ખેતરમાં કામ કરે છે.", "ལྷ་ས་ནི་བོད་ཀྱི་རྒྱལ་ས་ཡིན།", "གྲོང་ཁྱེར་ཆེན་པོ་ཞིག་རེད།",
    ]  # fmt: skip
    read = ["Bread rises.", "Хлеб поднимается.", "東京は日本の都市。", "El pan sube."]
    embed = Embed()
    vectors = embed.encode([*texts, *read])
    cosines = vectors @ vectors.T - np.eye(len(vectors), dtype=np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert abs(cosines[: len(texts)]).max() < 0.5
    assert np.array_equal(embed.encode(texts), vectors[: len(texts)])  # the same in every run
    rows = as_dataset([new_row([{"role": "user", "content": text}], id=text[:3]) for text in (*texts, *read)])
    assert embed.count_unread(embed.encode_rows(rows), rows) == len(texts)
