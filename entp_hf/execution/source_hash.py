"""Hash of the package's own sources, part of every cache key."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

MAPPED = ("builders", "cards", "trainer_callbacks")  # beside entp_hf in a source checkout, inside it when installed
SOURCES = {".py", ".md", ".jinja"}  # of files that decide what comes out


def source_folders() -> list[Path]:
    """The package's folder and the mapped ones, without importing them."""
    own = Path(__file__).parent.parent
    return [own, *(folder for name in MAPPED if (folder := own.parent / name).is_dir() and not (own / name).is_dir())]


@functools.cache
def source_hash() -> str:
    """Hash of this package's sources and prompts, so that caches are rebuilt when the code changes.

    `datasets` pickles importable classes by reference and drops comments, and what follows a `#`, from its own hash.
    """
    digest = hashlib.blake2b(digest_size=8)
    for root in source_folders():
        for path in sorted(p for p in root.rglob("*") if p.suffix in SOURCES):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
