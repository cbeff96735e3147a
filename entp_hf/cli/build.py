"""`entp build`, `entp rate`, `entp select`, `entp study`, `entp report`: from rows to rows."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..config import SMOLLM2, WRITER, EntpConfig
from ..errors import BatchWritten, ConfigError, InputError
from ..io.output_folder import output_folder
from ..models.known import KNOWN
from ..reporting.formatting import raw
from .arguments import (
    Folder,
    Inputs,
    Overwrite,
    folder_or_none,
    given,
    present,
    settings_of,
    write_rows_and_figures,
)
from .console import err, out, show_entry, show_failed_calls, show_input, show_plan, show_summary, show_warnings, table
from .options import LENIENT, with_settings

NO_REPLIES = 3  # exit status where the model was asked for fusions and none of its replies came
_READ = "columns split limit"  # settings that every command that reads rows lists in its help
# For each command: the settings that its help lists, and examples.
HELP = {
    "build": (
        f"{_READ} raters rating_columns pool benchmark_files fuser model endpoint "
        "target_size fusion_ratio high_quality_ratio keep_good emit_preference seed",
        [
            "entp build pool.jsonl -o out",
            "entp build user/dataset -o out --endpoint http://127.0.0.1:8000/v1 --model NAME",
        ],
    ),
    "rate": (
        f"{_READ} raters rating_columns rater_model model endpoint correction gold_column",
        ["entp rate pool.jsonl --correct -o rated", "entp rate pool.jsonl --raters column --rating-columns score"],
    ),
    "select": (
        f"{_READ} raters rating_columns model embedder seed",
        ["entp select pool.jsonl -o best --method ds2 -n 1000", "entp select --list"],
    ),
    "study": (
        f"{_READ} raters rating_columns fuser model target_size seed",
        ["entp study rules pool.jsonl -o study", "entp study --list"],
    ),
}


def build(
    config: EntpConfig,
    inputs: Inputs = None,
    output: Folder = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and call nothing")] = False,
    sample: Annotated[int, typer.Option(help="groups that --dry-run asks, to know how long replies are", min=0)] = 0,
    emit: Annotated[str | None, typer.Option(help="preference: as --emit-preference")] = None,
    batch: Annotated[
        Path | None, typer.Option(help="write the calls that the next stage would make to this file, and stop")
    ] = None,
    batch_form: Annotated[str, typer.Option(help="openai (also Mistral, vLLM, ...) | anthropic | gemini")] = "openai",
) -> None:
    """Make a hybrid dataset of INPUT: rate, correct, purge, cluster, mix. Writes data, manifest, card and report.

    Exit status 3: the dataset was written, but no reply came to any fusion that the model was asked for.
    """
    if emit is not None and emit != "preference":
        raise InputError(f"--emit {emit}: only preference can be written beside the dataset")
    if emit:
        config = dataclasses.replace(config, emit_preference=True)
    if dry_run:
        inputs = present(inputs)
        hint(config)
        from ..pipeline.plan import plan

        show_plan(plan(inputs, config, exact=True, sample=sample), sample)
        return
    if sample:
        raise InputError("--sample: only --dry-run asks a sample; a run asks everything")
    inputs, output = given(inputs, output)
    hint(config)
    with _batching(config, batch, batch_form, overwrite), output_folder(output, overwrite) as folder:
        from ..pipeline.run import run

        result = run(inputs, config)
        result.write(folder)
    show_summary(result.manifest)
    show_failed_calls(result.manifest["failed_calls"])
    out.print(f"\nDataset, manifest, card and report are in [bold]{escape(str(output))}[/bold]; open report.html.")
    if result.manifest["fusion"]["no_replies"]:
        raise typer.Exit(NO_REPLIES)


@contextmanager
def _batching(config: EntpConfig, path: Path | None, form: str, overwrite: bool) -> Iterator[None]:
    """Write calls to a batch file inside; a stage that waits for them ends the command with what to do next."""
    if path is None:
        yield
        return
    from ..llm.batch import FORMS, batching

    if form not in FORMS:
        raise InputError(f"--batch-form {form}: not one of {', '.join(FORMS)}")
    if not (config.endpoint or config.provider or config.rater_endpoint):
        raise InputError("--batch: the model is in this process; name the service with --endpoint")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; name another file, or add --overwrite")
    try:
        with batching(path, form):
            yield
    except BatchWritten as written:
        out.print(escape(str(written)), soft_wrap=True)
        raise typer.Exit from written


def hint(config: EntpConfig) -> None:
    """Say how to get a model that can write, where SmolLM2 would be asked only because there is no other."""
    from ..llm.factory import AUTO, settled
    from ..mix.fusion import FUSERS

    asks = FUSERS[config.fuser] is not None and not (config.endpoint or config.provider)
    if asks and config.model == AUTO and settled(config).model == SMOLLM2:
        size = KNOWN[WRITER].bytes / 1e9
        err.print(
            f"[yellow]note:[/yellow] SmolLM2-135M will be asked for fusions, and can't write them. Run: entp models "
            f"fetch writer ({size:.1f} GB), name a --model or --endpoint, or take --fuser mosaic",
            soft_wrap=True,
        )


def rate(
    config: EntpConfig,
    inputs: Inputs = None,
    output: Folder = None,
    overwrite: Overwrite = False,
    correct: Annotated[bool, typer.Option("--correct", help="correct the ratings too, with confidence")] = False,
) -> None:
    """Rate the rows of INPUT, and with --correct correct the ratings; with -o, write them with scores."""
    inputs = present(inputs)
    if correct and config.correction == "none":
        raise ConfigError(
            ["correction: 'none' was given beside --correct; name posterior or simifeat, or leave one out"]
        )
    with folder_or_none(output, overwrite) as folder:
        from ..pipeline.run import score_rows

        kept, unrated, info = score_rows(inputs, config, corrected=correct)
        if folder is not None:
            write_rows_and_figures(folder, kept, unrated, info)
    show_input(info["input"])
    ratings = info["ratings"]
    head = ["score", *map(raw, ratings["names"]), "corrected" if correct and ratings["changed"] else "all together"]
    table(
        "Ratings",
        head,
        [[level, *(counts[level] for counts in ratings["raw"]), ratings["corrected"][level]] for level in range(6)],
    )
    for note in info["correction"].get("notes", []) if correct else []:
        out.print(escape(note))
    changed = f"{ratings['changed']:,} ratings changed" if correct else "none corrected (add --correct)"
    figures = f"{len(kept):,} rows rated, {changed}, {len(unrated):,} rows without a rating"
    out.print(figures + (f", in {output}" if output else ""))


def select(
    config: EntpConfig,
    inputs: Inputs = None,
    output: Folder = None,
    overwrite: Overwrite = False,
    method: Annotated[str, typer.Option(help="a baseline's name (--list), or package.module:attr")] = "",
    number: Annotated[int, typer.Option("-n", "--number", help="rows to select")] = 10_000,
    target: Annotated[str, typer.Option(help="rows with `messages` that less and rds select for")] = "",
    setting: Annotated[list[str] | None, typer.Option("--set", help="a setting of the method, as NAME=VALUE")] = None,
    names: Annotated[bool, typer.Option("--list", help="list the methods and leave")] = False,
) -> None:
    """Select rows of INPUT by one of the methods that ENTP is compared with; writes data, dropped rows, manifest."""
    if names:
        from ..baselines.registry import SELECTORS

        for name_, one in SELECTORS.items():
            needs = f"needs {one.needs}" if one.needs else ""
            settings = (
                f"settings (--set NAME=VALUE): {' '.join(f'{key}={value}' for key, value in one.settings.items())}"
                * bool(one.settings)
            )
            show_entry(
                name_, f"({one.paper})" if one.paper != "-" else "", *filter(None, (one.about, needs, settings))
            )
        return
    inputs, output = given(inputs, output)
    with output_folder(output, overwrite) as folder:
        from ..baselines.select import select_rows

        kept, dropped, figures = select_rows(inputs, method, number, config, settings_of(setting or []), target)
        write_rows_and_figures(folder, kept, dropped, figures)
    if "input" in figures:
        show_input(figures["input"])
    show_warnings(figures["warnings"])
    out.print(f"{len(kept):,} of {len(kept) + len(dropped):,} rows selected by {method}, in {escape(str(output))}")


def study(
    config: EntpConfig,
    inputs: Inputs = None,
    output: Folder = None,
    name: Annotated[str, typer.Option(help="the study's name, see --list")] = "",
    models: Annotated[str, typer.Option(help="models that `families` compares, with commas")] = "",
    seeds: Annotated[int, typer.Option(help="runs of each variant, --seed the first of their seeds")] = 1,
    names: Annotated[bool, typer.Option("--list", help="list the studies and leave")] = False,
) -> None:
    """Answer one question about the method on INPUT: a table, plots, and a paragraph computed from the figures."""
    from ..experiments.ablation.report import markdown
    from ..experiments.ablation.runner import STUDIES, run_study

    if names:
        for name_, one in STUDIES.items():
            show_entry(name_, "", one.about)
        return
    if inputs and not name:  # `entp study NAME INPUT` reads well; the option is for scripts
        name, inputs = inputs[0], inputs[1:]
    inputs, output = given(inputs, output)
    changed = {k: v for k, v in config.to_dict().items() if v != getattr(EntpConfig(), k) and k != "cache_dir"}
    flags = {k.replace("_", "-"): ",".join(map(str, v)) if isinstance(v, list) else v for k, v in changed.items()}
    flags |= {k: v for k, v in {"models": models, "seeds": seeds}.items() if v not in ("", 1)}
    told = [Path(source).name for source in inputs]  # where they lie is of no use to a reader
    parts = [part for k, v in flags.items() for part in (f"--{k}", f"{v}")]
    command = shlex.join(["entp", "study", name, *told, *parts])
    result = run_study(name, inputs, config, Path(output), [m for m in models.split(",") if m], command, seeds)
    out.print(markdown(result["lines"]), markup=False, soft_wrap=True)
    out.print(escape(result["finding"]), soft_wrap=True)
    out.print(f"\nTable, report and figures are in [bold]{escape(str(output))}[/bold].")


def report(folder: Annotated[Path, typer.Argument(help="folder that `entp build` made")]) -> None:
    """Draw the HTML report of a finished run again."""
    from ..reporting.report import write_report

    if not (folder / "manifest.json").is_file():
        raise InputError(f"{folder}: no manifest.json there; give a folder that `entp build` made")
    out.print(f"{write_report(folder)}")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (build, rate, select, study):
        shown, examples = HELP[command.__name__]
        app.command(command.__name__, context_settings=LENIENT)(with_settings(command, shown.split(), examples))
    app.command()(report)
