"""How a step runs over rows: the Stage protocol, and `apply`, which runs one with a cache key that knows the code."""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import Hasher

from ..errors import ConfigError
from .own_code import content_hash
from .progress import Bar
from .ray_engine import BLOCK, RayEngine
from .source_hash import source_hash
from .tables import blocks, spooled, write_stream

Batch = dict[str, list[Any]]


class Stage(Protocol):
    """A row-local step: takes a batch of columns, returns the whole batch. Implementations are frozen dataclasses."""

    def __call__(self, batch: Batch) -> Batch: ...  # noqa: D102


def apply(
    rows: Dataset,
    stage: Stage,
    desc: str,
    batch_size: int = 256,
    num_proc: int | None = None,
    ray: RayEngine | None = None,
) -> Dataset:
    """Run `stage` over `rows` with a progress bar; the result's fingerprint covers rows, settings and source code.

    Rows are read from and written to disk, `batch_size` at a time. With `ray`, its workers run the stage, on blocks of
    `ray_host.BLOCK` rows.
    """
    if len(rows) == 0:
        return rows
    named = content_hash(getattr(stage, "__dict__", {}))
    fingerprint = Hasher.hash((rows._fingerprint, repr(stage), source_hash(), named))
    if num_proc and num_proc > 1 and len(rows) > 4 * batch_size and ray is None:
        return _mapped(rows, stage, desc, batch_size, num_proc, fingerprint)
    schema = rows.features.arrow_schema
    with Bar(len(rows), desc, "rows") as bar:
        if ray is not None:
            parts = bar.over(ray.run(stage, blocks(rows, size=BLOCK), schema))
        else:
            parts = (_done(stage, block, schema, bar) for block in blocks(rows, size=batch_size))
        return Dataset(spooled(parts, schema), info=rows.info, fingerprint=fingerprint)


def _done(stage: Stage, block: pa.Table, schema: pa.Schema, bar: Bar) -> pa.Table:
    with bar.part(len(block)):
        return pa.Table.from_pydict(stage(block.to_pydict()), schema)


def _mapped(rows: Dataset, stage: Stage, desc: str, batch_size: int, num_proc: int, fingerprint: str) -> Dataset:
    with tempfile.TemporaryDirectory(prefix="entp-", ignore_cleanup_errors=True) as folder:
        if not rows.cache_files:  # a table without a file of its own would be pickled for each process
            path = str(Path(folder, "rows.arrow"))
            write_stream(path, blocks(rows), rows.features.arrow_schema)
            rows = Dataset.from_file(path, info=rows.info)
        mapped = rows.map(
            stage,
            batched=True,
            batch_size=batch_size,
            num_proc=num_proc,
            features=rows.features,
            cache_file_name=str(Path(folder, "mapped.arrow")),
            load_from_cache_file=False,
            new_fingerprint=fingerprint,
            desc=desc,
        )
        # Without the name of its file, which goes with the folder; what is mapped of it stays readable.
        return Dataset(mapped.data.table, info=mapped.info, fingerprint=fingerprint)


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """A batch of columns as a list of rows."""
    names = list(batch)
    return [dict(zip(names, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def set_columns(rows: Dataset, columns: Mapping[str, Sequence[Any] | pa.ChunkedArray]) -> Dataset:
    """Replace whole columns at once (what a fit learned of every row); types are those of `rows.features`.

    Columns that stay are not copied, unless `rows` is a selection.
    """
    table = rows.with_format("arrow")[:]
    schema = rows.features.arrow_schema
    digest = hashlib.blake2b(rows._fingerprint.encode(), digest_size=8)
    for name, values in columns.items():
        given = isinstance(values, pa.ChunkedArray)
        array: Any = (
            values if given else pa.chunked_array([pa.array(values, schema.field(name).type, from_pandas=True)])
        )
        digest.update(name.encode())
        for chunk in array.chunks:  # serialised, for a slice's buffers are those of the whole
            digest.update(pa.RecordBatch.from_arrays([chunk], [name]).serialize())
        table = table.set_column(table.schema.get_field_index(name), schema.field(name), array)
    return Dataset(table, info=rows.info, fingerprint=digest.hexdigest())


def resolve(path: str, setting: str, known: Iterable[str]) -> Callable[..., Any]:
    """The attribute that `package.module:attr` names; ConfigError, with the `known` names, if it can't be imported."""
    module, _, attr = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attr)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            [
                f"{setting}: {path!r} is neither one of {', '.join(known)} nor importable as "
                f"package.module:attr ({error})"
            ]
        ) from error
    return found  # type: ignore[no-any-return]
