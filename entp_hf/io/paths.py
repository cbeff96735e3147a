"""Names of inputs: which are data files, folders, URLs or Hub datasets. Imports nothing heavy."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fsspec

from ..errors import InputError

MANIFEST = "manifest.json"

LINES = (".jsonl", ".ndjson", ".jsonlines")  # one JSON object a line
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bz2"}
_TEXTS = (*LINES, ".json", ".csv", ".tsv")
EXTENSIONS = (".parquet", ".arrow", *_TEXTS, *(text + end for text in _TEXTS for end in COMPRESSIONS))
_SHOWN = f"{', '.join(('.parquet', '.arrow', *_TEXTS))}; the text formats also with {', '.join(COMPRESSIONS)}"
_SAVED, _SPLITS = "state.json", "dataset_dict.json"  # written by `save_to_disk`
NOT_DATA = {"manifest.json", "dataset_info.json", "dataset_infos.json", _SAVED, _SPLITS}  # lie beside data files
# Files that hold rows in a format that is not read; a folder with one is refused, not read in part.
_OTHER_DATA = {
    ".avro", ".br", ".db", ".feather", ".h5", ".hdf5", ".ipc", ".jl", ".lz4", ".msgpack", ".orc", ".parq", ".pickle",
    ".pkl", ".pq", ".sqlite", ".tar", ".tgz", ".xls", ".xlsx", ".zip", ".7z", ".zstd",
}  # fmt: skip
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.")
HUB_ID = re.compile(
    r"(hf://)?(datasets/)?(?P<repo>[\w.-]+/[\w.-]+)(:(?P<subset>[\w.+-]+))?"
    r"(@(?P<revision>refs/(?:convert|pr)/[\w.-]+|[^/@]+))?(/(?P<path>.+))?"
)


def extension(path: Path) -> str:
    """The known extension that the name ends with, or ""."""
    return next((e for e in sorted(EXTENSIONS, key=len, reverse=True) if path.name.lower().endswith(e)), "")


def compression(path: Path) -> str:
    """How a file is compressed, by its name: gzip, zstd, xz, bz2, or "" for not at all."""
    return COMPRESSIONS.get(path.suffix.lower(), "")


def find_files(name: str, split: str = "") -> list[Path]:
    """Files that a path, folder or glob stands for, sorted; [] for a name with nothing at all on disk.

    Of a folder that this package wrote, the rows that were kept; of one that `save_to_disk` wrote, those of `split`.

    Args:
        name: path, folder or glob.
        split: for a folder with several splits; "": any, and nothing is checked.

    Raises InputError for a folder or glob without data files, with some that can't be read, and for an unknown
    extension.

    """
    path = Path(name).expanduser()
    if path.is_dir():
        if (path / _SPLITS).is_file():
            path = _split_folder(path, split)
        inside = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*")) if p.is_file()]
        found = data_files(inside, name, lambda file: (path / file).read_text(encoding="utf-8"))
        return [path / file for file in found]
    if path.is_file():
        if not extension(path):
            raise InputError(f"{name}: unknown extension {path.suffix!r}; known: {_SHOWN}")
        return [path]
    if glob.has_magic(name):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        files = [p for p in matches if p.is_file()]
        _refuse_others([p.as_posix() for p in files], name)
        found_files = [p for p in files if extension(p)]
        if not found_files:
            raise InputError(f"{name}: matches {len(matches)} files, none of them data ({_SHOWN})")
        return found_files
    return []


def _split_folder(path: Path, split: str) -> Path:
    splits = json.loads((path / _SPLITS).read_text(encoding="utf-8")).get("splits") or []
    if not splits:
        return path
    if split and split not in splits:
        raise InputError(f"{path}: no split {split!r}; there are {', '.join(map(repr, splits))}")
    return path / (split or splits[0])


def data_files(inside: Iterable[str], name: str, read: Callable[[str], str]) -> list[str]:
    """The data files of a folder, by their paths in it.

    Args:
        inside: all files of the folder.
        name: the folder, for messages.
        read: gives the text of one of the files.

    Raises InputError where there are none, or where some hold data in a format that is not read.

    """
    shown_files = [file for file in inside if not _hidden(file)]
    ours = {_folder(file) for file in shown_files if file.rpartition("/")[2] == MANIFEST}
    ours = {folder for folder in ours if any(file.startswith(f"{folder}data/") for file in shown_files)}
    saved = {
        _folder(file): names
        for file in shown_files
        if file.rpartition("/")[2] == _SAVED and (names := _saved_files(read(file)))
    }
    chosen = [
        file
        for file in shown_files
        if all(file.startswith(f"{folder}data/") for folder in ours if file.startswith(folder))
        and (_folder(file) not in saved or file.rpartition("/")[2] in saved[_folder(file)])
    ]
    _refuse_others(chosen, name)
    found = [file for file in chosen if is_data(Path(file))]
    if not found:
        raise InputError(f"{name}: the folder holds no data files (known: {_SHOWN})")
    return found


def _saved_files(state: str) -> set[str]:
    """The data files that a `state.json` of `save_to_disk` names."""
    try:
        return {entry["filename"] for entry in json.loads(state).get("_data_files") or ()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _folder(file: str) -> str:
    """The path of a file's folder with a slash at its end, or ""."""
    return "".join(file.rpartition("/")[:2])


def _hidden(file: str) -> bool:
    return any(part.startswith((".", "__")) for part in file.split("/"))


def _refuse_others(files: Iterable[str], name: str) -> None:
    """Raise InputError for files that hold data in a format that is not read: they would be lost in silence."""
    others = [file for file in files if not extension(Path(file)) and _looks_like_data(Path(file))]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise InputError(
            f"{name}: {', '.join(others[:5])}{more} can't be read (known: {_SHOWN}). Convert or move them, or name "
            "the files to be read"
        )


def _looks_like_data(path: Path) -> bool:
    suffixes = {suffix.lower() for suffix in path.suffixes}
    return bool(suffixes & _OTHER_DATA or suffixes & {*_TEXTS, ".parquet", ".arrow"}) or (
        not suffixes and path.name.startswith("part-")
    )


def is_data(path: Path) -> bool:
    """Whether a file of a folder, by its path in there, holds rows: neither hidden nor figures beside them."""
    return bool(extension(path)) and not _hidden(path.as_posix()) and path.name not in NOT_DATA


def is_remote(name: object) -> bool:
    """Whether it is the URL of a file or folder."""
    return isinstance(name, str) and _URL.match(name) is not None


def is_file_url(item: object) -> bool:
    """Whether it is a URL that fsspec reads; hf:// is read with the dataset's card."""
    return is_remote(item) and not str(item).startswith("hf://")


def is_hub_name(name: str) -> bool:
    """Whether a name that is no file can be a dataset of the Hub: OWNER/NAME[:SUBSET][@REVISION], hf://OWNER/NAME/PATH.

    Revisions may hold slashes: refs/convert/parquet, refs/pr/1.
    """
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
