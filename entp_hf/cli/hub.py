"""`entp push`: a run's folder to the Hub. `entp space`: the app, here or on the Hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..errors import require
from .console import out

LOCAL = ("127.0.0.1", "localhost", "::1")
space_app = typer.Typer(invoke_without_command=True, help="Open the app in a browser; `entp space deploy` hosts it.")


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder that `entp build` made")],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="name of the dataset on the Hub")],
    private: Annotated[bool, typer.Option("--private", help="only you may see it")] = False,
    collection: Annotated[str, typer.Option(help="also put it into your collection of this title")] = "",
    commit_message: Annotated[str, typer.Option(help="message of the commit")] = "",
    revision: Annotated[str, typer.Option(help="branch to push to; made if it is not there")] = "",
    create_pr: Annotated[bool, typer.Option("--create-pr", help="open a pull request instead of a commit")] = False,
    resource_group: Annotated[str, typer.Option(help="id of the organisation's resource group, for a new one")] = "",
) -> None:
    """Push DIR to the Hub as a dataset, with card, manifest, recipe and report. The login is that of `hf auth`."""
    from ..pipeline.publish import push_folder

    done = push_folder(
        folder,
        name,
        private,
        collection=collection,
        commit_message=commit_message,
        revision=revision,
        create_pr=create_pr,
        resource_group=resource_group,
    )
    out.print(f"[bold]{escape(done.url)}[/bold]")
    if create_pr:
        return
    out.print(f"This recipe's revision is {done.tag}. Anyone with access loads it with")
    out.print(f'  load_dataset("{done.repo_id}", revision="{done.tag}")', markup=False)


@space_app.callback()
def space(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="port; without it, the first free one from 7860 on")] = None,
    folder: Annotated[Path | None, typer.Option(help="where runs are kept; without it, in the cache")] = None,
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0: all of this machine")] = "",
    root_path: Annotated[str, typer.Option(help="path under which a proxy serves the app: /user/ann/proxy/7860")] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open a browser window")] = True,
) -> None:
    """Open the app on this machine, in a browser; `entp space deploy USER/NAME` makes it a Space."""
    if context.invoked_subcommand:
        return
    require("gradio", "space", "the app")
    from ..webapp.app import serve

    host = host or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    if host not in LOCAL:
        out.print(
            f"[yellow]Whoever reaches {escape(host)} can use the app, this machine's time and its keys.[/yellow] "
            "To host it for strangers, make it a Space: entp space deploy."
        )
    serve(folder, port=port, host=host, browser=browser, root_path=root_path)


@space_app.command()
def deploy(
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="name of the Space on the Hub")],
    private: Annotated[bool, typer.Option("--private", help="only you may see it")] = False,
    from_index: Annotated[
        bool, typer.Option("--from-index", help="let it install this package from the package index")
    ] = False,
) -> None:
    """Make the app a Space of the Hub, or renew it. The package as it is here goes along."""
    require("gradio", "space", "the app")
    from ..webapp.deploy import deploy as push_space

    out.print(f"[bold]{escape(push_space(name, private, from_index))}[/bold]")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(push)
    app.add_typer(space_app, name="space")
