"""`entp train`, `entp eval`, `entp compare`: from rows to a model, and from models to figures."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import logging
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import InputError
from ..io.paths import is_hub_name, is_remote
from ..training.options import SFTOptions, trl_name
from .arguments import Folder, Overwrite, settings_of
from .console import out, table
from .options import LENIENT, Command, flag, off_flag


def train(**values: Any) -> None:
    """Fine-tune a chat model on DATASET with TRL (LoRA by default), on the assistant's tokens only.

    Every field of TRL's SFTConfig and ModelConfig is an option too, with _ or -: --optim, --weight_decay,
    --save_total_limit, --attn_implementation, ... (docs/trl.md).
    """
    words = [*(values["words"] or []), *values["context"].args]
    if words and not words[0].startswith("-"):
        check_dataset(words[0])  # before anything heavy is imported
    given = {name: value for name, value in values.items() if name in OPTIONS and value is not None}
    tokens = [f"--{name}={value}" for name, value in given.items()]
    tokens += [f"--{name}=False" for name in OPTIONS if values.get(f"no_{name}")]
    if values["output"] is not None:
        tokens.append(f"--output_dir={values['output']}")
    if values["overwrite"]:
        tokens.append("--overwrite")
    if not words and not values["config_file"]:
        raise InputError("no dataset given: name a folder of entp build, a Parquet or JSONL file, or a Hub id")
    from ..training.arguments import read_arguments

    options = read_arguments([*words, *tokens], values["config_file"])
    if not options.dataset:
        raise InputError("no dataset given: name a folder of entp build, a Parquet or JSONL file, or a Hub id")
    check_dataset(options.dataset)
    if not (values["output"] or any("output_dir" in w or "output-dir" in w for w in words) or values["config_file"]):
        raise InputError("no output folder given: add -o FOLDER")
    from ..training.sft import train as run_training

    figures = run_training(options)
    if os.environ.get("RANK", "0") != "0":  # of several processes the main one tells
        return
    table("Training", ["", ""], [[key.replace("_", " "), value] for key, value in figures.items()])
    trained = "Model" if options.full else "Adapter"
    files = "tokenizer, training.json" + (" and model card" if figures["card"] else "")
    out.print(f"{trained}, {files} are in [bold]{escape(options.output_dir)}[/bold].")
    if not figures["card"]:
        out.print("No model card was written: README.md there is somebody's own, or see the log above.")


OPTIONS = {
    trl_name(field): field
    for field in dataclasses.fields(SFTOptions)
    if field.name not in ("dataset", "output_dir", "overwrite", "trl")
}


def check_dataset(dataset: str) -> None:
    """InputError for a dataset that is neither a file or folder nor a name of the Hub."""
    if not is_remote(dataset) and not is_hub_name(dataset) and not Path(dataset).exists():
        raise InputError(f"{dataset}: no such file or folder")


def train_command() -> Command:
    """`train` with a signature that holds a flag for each of OPTIONS, under TRL's names."""
    text = "YAML file of settings, as TrlParser reads it; flags win over it"
    dataset = typer.Argument(metavar="DATASET", help="folder of `entp build`, Parquet or JSONL file, or Hub id")
    config = typer.Option("--config", help=text, exists=True, dir_okay=False)
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [
        inspect.Parameter("words", keyword, default=None, annotation=Annotated[list[str] | None, dataset]),
        inspect.Parameter("output", keyword, default=None, annotation=Folder),
        inspect.Parameter("overwrite", keyword, default=False, annotation=Overwrite),
        inspect.Parameter("config_file", keyword, default=None, annotation=Annotated[Path | None, config]),
    ]
    flags = []
    for name, field in OPTIONS.items():
        named = copy.copy(field)
        named.name = name
        flags.append(flag(named, "Training", shown=True))
        if isinstance(field.default, bool):
            flags.append(off_flag(f"no_{name}"))
    context = inspect.Parameter("context", keyword, annotation=typer.Context)

    def run(**values: Any) -> None:
        train(**values)

    run.__doc__, run.__name__ = train.__doc__, "train"
    run.__signature__ = inspect.Signature([*own, *flags, context])  # type: ignore[attr-defined]
    return run


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
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="also write figures, items and settings as JSON, and lm-eval's own form"),
    ] = None,
    include_path: Annotated[str, typer.Option(help="folder with further tasks of lm-eval's form")] = "",
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="render prompts as a user's turn")
    ] = False,
    gen_kwargs: Annotated[str, typer.Option(help="generation arguments, as temperature=0.7,top_p=0.9")] = "",
) -> None:
    """Evaluate MODEL: our quiz and held-out loss, the paper's five benchmarks, or other tasks of lm-eval."""
    from ..evaluation.benchmarks import parts_of
    from ..evaluation.suite import (
        EvaluationSuite,
        check_suite,
        differences,
        differing,
        differing_settings,
        harness_results,
        measure,
        read_measured,
    )

    before = read_measured(against) if against is not None else None
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    suite = EvaluationSuite(
        names,
        limit,
        benchmark_dir,
        batch_size,
        device,
        num_fewshot={} if num_fewshot is None else dict.fromkeys(names, num_fewshot),
        gen_kwargs=gen_kwargs or None,
        apply_chat_template=apply_chat_template,
        include_path=include_path,
    )
    check_suite(suite)
    if before is not None and (problems := differing_settings(before, suite)):
        raise InputError(f"--against {against}: is of other settings, so items can't be paired: {'; '.join(problems)}")
    found = measure(model, adapter, suite)
    hidden = parts_of(names, list(found.metrics))
    for task, metrics in found.metrics.items():
        if task not in hidden:
            table(task, ["metric", "value"], list(metrics.items()))
    if output is not None:
        values = {name: value for name, value in dataclasses.asdict(found).items() if name != "harness"}
        output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        if found.harness:
            harness = output.with_name(f"{output.stem}.lm_eval.json")
            harness.write_text(json.dumps(harness_results(found), indent=1) + "\n", encoding="utf-8")
    if before is not None:
        if problems := differing(before, found):
            raise InputError(f"--against {against}: can't be compared: {'; '.join(problems)}")
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
    app.command("train", context_settings=LENIENT)(train_command())
    app.command("eval")(evaluation)
    app.command()(compare)
