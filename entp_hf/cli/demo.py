"""`make demo`: the whole method on the shipped pool with the embedded models, in minutes on two cores."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from ..config import SMOLLM2, WRITER, EntpConfig
from ..data import pool_files
from ..errors import EntpError
from ..evaluation.evaluate import evaluate, heldout_loss, heldout_rows
from ..io.output_folder import OutputFolder
from ..io.reader import read_rows
from ..llm.factory import local_chat
from ..models.fetch import fetch
from ..models.known import KNOWN, here
from ..pipeline.run import purge_rows, run
from ..purge.accuracy import accuracy
from ..training.options import SFTOptions
from ..training.sft import train
from .console import err, out, show_summary, shown, table

# Small enough for two cores; everything else is as for any other run.
DEMO = EntpConfig(
    model=SMOLLM2, max_groups=12, rounds=2, retries=1, max_new_tokens=192, direct_answer=True, emit_preference=True
)
# With the writer, meant for ten minutes on two cores with bf16: one round, its groups in one batch, no direct answers
# (most of them would be cut at their token limit, and so not be used).
WRITES: dict[str, Any] = {
    "model": WRITER,
    "rater_model": SMOLLM2,
    "max_groups": 14,
    "rounds": 1,
    "max_new_tokens": 256,
    "direct_answer": False,
    # Rows related by what they ask, request and answer in two steps, and rows without a group answered anew: what a
    # model of this size can do (docs/fusion.md).
    "group_by": "request",
    "group_neighbors": 2,
    "prompt_profile": "small",
    "cure": True,
}
TRAINING = SFTOptions(max_steps=20, batch_size=4, max_length=256, learning_rate=1e-4, logging_steps=5)


def with_writer(config: EntpConfig) -> tuple[EntpConfig, SFTOptions, list[str]]:
    """`config` with the writer as its fusion model, fetched and converted where it isn't yet; the training; warnings.

    Where it can't be had (no network, no room, too little memory) the rows are composed, and a warning says so.
    """
    cache = str(config.cache_path())
    writer = dataclasses.replace(config, **WRITES)
    if here(WRITER, cache) is None:
        size = KNOWN[WRITER].bytes / 1e9
        out.print(
            f"Fetching the model that writes the fusions: {WRITER}, {size:.1f} GB, once. To do without: make demo "
            "WRITER=no (entp demo --no-writer)",
            markup=False,
            soft_wrap=True,
        )
    try:
        fetch(WRITER, cache)
        out.print("Loading it (the first time it is converted, which takes a minute) ...")
        local_chat(writer, WRITER).engine()
    except EntpError as error:
        why = f"{error}\nThe demo goes on without it: rows are composed, none is written by a model."
        err.print(f"[yellow]warning:[/yellow] {escape(why)}", soft_wrap=True)
        return dataclasses.replace(config, fuser="mosaic"), TRAINING, [f"no writer: {str(error).splitlines()[0]}"]
    return writer, TRAINING, []


def run_demo(
    output: Path,
    overwrite: bool = False,
    config: EntpConfig = DEMO,
    training: SFTOptions = TRAINING,
    warnings: Sequence[str] = (),
) -> Any:
    """Run everything and write it to `output`; returns the manifest.

    Args:
        output: the folder to be made
        overwrite: replace one that an earlier run made
        config: of the run
        training: of the LoRA adapter
        warnings: added to the manifest's
    """
    begun = time.perf_counter()
    with OutputFolder(output, overwrite) as folder:
        result = run(pool_files(), config)
        result.manifest["warnings"] += list(warnings)
        result.manifest["purge_accuracy"] = purge_accuracy(config)
        options = dataclasses.replace(training, output_dir=str(folder / "adapter"), seed=config.seed)
        result.manifest["eval"] = {"before": measure(options.model, None, config)}
        result.manifest["train"] = train(options, result.kept)
        result.manifest["eval"]["after"] = measure(options.model, str(folder / "adapter"), config)
        result.manifest["train"]["adapter"] = "adapter"
        result.manifest["seconds"] = round(time.perf_counter() - begun, 1)
        result.write(folder)
    show_summary(result.manifest)
    show_learning(result.manifest)
    minutes = shown(round(result.manifest["seconds"] / 60, 1))
    out.print(f"\n{minutes} minutes. Everything is in [bold]{output}[/bold]; open report.html.")
    return result.manifest


def measure(model: str, adapter: str | None, config: EntpConfig) -> dict[str, dict[str, float]]:
    """Loss on the held-out good rows and accuracy on our quiz, as {task: {metric: value}}."""
    cache = str(config.cache_path())
    heldout = heldout_loss(model, adapter, heldout_rows(), device=config.device, cache_dir=cache)
    return {"heldout": heldout, **evaluate(model, adapter, ["entp_quiz"], device=config.device, cache_dir=cache)}


def purge_accuracy(config: EntpConfig) -> dict[str, Any]:
    """Precision and recall of the purge on the whole shipped pool, against labels that the pipeline never reads."""
    rows, _ = read_rows(pool_files(), config)
    kept, dropped, _ = purge_rows(rows, config)
    known = {row["id"]: row for part in (kept, dropped) for row in part}
    labels = [json.loads(text).get("noise") for text in rows["original"]]
    if any(label is None for label in labels):
        raise EntpError("the shipped pool has rows without the column 'noise'")
    return accuracy([known[key] for key in rows["id"]], labels)


def show_learning(manifest: dict[str, Any]) -> None:
    """The purge's accuracy, and what the fine-tune changed."""
    found = manifest["purge_accuracy"]
    table(
        "Purge against the pool's labels",
        ["", "share"],
        [["precision", found["precision"]], ["recall", found["recall"]]],
    )
    before, after = manifest["eval"]["before"], manifest["eval"]["after"]
    rows = [
        ["loss on held-out good rows", before["heldout"]["loss"], after["heldout"]["loss"], None],
        *(
            [
                f"quiz, {name}",
                before["entp_quiz"][name],
                after["entp_quiz"][name],
                after["entp_quiz"].get(f"{name}_stderr"),
            ]
            for name in ("acc", "acc_norm")
        ),
    ]
    train = manifest["train"]
    table(
        f"Before and after {train['steps']} steps of LoRA on {train['rows']} rows",
        ["", "before", "after", "std. error"],
        rows,
    )
