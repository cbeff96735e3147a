"""Write rows as Parquet with the same bytes for the same rows; read them back from disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..errors import OutputError
from ..execution.tables import blocks, on_disk

ROW_GROUP = 1000  # rows; small groups let the Hub's viewer page through a file


def write_rows(dataset: Dataset, path: Path) -> None:
    """Write as Parquet, making its folder: the same rows give the same bytes, however they lie in memory.

    Raises OutputError.
    """
    write_tables(blocks(dataset, size=ROW_GROUP), dataset.features.arrow_schema, path)


def write_tables(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """Write tables of the schema as Parquet, each as a row group or several. Raises OutputError.

    The schema's metadata, where `datasets` keeps its features, is left out: versions before 4 fail on its type `List`,
    and every reader infers the same types from Arrow's.
    """
    schema = schema.remove_metadata()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
            for table in tables:
                writer.write_table(table.cast(schema).combine_chunks(), row_group_size=ROW_GROUP)
    except (OSError, pa.ArrowException) as error:
        if path.is_file():
            path.unlink()
        raise OutputError(f"{path} can't be written: {error}") from error


def read_written(path: Path, columns: Sequence[str] | None = None) -> Dataset:
    """The rows that `write_rows` wrote, or some of their columns, on disk; none included: `Dataset.from_parquet` fails
    on those.
    """
    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        batches = (batch.select(names).cast(schema) for batch in file.iter_batches(ROW_GROUP, columns=names))
        return on_disk(batches, schema)
