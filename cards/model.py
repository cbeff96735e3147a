"""Model card: base model, training data, training settings and scores of a fine-tuned model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined,unused-ignore]

from ..reporting.formatting import clean, duration, num, squash
from ..reporting.sections.training import measures
from ..schema import Origin, origin_description
from .licences import combine
from .markdown import inline, render

RECIPE = {
    "rows": "rows", "steps": "optimiser steps", "loss_first": "first loss", "loss_last": "last loss",
    "trainable_parameters": "trained parameters", "seconds": "time",
}  # fmt: skip
OPTIONS = ("epochs", "batch_size", "gradient_accumulation", "learning_rate", "scheduler", "max_length", "lora_r",
           "lora_alpha", "seed")  # fmt: skip


def model_card(
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None = None,
    name: str = "",
    dataset: str = "",
    licences: Sequence[str] = (),
    manifest: Mapping[str, Any] | None = None,
    manifest_link: str = "",
) -> str:
    """README.md of a model that `entp train` made, from its training.json; figures that are absent are left out.

    `evaluation` is {before, after} as the manifest's `eval`, or the figures of `entp eval` alone. `dataset` is the
    Hub's name of what it was trained on; `licences` are those of base model and data, "" for one that is not known.
    `manifest` is the dataset's, and `manifest_link` where a reader finds it.
    """
    base = str(training["model"])
    found = combine(licences)
    rows = _measures(evaluation or {})
    known = _is_name(base)
    base = base if known else Path(base).name  # where it lay on that machine tells a reader nothing
    data = ModelCardData(
        base_model=base if known else None,
        model_name=squash(name, 100) or f"{base} fine-tuned",
        datasets=[dataset] if dataset else None,
        library_name="peft" if training.get("adapter") else "transformers",
        pipeline_tag="text-generation",
        license=found.id,
        license_name=found.name or None,
        tags=["entp", "sft", "trl"],
        eval_results=[_result(row) for row in rows] or None,
    )
    body = render(
        "model.md",
        title=inline(name or f"{base} fine-tuned"),
        made=_made(manifest or {}),
        manifest_link=manifest_link,
        items=_items(evaluation or {}),
        base=base,
        adapter=bool(training.get("adapter")),
        dataset=dataset,
        recipe=_recipe(training),
        measures=rows,
        both=any(row["before"] is not None for row in rows),
        terms=found.terms,
    )
    card: str = clean(f"---\n{data.to_yaml()}\n---\n\n{body}")
    return card


def _is_name(text: str) -> bool:
    """Whether it may be a repository's name on the Hub, and is no folder here."""
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return not Path(text).is_dir()


def _made(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the card says of how the dataset was made: {rows, method, origins, merged}; {} where it is not known."""
    if selection := manifest.get("selection"):
        return {"rows": selection.get("n"), "method": selection.get("method"), "origins": [], "merged": False}
    if not (dataset := manifest.get("dataset")):
        return {}
    counts = dataset.get("by_origin") or {}
    origins = [(origin_description(origin), rows) for origin, rows in counts.items()]
    return {"rows": dataset.get("rows"), "method": "", "origins": origins, "merged": bool(counts.get(Origin.FUSED))}


def _items(evaluation: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(task, items) of an evaluation."""
    after = evaluation.get("after", evaluation)
    return [(task, found["n"]) for task, found in after.items() if isinstance(found, Mapping) and found.get("n")]


def _recipe(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = [
        (label, duration(training[key]) if key == "seconds" else num(training[key]))
        for key, label in RECIPE.items()
        if training.get(key) is not None
    ]
    options = training.get("options") or {}
    kept = [key for key in OPTIONS if key != "epochs" or not options.get("max_steps")]  # which go before epochs
    return figures + [(key.replace("_", " "), num(options[key])) for key in kept if options.get(key) is not None]


def _measures(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    after = evaluation.get("after", evaluation if "before" not in evaluation else {})
    before = {name: value for name, value, _ in measures(evaluation.get("before") or {})}
    return [
        {"name": name, "before": before.get(name), "after": value, "error": error}
        for name, value, error in measures(after)
    ]


def _result(row: Mapping[str, Any]) -> EvalResult:
    task, _, metric = row["name"].rpartition(" · ")
    config = f"standard error {row['error']:g}" if row["error"] is not None else None
    return EvalResult(
        task_type="text-generation",
        dataset_type=task or metric,
        dataset_name=task or metric,
        metric_type=metric,
        metric_value=row["after"],
        metric_name=metric,
        metric_config=config,
    )
