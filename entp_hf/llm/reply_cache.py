"""Replies on disk: a second run asks nothing again, and a run that was broken off loses nothing."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, EntpError
from ..io.sqlite_cache import CHUNK, opened, transaction
from .batch import WAITING, BatchFile, Imported, current_batch, read_results, reply_to
from .protocol import BUDGET, ChatClient, ChatReply, ChatRequest

REPLIES = "replies.sqlite"  # the file's name in the cache folder
_TABLE = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, client TEXT NOT NULL, request TEXT NOT NULL, reply TEXT NOT NULL,
    failed INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID"""
# A failure never takes the place of an answer that another process has got meanwhile.
_WRITE = """INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    reply = excluded.reply, failed = excluded.failed, created = excluded.created
    WHERE replies.failed OR NOT excluded.failed"""
_MEAN = """SELECT avg(json_extract(reply, '$.completion_tokens')) FROM replies WHERE kind = 'chat' AND NOT failed
    AND client = ? AND json_extract(request, '$.prompt_version') = ? AND json_extract(request, '$.max_tokens') = ?"""
_CHUNK_OF_ROWS = 256  # rows rated between two writes, for a client that can't report batch by batch


@dataclass(frozen=True)
class CachedChat:
    """`client`, with the SQLite file `path` before it.

    The key of a reply is the client's name and all of the request. Each reply is written as it arrives. Failed calls
    are kept for inspection, but asked again. Equal requests of one call are asked once.
    """

    client: ChatClient
    path: str

    @property
    def name(self) -> str:
        """The client's own name: the cache changes nothing."""
        return self.client.name

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Answer all requests, in order; what comes from the file is marked `cached`."""
        if not requests:
            return []
        name, bodies = self.name, self._bodies(requests)
        keys = [_key("chat", body) for body in bodies]
        with opened(self.path, _TABLE) as connection:
            replies = {key: ChatReply(**reply, cached=True) for key, reply in _read(connection, keys).items()}
            todo = list({key: i for i, key in reversed(list(enumerate(keys))) if key not in replies}.values())[::-1]
            batch = current_batch() if hasattr(self.client, "batch_body") else None
            if batch is not None:
                replies |= self._write_batch(batch, connection, {keys[i]: (bodies[i], requests[i]) for i in todo})
                todo = []
            for k, reply in _asked(self.client, [requests[i] for i in todo], desc):
                key, body = keys[todo[k]], bodies[todo[k]]
                replies[key] = reply
                if reply.finish_reason == BUDGET:
                    continue
                kept = {field: value for field, value in vars(reply).items() if field != "cached"}
                _write(connection, [(key, "chat", name, body, _canonical(kept), bool(reply.error), time.time())])
        first = set(todo)
        return [
            replies[key]
            if i in first or not replies[key].made or replies[key].cached
            else replace(replies[key], cached=True)
            for i, key in enumerate(keys)
        ]

    def _write_batch(
        self, batch: BatchFile, connection: sqlite3.Connection, todo: Mapping[str, tuple[str, ChatRequest]]
    ) -> dict[str, ChatReply]:
        """Write requests to a batch file, and keep them so that their replies find them; the replies until then."""
        waiting = _canonical({"finish_reason": "error", "error": WAITING})
        now, client = time.time(), self.client
        _write(connection, [(key, "chat", self.name, body, waiting, True, now) for key, (body, _) in todo.items()])
        return {key: batch.add(key, client.batch_body(request)) for key, (_, request) in todo.items()}  # type: ignore[attr-defined]

    def known(self, requests: Sequence[ChatRequest]) -> list[ChatReply | None]:
        """The replies that the file has, in order, and None for the others; the client is not asked."""
        keys = [_key("chat", body) for body in self._bodies(requests)]
        if not Path(self.path).exists():
            return [None] * len(keys)
        with opened(self.path, _TABLE) as connection:
            found = _read(connection, keys)
        return [ChatReply(**found[key], cached=True) if key in found else None for key in keys]

    def mean_reply(self, like: ChatRequest) -> float | None:
        """Mean tokens of the file's replies of this client to requests of the prompt version, and with the most
        tokens, of `like`; None where there are none.
        """
        if not Path(self.path).exists():
            return None
        with opened(self.path, _TABLE) as connection:
            (mean,) = connection.execute(_MEAN, (self.name, like.prompt_version, like.max_tokens)).fetchone()
        return None if mean is None else float(mean)

    def _bodies(self, requests: Sequence[ChatRequest]) -> list[str]:
        name = self.name
        return [_canonical({"client": name, **vars(request)}) for request in requests]

    def digit_expectations(
        self, prompts: Sequence[str], prefix: str, digits: Sequence[int] = range(6), desc: str = ""
    ) -> NDArray[np.float64]:
        """As `LocalChat.digit_expectations`; rows that the file has cost no forward pass.

        Raises ConfigError where the client gives no probabilities.
        """
        if not hasattr(self.client, "digit_expectations"):
            raise ConfigError([f"raters: 'logits' needs a model in this process; {self.name} gives no probabilities"])
        found = np.full((len(prompts), 2), np.nan)
        if not prompts:
            return found
        name, head = self.name, hashlib.blake2b(prefix.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        common = {"client": name, "prefix": head, "digits": list(digits)}
        bodies = [_canonical({**common, "prompt": prompt}) for prompt in prompts]
        keys = [_key("digits", body) for body in bodies]
        with opened(self.path, _TABLE) as connection:
            pairs = _read(connection, keys)
            todo = list({key: i for i, key in enumerate(keys) if key not in pairs}.values())
            for part in _expected(self.client, [prompts[i] for i in todo], prefix, digits, desc):
                fresh = {todo[k]: {"expected": None if math.isnan(e) else e, "mass": m} for k, e, m in part}
                pairs |= {keys[i]: value for i, value in fresh.items()}
                now = time.time()
                rows = [(keys[i], "digits", name, bodies[i], _canonical(v), False, now) for i, v in fresh.items()]
                _write(connection, rows)
        for i, key in enumerate(keys):
            expected = pairs[key]["expected"]
            found[i] = np.nan if expected is None else expected, pairs[key]["mass"]
        return found


def _asked(client: Any, requests: Sequence[ChatRequest], desc: str) -> Iterator[tuple[int, ChatReply]]:
    if not requests:
        return
    if hasattr(client, "stream"):
        yield from client.stream(requests, desc)
    else:
        yield from enumerate(client.chat(requests, desc))


def _expected(
    client: Any, prompts: Sequence[str], prefix: str, digits: Sequence[int], desc: str
) -> Iterator[list[tuple[int, float, float]]]:
    """(index, expected digit, mass) of the prompts, in parts that are worth a write each."""
    if prompts and hasattr(client, "digit_stream"):
        yield from client.digit_stream(prompts, prefix, digits, desc)
        return
    for start in range(0, len(prompts), _CHUNK_OF_ROWS):
        found = client.digit_expectations(prompts[start : start + _CHUNK_OF_ROWS], prefix, digits, desc)
        yield [(start + k, float(expected), float(mass)) for k, (expected, mass) in enumerate(found)]


def _canonical(value: Any) -> str:
    """One text for equal values; unpaired surrogates, which SQLite refuses, are escaped with all that is not ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _key(kind: str, body: str) -> str:
    return hashlib.blake2b(f"{kind}\x1f{body}".encode(), digest_size=16).hexdigest()


def _read(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        query = f"SELECT key, reply FROM replies WHERE NOT failed AND key IN ({','.join('?' * len(part))})"
        found.update({key: json.loads(reply) for key, reply in connection.execute(query, part)})
    return found


def _write(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    with transaction(connection):
        connection.executemany(_WRITE, rows)


def cache_info(path: str | Path) -> dict[str, Any]:
    """{path, bytes, replies, failed, rated_rows, oldest, newest (Unix seconds or None), clients {name: entries}}."""
    with opened(_present(path), _TABLE) as connection:
        replies, failed, rated, oldest, newest = connection.execute(
            "SELECT count(*) FILTER (WHERE kind = 'chat' AND NOT failed), count(*) FILTER (WHERE failed), "
            "count(*) FILTER (WHERE kind = 'digits'), min(created), max(created) FROM replies"
        ).fetchone()
        clients = dict(connection.execute("SELECT client, count(*) FROM replies GROUP BY client ORDER BY client"))
    sizes = [file.stat().st_size for end in ("", "-wal") if (file := Path(f"{path}{end}")).exists()]
    return {
        "path": str(path),
        "bytes": sum(sizes),
        "replies": replies,
        "failed": failed,
        "rated_rows": rated,
        "oldest": oldest,
        "newest": newest,
        "clients": clients,
    }


def prune(path: str | Path, older_than_days: float) -> int:
    """Delete entries written longer ago than that, and give the space back; returns how many."""
    with opened(_present(path), _TABLE) as connection:
        with transaction(connection):
            bound = time.time() - older_than_days * 86_400
            count = connection.execute("DELETE FROM replies WHERE created < ?", (bound,)).rowcount
        connection.execute("VACUUM")
    return count


def export(path: str | Path, jsonl: str | Path) -> int:
    """Write every entry as a line of JSON {kind, client, created, failed, request, reply}, oldest first; how many."""
    query = "SELECT kind, client, created, failed, request, reply FROM replies ORDER BY created, key"
    count = 0
    with opened(_present(path), _TABLE) as connection, Path(jsonl).open("w", encoding="utf-8") as out:
        for kind, client, created, failed, request, reply in connection.execute(query):
            entry = {"kind": kind, "client": client, "created": created, "failed": bool(failed)}
            out.write(json.dumps({**entry, "request": json.loads(request), "reply": json.loads(reply)}) + "\n")
            count += 1
    return count


def import_results(path: str | Path, jsonl: str | Path) -> Imported:
    """Read the results of a batch into the cache; how many were answered, failed or unknown.

    Failed ones are asked again, as other failed calls are.
    """
    counts = Imported()
    with opened(_present(path), _TABLE) as connection:
        for key, completion, error in read_results(jsonl):
            row = connection.execute("SELECT client, request FROM replies WHERE key = ?", (key,)).fetchone()
            if row is None:
                counts["unknown"] += 1
                continue
            client, body = row
            values = {name: value for name, value in json.loads(body).items() if name != "client"}
            messages = tuple((role, content) for role, content in values.pop("messages"))
            reply = reply_to(ChatRequest(messages, **values), completion, error)
            kept = {field: value for field, value in vars(reply).items() if field != "cached"}
            _write(connection, [(key, "chat", client, body, _canonical(kept), bool(reply.error), time.time())])
            counts["failed" if reply.error else "answered"] += 1
    return counts


def _present(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise EntpError(f"there is no reply cache at {path}; give the cache_dir of a run that asked a model")
    return Path(path)
