"""Contents of what settings name: a user's own modules, prompt folders, benchmark files. Part of every cache key."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from .source_hash import source_hash

OBJECT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.\w+)*")  # package.module:attr
FILES = ("prompt_dir", "benchmark_files")  # settings that name files or folders by their paths
_loaded: dict[str, bytes] = {}  # digest of a module's file when it was last seen here
_forget: list[Callable[[], None]] = []  # caches of objects out of own modules


def content_hash(settings: Mapping[str, Any]) -> str:
    """Hash of the files and own modules that settings name; changes when one of them is edited.

    A module whose file was edited since this process loaded it is loaded again, so that code and hash agree.

    Args:
        settings: values by name. Strings `package.module:attr` stand for the module's file, those of `prompt_dir` and
            `benchmark_files` for the files' contents.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(settings.items()):
        for text in _strings(value):
            if OBJECT_PATH.fullmatch(text):
                digest.update(text.encode() + _module_digest(text.partition(":")[0]))
            elif name in FILES:
                for file in _files(Path(text)):
                    digest.update(file.name.encode())
                    with file.open("rb") as opened:
                        digest.update(hashlib.file_digest(opened, "blake2b").digest())
    return digest.hexdigest()


def forget_on_reload(forget: Callable[[], None]) -> None:
    """Call `forget` whenever an own module is loaded again: for caches that hold its objects."""
    _forget.append(forget)


class Fingerprinted:
    """Base of stages: their pickled state, which `datasets` fingerprints, changes with the code and what it reads."""

    def __getstate__(self) -> dict[str, Any]:
        """The fields, and a hash of this package's sources and of the files and modules that the fields name."""
        state = dict(self.__dict__)
        return {**state, _CODE: source_hash() + content_hash(state)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The fields alone."""
        self.__dict__.update({name: value for name, value in state.items() if name != _CODE})


_CODE = "__code__"


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _strings(part)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.is_file() else []


def _module_digest(name: str) -> bytes:
    """Digest of a module's file; empty where it has none (a notebook's own definitions, an absent module)."""
    module = sys.modules.get(name)
    try:
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return b""
    file = Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None
    if file is None:
        return b""
    digest = hashlib.blake2b(file.read_bytes(), digest_size=16).digest()
    if module is not None and _loaded.get(name, digest) != digest:
        _reload(module)
    _loaded[name] = digest
    return digest


def _reload(module: ModuleType) -> None:
    importlib.invalidate_caches()
    importlib.reload(module)
    for forget in _forget:
        forget()
