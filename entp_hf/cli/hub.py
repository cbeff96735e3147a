"""`entp push`: a run's folder to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..screen import out


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder that `entp build` made")],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="name of the dataset on the Hub")],
    private: Annotated[bool, typer.Option("--private", help="only you may see it")] = False,
    collection: Annotated[str, typer.Option(help="also put it into your collection of this title")] = "",
) -> None:
    """Push DIR to the Hub as a dataset, with card, manifest, recipe and report. The login is that of `hf auth`."""
    from ..publish import push_folder

    done = push_folder(folder, name, private, collection=collection)
    out.print(f"[bold]{escape(done.url)}[/bold]")
    out.print(f"This recipe's revision is {done.tag}. Anyone with access loads it with")
    out.print(f'  load_dataset("{done.repo_id}", revision="{done.tag}")', markup=False)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(push)
