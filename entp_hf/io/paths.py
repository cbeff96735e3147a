"""Names of inputs: which are data files, folders, URLs or Hub datasets. Imports nothing heavy."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Any

import fsspec

from ..errors import InputError

MANIFEST = "manifest.json"

EXTENSIONS = (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".json.gz", ".csv.gz", ".tsv.gz")
NOT_DATA = {"manifest.json", "dataset_info.json", "dataset_infos.json", "state.json"}  # lie beside data files
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.")
HUB_ID = re.compile(r"(hf://)?(datasets/)?(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<path>.+))?")


def extension(path: Path) -> str:
    """The known extension that the name ends with, or ""."""
    return next((e for e in sorted(EXTENSIONS, key=len, reverse=True) if path.name.lower().endswith(e)), "")


def find_files(given: str) -> list[Path]:
    """Files that a path, folder or glob stands for, sorted. [] for a name with nothing at all on disk.

    Raises InputError for a folder or glob without data files and for an unknown extension.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if is_data(p.relative_to(path)) and p.is_file()]
        if not found:
            raise InputError(f"{given}: the folder holds no data files (known: {', '.join(EXTENSIONS)})")
        return found
    if path.is_file():
        if not extension(path):
            raise InputError(f"{given}: unknown extension {path.suffix!r}; known: {', '.join(EXTENSIONS)}")
        return [path]
    if glob.has_magic(given):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        found = [p for p in matches if p.is_file() and extension(p)]
        if not found:
            raise InputError(f"{given}: matches {len(matches)} files, none of them data ({', '.join(EXTENSIONS)})")
        return found
    return []


def is_data(path: Path) -> bool:
    """Whether a file of a folder, by its path in there, holds rows: neither hidden nor figures beside them."""
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return bool(extension(path)) and not hidden and path.name not in NOT_DATA


def is_remote(name: object) -> bool:
    """Whether it is the URL of a file or folder."""
    return isinstance(name, str) and _URL.match(name) is not None


def is_file_url(item: object) -> bool:
    """Whether it is a URL that fsspec reads; hf:// is read with the dataset's card."""
    return is_remote(item) and not str(item).startswith("hf://")


def is_hub_name(name: str) -> bool:
    """Whether a name that is no file can be a dataset of the Hub: OWNER/NAME, or hf://OWNER/NAME/PATH."""
    remote, match = name.startswith("hf://"), HUB_ID.fullmatch(name)
    return match is not None and (remote or not (match["path"] or extension(Path(name))))


def shown(url: str) -> str:
    """The URL without a user's name and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. Raises ValueError or ImportError, which say what to install."""
    fs, path = fsspec.core.url_to_fs(url)
    return fs, path


def short_reason(error: Exception) -> str:
    """An error on one line, cut at 300 characters, with its type."""
    return f"{' '.join(str(error).split())[:300]} ({type(error).__name__})"
