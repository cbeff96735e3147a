"""The output folder, local or remote, which appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import OutputError
from .paths import MANIFEST, file_system, is_remote, short_reason, shown

# README.md of a folder without a dataset card: `load_dataset` takes every Parquet file below for the split `train`.
FOLDER_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
- config_name: dropped
  data_files:
  - split: train
    path: dropped/*.parquet
---

# Rows kept and rows dropped

Written by entp-hf. `load_dataset("FOLDER", split="train")` gives the rows that were kept (`data/`);
`load_dataset("FOLDER", "dropped", split="train")` gives the others, with the reason in `dropped_by`.
The figures are in `manifest.json`.
"""


def output_folder(path: str | Path, overwrite: bool = False) -> OutputFolder | RemoteFolder:
    """The context to write a folder in: on this machine, or by its URL wherever fsspec or the Hub can be written."""
    return RemoteFolder(str(path), overwrite) if is_remote(path) else OutputFolder(path, overwrite)


class OutputFolder:
    """Context manager: gives a temporary folder beside `path` to write to, and renames it to `path` at the end.

    On an exception, Ctrl-C included, the temporary folder goes and `path` is as it was. With `overwrite`, a folder
    is replaced only if it holds a manifest.json, as those that this package wrote do.
    """

    def __init__(self, path: str | Path, overwrite: bool = False) -> None:
        self.path = Path(path).expanduser().resolve()
        self.overwrite = overwrite
        self._temporary: Path | None = None
        self._made: list[Path] = []

    def check(self) -> None:
        """Raise OutputError if the folder can't be written, or may not be replaced. Writes nothing."""
        path = self.path
        if path == Path.cwd() or path in Path.cwd().parents:
            raise OutputError(f"{path} is or holds the working directory; name a folder to be made")
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; name a folder to be made")
        if path.is_dir() and any(path.iterdir()):
            if not self.overwrite:
                raise OutputError(f"{path} exists and is not empty; name another folder, or replace it by --overwrite")
            if not (path / MANIFEST).is_file():
                raise OutputError(f"{path} holds no {MANIFEST}: it was not written by entp-hf and is not replaced")
        parent = next(p for p in path.parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{path} can't be made: {parent} is not a folder that can be written to")

    def __enter__(self) -> Path:
        self.check()
        parent = self.path.parent
        self._made = [p for p in (parent, *parent.parents) if not p.exists()]
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self._temporary = self._beside("part")
            self._temporary.mkdir()
        except OSError as error:
            self._discard()
            raise OutputError(f"{self.path} can't be made: {error}") from error
        return self._temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._temporary is None or kind is not None:
            self._discard()
            return
        try:
            self._swap(self._temporary)
        except (OSError, OutputError) as failure:  # the results are whole, so they are not thrown away
            raise OutputError(f"{self.path} can't be put in place: {failure}. {self._temporary} holds it") from failure
        except BaseException:
            self._discard()
            raise

    def _beside(self, kind: str) -> Path:
        """A new name in the same folder, for a rename is atomic only within one file system."""
        return self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.{kind}")

    def _swap(self, new: Path) -> None:
        """Put `new` in place; an old folder is moved aside first, for a rename needs an empty place."""
        if not self.path.exists():
            new.rename(self.path)
            return
        self.check()  # it may have been filled since
        old = self._beside("old")
        self.path.rename(old)
        try:
            new.rename(self.path)
        except BaseException:
            old.rename(self.path)
            raise
        shutil.rmtree(old)

    def _discard(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        for folder in self._made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


class RemoteFolder:
    """As `OutputFolder`, for a URL: files are written on this machine and sent at the end.

    `manifest.json` goes last, so that a folder without it was not written by entp-hf or is not whole; hf:// gets one
    commit. The files stay on this machine where they could not be sent.
    """

    def __init__(self, url: str, overwrite: bool = False) -> None:
        self.url, self.overwrite = url.rstrip("/"), overwrite
        self._temporary = Path()

    def check(self) -> None:
        """Raise OutputError if the folder can't be reached, or may not be replaced. Writes nothing."""
        try:
            fs, path = file_system(self.url)
            there = bool(fs.exists(path) and (not fs.isdir(path) or fs.ls(path, detail=False)))
            ours = there and fs.exists(f"{path}/{MANIFEST}")
        except Exception as error:  # every file system raises kinds of its own
            raise OutputError(f"{shown(self.url)}: can't be reached: {short_reason(error)}") from error
        if there and not self.overwrite:
            raise OutputError(f"{shown(self.url)} exists; name another folder, or replace it by --overwrite")
        if there and not ours:
            raise OutputError(
                f"{shown(self.url)} holds no {MANIFEST}: it was not written by entp-hf and is not replaced"
            )

    def __enter__(self) -> Path:
        self.check()
        self._temporary = Path(tempfile.mkdtemp(prefix="entp-send-"))
        return self._temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._send()
            except Exception as failure:  # the results are whole, so they are not thrown away
                raise OutputError(
                    f"{shown(self.url)} can't be written: {short_reason(failure)}. {self._temporary} holds the files"
                ) from failure
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _send(self) -> None:
        if self.url.startswith("hf://"):
            self._commit()
            return
        fs, path = file_system(self.url)
        if fs.exists(path):
            fs.rm(path, recursive=True)
        files = [file for file in sorted(self._temporary.rglob("*")) if file.is_file()]
        for file in sorted(files, key=lambda file: file == self._temporary / MANIFEST):
            target = f"{path}/{file.relative_to(self._temporary).as_posix()}"
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(file), target)

    def _commit(self) -> None:
        from huggingface_hub import HfApi, HfFileSystem

        place: Any = HfFileSystem().resolve_path(self.url)
        HfApi().upload_folder(
            repo_id=place.repo_id,
            repo_type=place.repo_type,
            revision=place.revision,
            folder_path=self._temporary,
            path_in_repo=place.path_in_repo or None,
            delete_patterns="*" if self.overwrite else None,
            commit_message="Rows made by entp-hf",
        )
