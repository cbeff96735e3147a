"""What several commands take: inputs, an output folder, --overwrite."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError, InputError
from ..io.output_folder import output_folder
from ..io.paths import find_files, is_hub_name, is_remote

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT", help="files (.parquet .jsonl .json .csv), folders, globs, URLs, a Hub dataset id"),
]
Folder = Annotated[str | None, typer.Option("-o", "--output", help="folder to be made, or its URL (s3://, hf://)")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the folder if an earlier run made it")]


def given(inputs: list[str] | None, output: str | None) -> tuple[list[str], str]:
    """Both, or InputError saying what is missing."""
    if inputs and output is None:
        raise InputError("no output folder given: add -o FOLDER")
    return present(inputs), str(output)


def present(inputs: list[str] | None) -> list[str]:
    """The inputs; raises InputError, before anything is loaded, for those that are neither files nor Hub datasets."""
    if not inputs:
        raise InputError("no input given: name files, a folder or a Hub dataset")
    absent = [name for name in inputs if not (is_remote(name) or find_files(name) or is_hub_name(name))]
    if absent:
        raise InputError("\n".join(f"{name}: no such file or folder" for name in absent))
    return inputs


def folder_or_none(output: str | None, overwrite: bool) -> Any:
    """A context: the folder to write into, whole or not at all, or None where there is no `output`."""
    return output_folder(output, overwrite) if output is not None else nullcontext()


def write_rows_and_figures(folder: Path, kept: Any, dropped: Any, info: dict[str, Any]) -> None:
    """Two sets of rows as Parquet, the figures as manifest.json, and a README.md that tells loaders the two apart."""
    from ..io.manifest import Manifest
    from ..io.output_folder import FOLDER_CARD
    from ..io.parquet import write_rows

    write_rows(kept, folder / "data" / "train.parquet")
    write_rows(dropped, folder / "dropped" / "train.parquet")
    Manifest(info).save(folder / "manifest.json")
    (folder / "README.md").write_text(FOLDER_CARD, encoding="utf-8")


def settings_of(entries: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE entries as a dict; ConfigError for those that are none."""
    if bad := [entry for entry in entries if "=" not in entry]:
        raise ConfigError([f"set: {entry!r} is not NAME=VALUE" for entry in bad])
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}
