"""The command line, `entp`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

# Before torch is imported: idle OpenMP threads that spin make two busy processes several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import typer
from click import ClickException
from rich.markup import escape

from . import __version__
from .config import EntpConfig
from .errors import EntpError, InputError
from .knobs import LENIENT, with_knobs, with_options
from .screen import err, out, show_plan, show_purge, show_summary, table
from .sft import SFTOptions

app = typer.Typer(
    name="entp", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
    help="Turn the low-quality rows of an instruction-tuning pool into training data.",
)  # fmt: skip

STOPPED = (
    "\n[yellow]stopped.[/yellow] Nothing half-written was left. Model replies and embeddings so far are kept; "
    "run the same command again to go on from there."
)
Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT...", help="files (.parquet .jsonl .json .csv), folders, globs, or a Hub dataset id"),
]
Folder = Annotated[Path | None, typer.Option("-o", "--output", help="folder to be made")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the folder if an earlier run made it")]


def _given(inputs: list[str] | None, output: Path | None) -> tuple[list[str], Path]:
    if not inputs:
        raise InputError("no input given: name files, a folder or a Hub dataset")
    if output is None:
        raise InputError("no output folder given: add -o FOLDER")
    return inputs, output


def build(
    config: EntpConfig, inputs: Inputs = None, output: Folder = None, overwrite: Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and call nothing")] = False,
) -> None:  # fmt: skip
    """Make a hybrid dataset of INPUT: rate, correct, purge, cluster, mix. Writes data, manifest, card and report."""
    if dry_run:
        from .plan import plan

        show_plan(plan(_given(inputs, output or Path("-"))[0], config))
        return
    from .outputs import OutputFolder
    from .pipeline import run

    inputs, output = _given(inputs, output)
    with OutputFolder(output, overwrite) as folder:
        result = run(inputs, config)
        result.write(folder)
    show_summary(result.manifest)
    out.print(f"\nDataset, manifest, card and report are in [bold]{escape(str(output))}[/bold]; open report.html.")


def purge(
    config: EntpConfig, inputs: Inputs = None, output: Folder = None, overwrite: Overwrite = False,
    rules: Annotated[bool, typer.Option("--list", help="list the rules and leave")] = False,
) -> None:  # fmt: skip
    """Run the symbolic rules alone over every row of INPUT; with -o, write kept and dropped rows."""
    from .purge import RULES

    if rules:
        head = ["rule", "code", "action", "threshold", "what it finds"]
        table("Purge rules", head, [[r.name, r.code, r.action, r.threshold, r.description] for r in RULES.values()])
        return
    from .inputs import read_rows
    from .pipeline import purge_rows

    if not inputs:
        raise InputError("no input given: name files, a folder or a Hub dataset")
    with _maybe(output, overwrite) as folder:
        rows, _ = read_rows(inputs, config)
        kept, dropped, report = purge_rows(rows, config)
        if folder is not None:
            _write(folder, kept, dropped, report)
    show_purge(report)
    out.print(
        f"{len(rows):,} rows in, {len(kept):,} kept, {len(dropped):,} dropped" + (f", in {output}" if output else "")
    )


def rate(
    config: EntpConfig, inputs: Inputs = None, output: Folder = None, overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Rate the rows of INPUT and correct the ratings; with -o, write them with scores and confidence."""
    from .pipeline import score_rows

    if not inputs:
        raise InputError("no input given: name files, a folder or a Hub dataset")
    with _maybe(output, overwrite) as folder:
        kept, unrated, info = score_rows(inputs, config)
        if folder is not None:
            _write(folder, kept, unrated, info)
    ratings = info["ratings"]
    head = ["score", *ratings["names"], "corrected"]
    table(
        "Ratings",
        head,
        [[level, *(raw[level] for raw in ratings["raw"]), ratings["corrected"][level]] for level in range(6)],
    )
    for note in info["correction"].get("notes", []):
        out.print(escape(note))
    figures = (
        f"{len(kept):,} rows rated, {ratings['changed']:,} ratings changed, {len(unrated):,} rows without a rating"
    )
    out.print(figures + (f", in {output}" if output else ""))


def _maybe(output: Path | None, overwrite: bool) -> Any:
    from contextlib import nullcontext

    from .outputs import OutputFolder

    return OutputFolder(output, overwrite) if output is not None else nullcontext()


def _write(folder: Path, kept: Any, dropped: Any, info: dict[str, Any]) -> None:
    from .manifest import Manifest
    from .outputs import write_rows

    write_rows(kept, folder / "data" / "train.parquet")
    write_rows(dropped, folder / "dropped" / "train.parquet")
    Manifest(info).save(folder / "manifest.json")


for command in (build, purge, rate):
    app.command(command.__name__, context_settings=LENIENT)(with_knobs(command))


def train(
    options: SFTOptions,
    dataset: Annotated[str, typer.Argument(help="folder of `entp build`, Parquet or JSONL file, or Hub id")],
    output: Folder = None,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a chat model on DATASET with TRL (LoRA by default), on the assistant's tokens only."""
    from .sft import train as run_training

    if output is None:
        raise InputError("no output folder given: add -o FOLDER")
    options = dataclasses.replace(options, dataset=dataset, output_dir=str(output), overwrite=overwrite)
    figures = run_training(options)
    table("Training", ["", ""], [[key.replace("_", " "), value] for key, value in figures.items()])
    out.print(f"Adapter, tokenizer and training.json are in [bold]{escape(str(output))}[/bold].")


app.command("train", context_settings=LENIENT)(with_options(train, SFTOptions, ("dataset", "output_dir", "overwrite")))


@app.command("eval")
def evaluation(
    model: Annotated[str, typer.Argument(help="Hub id or folder")],
    adapter: Annotated[str | None, typer.Option(help="folder of a LoRA adapter")] = None,
    tasks: Annotated[str, typer.Option(help="entp_quiz (ours), heldout (ours), or lm-eval's names, with commas")] = (
        "entp_quiz,heldout"
    ),
    limit: Annotated[int | None, typer.Option(help="only the first items of each task")] = None,
    batch_size: Annotated[int, typer.Option(help="items at once")] = 8,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="also write the figures as JSON")] = None,
) -> None:
    """Evaluate MODEL: our quiz and held-out loss, or lm-eval's tasks."""
    from .evals import evaluate, heldout_loss

    names = [name.strip() for name in tasks.split(",") if name.strip()]
    cache = str(EntpConfig().cache_path())
    found: dict[str, dict[str, float]] = {}
    if lm_eval := [name for name in names if name != "heldout"]:
        found |= evaluate(model, adapter, lm_eval, limit, batch_size, device, cache_dir=cache)
    if "heldout" in names:
        found["heldout"] = heldout_loss(model, adapter, device=device, cache_dir=cache)
    for task, metrics in found.items():
        table(task, ["metric", "value"], list(metrics.items()))
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="folder that `entp build` made")]) -> None:
    """Draw the HTML report of a finished run again."""
    from .report import write_report

    if not (folder / "manifest.json").is_file():
        raise InputError(f"{folder}: no manifest.json there; give a folder that `entp build` made")
    out.print(f"{write_report(folder)}")


@app.command()
def config() -> None:
    """Print the default configuration as YAML, with comments."""
    out.print(EntpConfig().to_yaml(), soft_wrap=True, markup=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to be made")] = Path("demo-out"),
    overwrite: Overwrite = False,
) -> None:
    """The whole method on the shipped pool with the embedded models: dataset, report, fine-tune, evaluation."""
    from .demo import run_demo

    run_demo(output, overwrite)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def main() -> None:
    """Run the command line; errors that we expect are printed in words, without a traceback."""
    try:
        app(standalone_mode=False)
    except EntpError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print(STOPPED, soft_wrap=True)
        sys.exit(130)
    except typer.Abort:
        sys.exit(130)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except ClickException as error:
        err.print(f"[red]error:[/red] {escape(error.format_message())}", soft_wrap=True)
        sys.exit(2)
