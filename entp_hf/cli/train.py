"""`entp train`, `entp eval`, `entp compare`: from rows to a model, and from models to figures."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..errors import InputError
from ..io.paths import is_hub_name, is_remote
from ..training.options import SFTOptions
from .arguments import Folder, Overwrite, settings_of
from .console import out, table
from .options import LENIENT, with_options


def train(
    options: SFTOptions,
    dataset: Annotated[str, typer.Argument(help="folder of `entp build`, Parquet or JSONL file, or Hub id")],
    output: Folder = None,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a chat model on DATASET with TRL (LoRA by default), on the assistant's tokens only."""
    if output is None:
        raise InputError("no output folder given: add -o FOLDER")
    if not is_remote(dataset) and not is_hub_name(dataset) and not Path(dataset).exists():
        raise InputError(f"{dataset}: no such file or folder")
    from ..training.sft import train as run_training

    options = dataclasses.replace(options, dataset=dataset, output_dir=str(output), overwrite=overwrite)
    figures = run_training(options)
    table("Training", ["", ""], [[key.replace("_", " "), value] for key, value in figures.items()])
    out.print(f"Adapter, tokenizer, training.json and model card are in [bold]{escape(str(output))}[/bold].")


def evaluation(
    model: Annotated[str, typer.Argument(help="Hub id or folder")],
    adapter: Annotated[str | None, typer.Option(help="folder of a LoRA adapter")] = None,
    tasks: Annotated[
        str,
        typer.Option(help="entp_quiz, heldout (ours), mmlu, truthfulqa, gsm8k, bbh, tydiqa, lm-eval's; with commas"),
    ] = "entp_quiz,heldout",
    limit: Annotated[int | None, typer.Option(help="only the first items of each task")] = None,
    num_fewshot: Annotated[int | None, typer.Option(help="shots in place of the tasks' own: 5 for MMLU, say")] = None,
    benchmark_dir: Annotated[str, typer.Option(help="folder with the benchmarks' items; else from the Hub")] = "",
    against: Annotated[Path | None, typer.Option(help="an earlier -o file: paired differences to it")] = None,
    batch_size: Annotated[int, typer.Option(help="items at once")] = 8,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="also write figures and items as JSON")] = None,
) -> None:
    """Evaluate MODEL: our quiz and held-out loss, the paper's five benchmarks, or other tasks of lm-eval."""
    from ..evaluation.benchmarks import parts_of
    from ..evaluation.suite import EvaluationSuite, differences, measure, read_measured

    before = read_measured(against) if against is not None else None
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    shots = {} if num_fewshot is None else dict.fromkeys(names, num_fewshot)
    found = measure(
        model, adapter, EvaluationSuite(names, limit, benchmark_dir, batch_size, device, num_fewshot=shots)
    )
    hidden = parts_of(names, list(found.metrics))
    for task, metrics in found.metrics.items():
        if task not in hidden:
            table(task, ["metric", "value"], list(metrics.items()))
    if output is not None:
        output.write_text(json.dumps(dataclasses.asdict(found), indent=1) + "\n", encoding="utf-8")
    if before is not None:
        for sentence in differences(before, found, str(against), "this model"):
            out.print(escape(sentence), soft_wrap=True)


def compare(
    config: Annotated[str, typer.Argument(help="YAML file, or a shipped experiment: cpu, small, paper")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder; the same command again goes on in it")],
    data_dir: Annotated[str, typer.Option(help="where the experiment's files are")] = ".",
    given: Annotated[list[str] | None, typer.Option("--set", help="a key of the YAML anew: KEY=YAML")] = None,
) -> None:
    """Run an experiment: every arm through selection, fine-tuning and evaluation, into one table."""
    import yaml

    from ..experiments.compare import compare as run
    from ..experiments.compare.config import load_experiment
    from ..experiments.compare.table import header, markdown, verdict

    logging.getLogger("entp_hf.experiments.compare").setLevel(logging.INFO)
    over = {name: yaml.safe_load(value) for name, value in settings_of(given or []).items()}
    experiment = load_experiment(config, {**over, "data_dir": data_dir})
    command = shlex.join(["entp", "compare", config, *(part for entry in given or [] for part in ("--set", entry))])
    lines = run(experiment, output, command)
    rows = [[line.arm, line.rows, *(round(line.cells[task].mean, 4) for task in header(lines))] for line in lines]
    table("Means", ["arm", "rows", *header(lines)], rows)
    out.print(markdown(lines, experiment.reference), markup=False, soft_wrap=True)
    out.print(escape(verdict(lines, experiment.reference)), soft_wrap=True)
    out.print(f"Table, report and figures are in [bold]{escape(str(output))}[/bold].")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    own = ("dataset", "output_dir", "overwrite")
    app.command("train", context_settings=LENIENT)(with_options(train, SFTOptions, own))
    app.command("eval")(evaluation)
    app.command()(compare)
