"""Rows on other file systems: every URL that fsspec knows (s3://, gs://, abfs://, file://), and hf:// for output."""

from __future__ import annotations

import glob
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from .files import RawRows, read_file
from .paths import EXTENSIONS, data_files, extension, file_system, short_reason, shown


@contextmanager
def _reading(url: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # every file system raises kinds of its own
        raise InputError(f"{shown(url)}: can't be read: {short_reason(error)}") from error


def find_remote(url: str) -> list[str]:
    """URLs of the data files that a file, folder or glob stands for, sorted; InputError where there are none."""
    with _reading(url):
        fs, path = file_system(url)
        if glob.has_magic(path):
            files = [one for one in fs.glob(path) if extension(Path(one))]
        elif fs.isdir(path):
            root = path.rstrip("/") + "/"
            inside = [one.removeprefix(root) for one in sorted(fs.find(path))]
            found = data_files(inside, shown(url), lambda file: str(fs.cat_file(root + file), "utf-8"))
            files = [root + file for file in found]
        elif not fs.exists(path):
            raise InputError(f"{shown(url)}: no such file or folder")
        else:
            files = [path] if extension(Path(path)) else []
        if not files:
            raise InputError(f"{shown(url)}: holds no data files (known: {', '.join(EXTENSIONS)})")
        return [fs.unstrip_protocol(one) for one in sorted(files)]


def read_remote(url: str, skip: bool = False) -> RawRows:
    """All rows of one file, see `files.read_file`; its copy on this machine is removed with them."""
    folder = tempfile.mkdtemp(prefix="entp-fetch-")
    try:
        with _reading(url):
            fs, path = file_system(url)
            copy = Path(folder, Path(path).name)
            fs.get_file(path, str(copy))
            try:
                found = replace(read_file(copy, skip), name=shown(url), path=shown(url))
            except InputError as error:
                raise InputError(str(error).replace(str(copy), shown(url))) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, True)  # it is read while the rows go by
    return found
