"""`entp train` and `entp eval`: from rows to a model, and from a model to figures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..config import EntpConfig
from ..errors import InputError
from ..knobs import LENIENT, with_options
from ..screen import out, table
from ..sft import SFTOptions
from .shared import Folder, Overwrite


def train(
    options: SFTOptions,
    dataset: Annotated[str, typer.Argument(help="folder of `entp build`, Parquet or JSONL file, or Hub id")],
    output: Folder = None,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a chat model on DATASET with TRL (LoRA by default), on the assistant's tokens only."""
    from ..sft import train as run_training

    if output is None:
        raise InputError("no output folder given: add -o FOLDER")
    options = dataclasses.replace(options, dataset=dataset, output_dir=str(output), overwrite=overwrite)
    figures = run_training(options)
    table("Training", ["", ""], [[key.replace("_", " "), value] for key, value in figures.items()])
    out.print(f"Adapter, tokenizer and training.json are in [bold]{escape(str(output))}[/bold].")


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
    from ..evals import evaluate, heldout_loss

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


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    own = ("dataset", "output_dir", "overwrite")
    app.command("train", context_settings=LENIENT)(with_options(train, SFTOptions, own))
    app.command("eval")(evaluation)
