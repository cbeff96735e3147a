"""GGUF files: what the header says, and the conversion to a folder that transformers loads."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import EntpError, ModelNotFound, require
from .known import FOLDER

MAGIC = b"GGUF"
LARGE = 500_000_000  # bytes of a quantised file from which on the conversion is kept in bf16 (ours)
# Bytes of a converted model for each byte of its file: 4.5 to 5 bits a weight become 16 or 32.
_GROWTH = {"bfloat16": 3.3, "float32": 6.6}
_STRING, _ARCHITECTURE = 8, b"general.architecture"


def architecture(file: Path) -> str:
    """The architecture that the file names, the first entry of its header: llama, qwen2, ...; "" if it names none.

    Raises ModelNotFound for a file that is no GGUF, or that is cut off.
    """
    try:
        with file.open("rb") as opened:
            if opened.read(4) != MAGIC:
                raise ModelNotFound(f"{file}: this is no GGUF file (it does not begin with GGUF); fetch it again")
            return _first_entry(opened)
    except (OSError, struct.error) as error:
        raise ModelNotFound(f"{file}: its GGUF header can't be read: {error}; fetch the file again") from error


def _first_entry(opened: BinaryIO) -> str:
    opened.read(4 + 8 + 8)  # version, number of tensors, number of entries
    (size,) = struct.unpack("<Q", opened.read(8))
    key = opened.read(size) if size <= 256 else b""
    (kind,) = struct.unpack("<I", opened.read(4))
    if key != _ARCHITECTURE or kind != _STRING:
        return ""
    (size,) = struct.unpack("<Q", opened.read(8))
    return opened.read(size).decode("utf-8", "replace") if size <= 256 else ""


def transformers_reads(name: str) -> bool:
    """Whether transformers knows the architecture; True where its list can't be had, so that loading says it."""
    require("transformers", "models", "a model in this process")
    from transformers import modeling_gguf_pytorch_utils as reader

    names = getattr(reader, "GGUF_SUPPORTED_ARCHITECTURES", None)
    return not name or names is None or name in names or name.replace("-", "_") in names


def stored_dtype(file: Path) -> str:
    """The number format that a file is converted to: bf16 loses less than the file's own quantisation did."""
    return "bfloat16" if file.stat().st_size >= LARGE else "float32"


def converted_bytes(file: Path, dtype: str) -> int:
    """About as many bytes as the file's weights take in `dtype`."""
    return int(file.stat().st_size * _GROWTH[dtype])


def converted_folder(file: Path, cache_dir: str) -> Path:
    """Where the conversion of `file` is kept; a new release of the file is another folder."""
    return Path(cache_dir) / FOLDER / f"{file.stem}-{file.stat().st_size:x}"


def convert(file: Path, cache_dir: str) -> str:
    """Folder with the file's model as safetensors and its tokenizer; converted on the first call, in 20 to 80 s.

    Safe against a crash (written beside the target, then renamed) and against a second process (a lock file).
    """
    require("torch", "models", f"the model {file.name}")
    require("gguf", "models", f"reading {file.name}")
    from filelock import FileLock

    target = converted_folder(file, cache_dir)
    if target.is_dir():
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(target) + ".lock"):
        if not target.is_dir():
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{file.stem}-"))
            try:
                write_safetensors(file, temporary)
                os.replace(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return str(target)


def write_safetensors(file: Path, folder: Path) -> None:
    """Convert `file` into `folder`. Raises EntpError where disk or memory is short, ModelNotFound where it can't."""
    name = architecture(file)
    if not transformers_reads(name):
        raise ModelNotFound(
            f"{file.name}: transformers can't read the architecture {name!r} from GGUF. Give the model's Hub id, or "
            "serve the file (llama-server -m FILE --port 8080) and name it with --endpoint http://127.0.0.1:8080/v1"
        )
    from .hardware import check_disk, check_memory

    dtype = stored_dtype(file)
    need = converted_bytes(file, dtype)
    check_disk(folder, need, f"converting {file.name}")
    check_memory(int(need * 1.6), f"converting {file.name}")  # the tensors are there twice while they are unpacked
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    with quiet_transformers():
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(**place, dtype=getattr(torch, dtype))
            # The weights are dequantised already, yet save_pretrained refuses while the config says "gguf".
            model.hf_quantizer.remove_quantization_config(model)
            model.save_pretrained(folder)
            AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
        except (ValueError, KeyError, NotImplementedError, struct.error) as error:
            raise ModelNotFound(f"{file.name}: transformers can't read it: {error}") from error
        except OSError as error:
            raise EntpError(f"{file.name}: the conversion into {folder.parent} failed: {error}") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' own progress bars and notes, which tear the bar of the step that loads a model."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
