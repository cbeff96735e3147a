"""The command line, `entp`; each module adds its commands with `register(app)`."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

# Before torch is imported: idle OpenMP threads that spin make two busy processes several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import typer
from rich.markup import escape

from ..config import EntpConfig
from ..errors import EntpError
from . import build as data
from . import cache, gate, hub, models
from . import purge as purging
from . import train as learn
from .arguments import Overwrite
from .console import err, out

app = typer.Typer(
    name="entp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn the low-quality rows of an instruction-tuning pool into training data.",
)

STOPPED = (
    "\n[yellow]stopped.[/yellow] Nothing half-written was left. Model replies and embeddings so far are kept; "
    "run the same command again to go on from there."
)

INTERRUPTED = 130  # 128 + SIGINT, as shells count
UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException: typer carries a click of its own

PANELS = {
    "Make data": ("build", "rate", "purge", "retune", "select", "report"),
    "Train, evaluate, compare": ("train", "eval", "compare", "study"),
    "Share": ("push", "space"),
    "Setup": ("demo", "models", "gate", "config", "cache", "version"),
}

for commands in (data, purging, learn, hub, models, gate, cache):
    commands.register(app)


def print_version(wanted: bool) -> None:
    """Print the version and leave, where `wanted`."""
    if wanted:
        out.print(importlib.metadata.version("entp-hf"))
        raise typer.Exit


@app.command()
def config() -> None:
    """Print the default configuration as YAML, with comments."""
    out.print(EntpConfig().to_yaml(), soft_wrap=True, markup=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to be made")] = Path("demo-out"),
    overwrite: Overwrite = False,
    writer: Annotated[
        bool, typer.Option("--writer/--no-writer", help="fetch a model that can write (1.1 GB, once) and fuse with it")
    ] = True,
) -> None:
    """The whole method on the shipped pool with models on this machine: dataset, report, fine-tune, evaluation."""
    from .demo import DEMO, run_demo, with_writer

    run_demo(output, overwrite, *with_writer(DEMO) if writer else (DEMO,))


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and leave", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Turn the low-quality rows of an instruction-tuning pool into training data."""


@app.command()
def version() -> None:
    """Print the version."""
    out.print(importlib.metadata.version("entp-hf"))


def sort_into_panels() -> None:
    """Give every command its panel in `entp --help`."""
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = panel_of[command.name or command.callback.__name__]  # type: ignore[union-attr]
    for group in app.registered_groups:
        group.rich_help_panel = panel_of[str(group.name)]


sort_into_panels()


def quiet() -> None:
    """Silence notes of the libraries that a user of the command line can't act on."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    # Issued by transformers in torch's name, at each first call of a model.
    warnings.filterwarnings("ignore", "`past_key_values` is deprecated", FutureWarning)


def main() -> None:
    """Run the command line; errors that we expect are printed in words, without a traceback."""
    quiet()
    if os.getcwd() not in sys.path:  # last: own rules and raters, module:attr, are found, and shadow nothing
        sys.path.append(os.getcwd())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing half-written is left
    try:
        status = app(standalone_mode=False) or 0
    except EntpError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        status = 1
    except UsageProblem as error:
        if message := str(error) and error.format_message():  # type: ignore[attr-defined]
            err.print(f"[red]error:[/red] {escape(message.rstrip('.'))}. See entp --help", soft_wrap=True)
        status = 2
    except (KeyboardInterrupt, typer.Abort):  # older Typer; newer ones return 130
        status = INTERRUPTED
    if status == INTERRUPTED:
        err.print(STOPPED, soft_wrap=True)
    sys.exit(status)
