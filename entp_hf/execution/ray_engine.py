"""Ray Data as the host of stages: the same objects over the same rows, on this machine or on a cluster.

Made equal to `Dataset.map` by whole blocks as Arrow tables, a pinned schema, and order kept. A worker that dies is
started again and its block done again, so that nothing is lost.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import EntpError, StageError, require
from .source_hash import source_hash
from .threads import cpu_count
from .usage import metered, record_usage

if TYPE_CHECKING:
    from ..config import EntpConfig

Batch = dict[str, list[Any]]
Work = Callable[[Batch], Batch]
BLOCK = 4096  # rows that a worker gets at once: of 1,024 it was idle for half of the time (ours)
WAVE = 256  # blocks that Ray holds at once: a million rows (ours)
ANSWERS = 5.0  # seconds within which a cluster's address must take a connection (ours)
# Ray listens on every interface, and whoever reaches it can run code. This variable, whose name tells of less than it
# does, keeps it to 127.0.0.1; the token keeps other users of the machine out.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
LOCAL_ONLY = {LOOPBACK: "0", "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
AT_HOME = {"RAY_worker_niceness": "0"}  # by itself 15: on a machine that is busy, workers would hardly run


@dataclass(frozen=True)
class RayEngine:
    """Runs row-local work on Ray.

    `address` of a cluster ("auto", "HOST:6379", "ray://HOST:10001"); empty: one of this process's own. `workers`: how
    many processes, 0: as many as there are CPUs, or GPUs where `gpus`, the share of a GPU for each, is over 0.
    """

    address: str = ""
    workers: int = 0
    gpus: float = 0.0

    @classmethod
    def from_config(cls, config: EntpConfig) -> RayEngine | None:
        """The host that the configuration asks for; None for this process. Raises MissingExtra without Ray."""
        if config.engine != "ray":
            return None
        require("ray", "ray", "engine 'ray'")
        return cls(config.ray_address, config.ray_workers, config.ray_gpus)

    @property
    def actors(self) -> bool:
        """Whether workers are actors: where they hold GPUs."""
        return self.gpus > 0

    def run(self, work: Work, tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
        """`work` on every table, in order; `schema` is that of the results. Errors of the work arrive as they were."""
        waves = iter(tables)
        while blocks := list(islice(waves, WAVE)):
            for table in self._wave(partial(_do, work, schema, source_hash()), blocks):
                yield table.cast(schema)

    def _wave(self, do: Callable[[pa.Table], pa.Table], blocks: list[pa.Table]) -> Iterator[pa.Table]:
        self.connect()
        import ray
        from ray.data import ActorPoolStrategy, TaskPoolStrategy
        from ray.exceptions import RayError

        size = min(self.workers or self._places(), len(blocks))
        # Actors, new for each run, give a GPU back when they end; processes of tasks stay, with what they loaded.
        place: dict[str, Any] = {"fn": do, "compute": TaskPoolStrategy(size=size)}
        if self.actors:
            place = {"fn": _Actor, "fn_constructor_args": (do,), "compute": ActorPoolStrategy(size=size)}
        done = ray.data.from_arrow(blocks).map_batches(
            **place,
            batch_format="pyarrow",
            batch_size=None,  # a block is a batch
            num_cpus=1,
            num_gpus=self.gpus or None,
        )
        try:
            for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield _read_notes(table)
        except RayError as error:  # ours come in the notes: this is the cluster, or a fault of the program
            raise StageError("ray", f"a worker failed: {error}") from error

    def check(self) -> None:
        """Raise StageError now where nothing listens at the address: Ray itself would go on trying for minutes."""
        host, _, port = self.address.removeprefix("ray://").rpartition(":")
        if host:
            try:
                socket.create_connection((host, int(port)), ANSWERS).close()
            except (OSError, ValueError) as error:
                raise self._absent(error) from error

    def _absent(self, error: Exception) -> StageError:
        return StageError(
            "ray",
            f"no cluster at {self.address or 'local'!r}: {error}. Start one (ray start --head), or leave "
            "ray_address empty for one on this machine",
        )

    def connect(self) -> None:
        """Join the cluster, or start one on 127.0.0.1 with a token of its own; once a process."""
        if not self.address and "ray" not in sys.modules:  # these are read when Ray is imported
            for name, value in {**LOCAL_ONLY, **AT_HOME, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
                os.environ.setdefault(name, value)
        import ray
        import ray.data

        if not ray.is_initialized():
            self._start(ray)
        context = ray.data.DataContext.get_current()
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # after its import, which sets it
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True

    def _start(self, ray: Any) -> None:
        self.check()
        place: dict[str, Any] = {"address": self.address}
        if not self.address:
            place = {"address": "local", "num_cpus": max(self.workers, cpu_count()), "include_dashboard": False}
        main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        paths = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # workers find what this process finds
        try:
            ray.init(**place, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise self._absent(error) from error
        finally:
            os.environ.pop("PYTHONPATH") if paths is None else os.environ.update(PYTHONPATH=paths)
            if main:
                signal.signal(signal.SIGTERM, before)  # Ray puts its own in place
        if not self.address and not ip_address(ray.util.get_node_ip_address()).is_loopback:
            ray.shutdown()
            raise StageError(
                "ray",
                f"Ray was imported before it could be kept to 127.0.0.1; set {LOOPBACK}=0 before that, or ray_address",
            )

    def _places(self) -> int:
        import ray

        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        found = int(there.get("GPU", 0) / self.gpus) if self.gpus else int(there.get("CPU", 1))
        if not found:
            has = there.get("GPU", 0)
            raise StageError(
                "ray", f"the cluster has {has:g} GPUs, a worker needs {self.gpus:g}; lower ray_gpus, or set 0 for CPUs"
            )
        return found


_NOTES = "__notes__"  # column that brings (usage, error) of a block home, in its first row


class _Actor:
    """What an actor runs."""

    def __init__(self, do: Callable[[pa.Table], pa.Table]) -> None:
        self.do = do

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.do(table)


def _do(work: Work, schema: pa.Schema, code: str, table: pa.Table) -> pa.Table:
    """The work on one block, in a worker; `code` is the source hash that it must have."""
    error = None
    with metered() as usage:
        try:
            if source_hash() != code:
                raise StageError(
                    "ray",
                    "a node of the cluster has another version of entp-hf than this process; "
                    "install the same one on all of them",
                )
            out = pa.Table.from_pydict(work(table.to_pydict()), schema=schema)
        except EntpError as raised:  # Ray would wrap it until nothing but its text is left
            error, out = raised, schema.empty_table()
    note = pickle.dumps((usage, error, out.num_rows))
    if not out.num_rows:  # a row is needed for the note
        out = pa.table([pa.nulls(1, kind) for kind in schema.types], schema=schema)
    return out.append_column(_NOTES, pa.array([note, *[None] * (out.num_rows - 1)], pa.binary()))


def _read_notes(table: pa.Table) -> pa.Table:
    """The results alone; raises the error that stopped the work, and counts the tokens that it used."""
    at = table.schema.get_field_index(_NOTES)
    notes = table.column(at).drop_null().to_pylist()  # none in the second part of a block that Ray cut in two
    table = table.remove_column(at)
    for usage, error, rows in map(pickle.loads, notes):
        if error is not None:
            raise error
        record_usage(usage)
        table = table if rows else table.slice(0, 0)
    return table
