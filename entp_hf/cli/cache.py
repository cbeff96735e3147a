"""`entp cache info|prune|export|import`: the file of model replies."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..config import EntpConfig
from ..errors import InputError
from .console import out, table

CacheDir = Annotated[str, typer.Option("--cache-dir", help="folder of the cache; empty: $ENTP_CACHE or ~/.cache/entp")]

cache = typer.Typer(no_args_is_help=True, help="Look into, clean up or export the cache of model replies.")


def _file(cache_dir: str) -> Path:
    from ..llm.reply_cache import REPLIES

    return EntpConfig(cache_dir=cache_dir).cache_path() / REPLIES


@cache.command()
def info(cache_dir: CacheDir = "") -> None:
    """How many replies of which models are kept, since when, and how large the file is."""
    from ..llm.reply_cache import cache_info

    found = cache_info(_file(cache_dir))
    days = [
        "none" if found[end] is None else dt.datetime.fromtimestamp(found[end]).isoformat(" ", "minutes")
        for end in ("oldest", "newest")
    ]
    rows = [
        ["replies", found["replies"]],
        ["failed calls (asked again)", found["failed"]],
        ["rows rated by probabilities", found["rated_rows"]],
        ["megabytes", round(found["bytes"] / 1e6, 2)],
        ["oldest", days[0]],
        ["newest", days[1]],
    ]
    table(str(found["path"]), ["", ""], rows)
    table("Models", ["model", "entries"], list(found["clients"].items()))


@cache.command("prune")
def prune_(
    older_than: Annotated[float | None, typer.Option("--older-than", help="days", min=0)] = None,
    cache_dir: CacheDir = "",
) -> None:
    """Delete replies older than a number of days; 0 deletes all. They will be asked, and paid for, again."""
    if older_than is None:
        raise InputError("say how old replies must be to go: --older-than DAYS; 0 deletes all")
    from ..llm.reply_cache import prune

    path = _file(cache_dir)
    out.print(f"{prune(path, older_than):,} entries deleted from {escape(str(path))}")


@cache.command("export")
def export_(
    output: Annotated[Path, typer.Argument(help="JSONL file to be written")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the file")] = False,
    cache_dir: CacheDir = "",
) -> None:
    """Write every request and reply as a line of JSON, oldest first."""
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; add --overwrite, or name another file")
    from ..llm.reply_cache import export

    out.print(f"{export(_file(cache_dir), output):,} entries in {escape(str(output))}")


@cache.command("import")
def import_(
    results: Annotated[Path, typer.Argument(help="JSONL file with the results of a batch")],
    cache_dir: CacheDir = "",
) -> None:
    """Take the results of a batch that `entp build --batch` wrote; then run the same `entp build` again."""
    from ..llm.reply_cache import import_results

    if not results.is_file():
        raise InputError(f"{results}: there is no such file")
    found = import_results(_file(cache_dir), results)
    out.print(
        f"{found['answered']:,} replies imported, {found['failed']:,} failed (to be asked again), "
        f"{found['unknown']:,} belong to no request of this cache"
    )


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(cache, name="cache")
