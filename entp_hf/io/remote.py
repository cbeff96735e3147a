"""Rows on other file systems: every URL that fsspec knows (s3://, gs://, abfs://, file://), and hf:// for output."""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import InputError, OutputError
from .files import EXTENSIONS, RawRows, extension, is_data, read_file
from .output_folder import MANIFEST

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.")


def is_remote(name: object) -> bool:
    """Whether it is the URL of a file or folder."""
    return isinstance(name, str) and _URL.match(name) is not None


def shown(url: str) -> str:
    """The URL without a user's name and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. Raises ValueError or ImportError, which say what to install."""
    import fsspec

    fs, path = fsspec.core.url_to_fs(url)
    return fs, path


@contextmanager
def _reading(url: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # every file system raises kinds of its own
        raise InputError(f"{shown(url)}: can't be read: {_short(error)}") from error


def _short(error: Exception) -> str:
    return f"{' '.join(str(error).split())[:300]} ({type(error).__name__})"


def find_remote(url: str) -> list[str]:
    """URLs of the data files that a file, folder or glob stands for, sorted; InputError where there are none."""
    with _reading(url):
        fs, path = file_system(url)
        if glob.has_magic(path):
            files = [one for one in fs.glob(path) if extension(Path(one))]
        elif fs.isdir(path):
            root = path.rstrip("/") + "/"
            files = [one for one in fs.find(path) if is_data(Path(one.removeprefix(root)))]
        elif not fs.exists(path):
            raise InputError(f"{shown(url)}: no such file or folder")
        else:
            files = [path] if extension(Path(path)) else []
        if not files:
            raise InputError(f"{shown(url)}: holds no data files (known: {', '.join(EXTENSIONS)})")
        return [fs.unstrip_protocol(one) for one in sorted(files)]


def read_remote(url: str) -> RawRows:
    """All rows of one file, see `files.read_file`; its copy on this machine is gone when they are."""
    folder = tempfile.mkdtemp(prefix="entp-fetch-")
    try:
        with _reading(url):
            fs, path = file_system(url)
            copy = Path(folder, Path(path).name)
            fs.get_file(path, str(copy))
            try:
                found = replace(read_file(copy), name=shown(url), path=shown(url))
            except InputError as error:
                raise InputError(str(error).replace(str(copy), shown(url))) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, True)  # it is read while the rows go by
    return found


class RemoteFolder:
    """As `outputs.OutputFolder`, for a URL: files are written on this machine and sent at the end.

    `manifest.json` goes last, so that a folder without it is none of ours or not whole; hf:// gets one commit. The
    files stay on this machine where they could not be sent.
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
            raise OutputError(f"{shown(self.url)}: can't be reached: {_short(error)}") from error
        if there and not self.overwrite:
            raise OutputError(f"{shown(self.url)} exists; name another folder, or replace it by --overwrite")
        if there and not ours:
            raise OutputError(f"{shown(self.url)} holds no {MANIFEST}, so it is none of ours and is not replaced")

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
                    f"{shown(self.url)} can't be written: {_short(failure)}. {self._temporary} holds the files"
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
