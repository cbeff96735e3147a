"""SQLite files that several processes share: how one is opened and checked, and the table of vectors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import EntpError

APPLICATION_ID = 0x454E5450  # "ENTP" in the file's header: whose file it is
WAIT = 60.0  # seconds to wait for another process that is writing (ours)
CHUNK = 500  # keys in one SELECT; SQLite's own bound on parameters was 999 for long

_VECTORS = "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"


@contextmanager
def opened(path: str | Path, schema: str) -> Iterator[sqlite3.Connection]:
    """A connection to the cache file `path`, made with the table of `schema` if absent; closed at the end.

    Raises EntpError that names the file and the way out if it is damaged, of another program, locked or not writable.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        _prepare(connection, path, schema)
        yield connection
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    finally:
        connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the write lock at once, so that a busy file makes it wait and not fail half-way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _prepare(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID:
        with transaction(connection):
            owner = connection.execute("PRAGMA application_id").fetchone()[0]  # another process may have been first
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if owner != APPLICATION_ID and (owner or tables):
                raise EntpError(
                    f"{path} is a database of another program; give another cache_dir, or move that file away"
                )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last replies, never the file
    connection.execute(schema)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers go on while one writes. SQLite does not wait its busy timeout for this change of mode: we do."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    until = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _unusable(path: Path, error: Exception) -> EntpError:
    if isinstance(error, sqlite3.OperationalError | OSError):
        busy = "locked" in str(error) or "busy" in str(error)
        way_out = (
            f"another process holds it for over {WAIT:.0f} s; wait for it" if busy else "check the folder and the disk"
        )
        return EntpError(f"the cache {path} can't be used: {error}; {way_out}, or give another cache_dir")
    return EntpError(
        f"the cache {path} is damaged or no SQLite file: {error}; move it away or delete it (with its -wal and -shm), "
        "and what it held is computed again"
    )


def get_vectors(path: str | Path, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The stored float32 vectors of those `keys` that have one; read-only views. {} if there is no such file."""
    if not Path(path).exists():
        return {}
    found: dict[str, NDArray[np.float32]] = {}
    with opened(path, _VECTORS) as connection:
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            for key, blob in connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part):
                found[key] = np.frombuffer(blob, dtype="<f4")
    return found


def put_vectors(path: str | Path, keys: Sequence[str], matrix: NDArray[np.float32]) -> None:
    """Store row i of `matrix` (N, d) under keys[i], in place of what was there. One transaction: all or nothing."""
    if len(keys) != len(matrix):
        raise EntpError(f"put_vectors: {len(keys)} keys for {len(matrix)} vectors; there must be one each")
    data = np.ascontiguousarray(matrix, dtype="<f4")
    with opened(path, _VECTORS) as connection, transaction(connection):
        connection.executemany(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?)",
            ((key, row.tobytes()) for key, row in zip(keys, data, strict=True)),
        )
