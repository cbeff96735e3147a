"""Checks of untrusted files, URLs and names. Each refuses what it does not know."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from .limits import KINDS, Limits, Refused

RUN_ID = re.compile(r"[A-Za-z0-9_-]{22}")
REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
PLAIN = re.compile(r"[\w./-]{1,96}")  # names of configs, splits and models
_EXPANSION = 20  # most bytes in memory for one of a Parquet file; text compresses less
_PACKED = (
    b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x7fELF",
)  # fmt: skip  # zip, gzip, bzip2, xz, 7z, rar, zstd, lz4, pickle, program


def check_upload(path: str | Path, area: Path, limits: Limits) -> Path:
    """The uploaded file, if it lies in the upload area as a plain data file of an allowed kind and size.

    Raises Refused for anything else: paths that lead out of the area, links, archives, pickles, bombs.
    """
    given = Path(path)
    kind = given.suffix.lower()
    if kind not in KINDS:
        raise Refused(f"{given.name!r}: files of the kind {kind or '(none)'} are not taken; known: {', '.join(KINDS)}")
    if ".." in given.parts or not _inside(given, area):
        raise Refused("only files that were uploaded here can be used")
    try:
        handle = os.open(given, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(f"{given.name!r} can't be opened as an uploaded file") from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise Refused(f"{given.name!r} is no plain file")
    with os.fdopen(handle, "rb") as file:
        if facts.st_size > limits.bytes:
            size = f"{facts.st_size / 1e6:,.0f} MB"
            raise Refused(f"{given.name!r} has {size}; at most {limits.bytes / 1e6:,.0f} MB are taken here")
        head = file.read(8)
    if head.startswith(_PACKED):
        raise Refused(f"{given.name!r} is an archive or a program, whatever its name says; unpack it first")
    if (kind == ".parquet") != head.startswith(b"PAR1"):
        raise Refused(f"{given.name!r} is not what its name says; a Parquet file ends in .parquet, and only that")
    if kind == ".parquet":
        _check_parquet(given, limits)
    return given


def _inside(path: Path, area: Path) -> bool:
    """Under `area` when every link on the way is followed; a link as the last part is refused where it is opened."""
    return path.parent.resolve(strict=False).is_relative_to(area.resolve())


def _check_parquet(path: Path, limits: Limits) -> None:
    try:
        found = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"{path.name!r} is not a readable Parquet file") from error
    size = sum(found.row_group(i).total_byte_size for i in range(found.num_row_groups))
    if found.num_rows > 100 * limits.rows or size > _EXPANSION * limits.bytes:
        raise Refused(
            f"{path.name!r} would come to {found.num_rows:,} rows and {size / 1e6:,.0f} MB; that is too much here"
        )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; files that go meanwhile count nothing."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found


def check_endpoint(url: str, limits: Limits) -> str:
    """The address of a model's server; on a hosted app it must be https and lead to the public internet."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"{url[:80]!r} is no web address; give https://...")
    if parts.username or parts.password:
        raise Refused("an address with a user or a password in it is not taken")
    if limits.hosted:
        if parts.scheme != "https":
            raise Refused("the address must begin with https://, so that nothing is sent in the clear")
        for address in _addresses(parts.hostname, parts.port or 443):
            if not is_public(address):
                raise Refused(f"{parts.hostname} leads to a private address; only servers on the internet are asked")
    return url.strip()


def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} can't be found; check the address") from error


def is_public(address: str) -> bool:
    """A global unicast address, those wrapped inside IPv6 included."""
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def only_public_connections(allowed: Collection[str] = ()) -> None:
    """From now on this process connects to public addresses only, whatever a name led to when it was checked.

    An audit hook, so it holds for every library, for redirects and for names that lead elsewhere later; it can't be
    taken off. `allowed` are addresses that are let through.
    """

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("socket.connect", "socket.sendto"):
            return
        address = arguments[-1]
        if isinstance(address, tuple) and address[0] not in allowed and not is_public(str(address[0])):
            raise PermissionError("connections to private addresses are refused")

    sys.addaudithook(watch)
