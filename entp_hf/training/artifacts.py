"""Training record, model card and upload."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cards.replaceable import front_matter, is_replaceable
from ..errors import OutputError
from ..io.manifest import Manifest

logger = logging.getLogger(__name__)
RECORD, CARD, MANIFEST = "training.json", "README.md", "dataset_manifest.json"


def write_record(folder: Path, record: Mapping[str, Any], model_path: str) -> bool:
    """Write training.json, a copy of the dataset's manifest where it has one, and the model card README.md.

    Args:
        folder: output folder of the training.
        record: contents of training.json.
        model_path: folder that the base model was loaded from; the licence comes from its card, if one is there.

    Returns whether README.md is the card of this training. A README.md that a person wrote stays; an error is logged,
    for the model is saved all the same.
    """
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    card = folder / CARD
    if not is_replaceable(card):
        logger.warning("%s is not of this package or TRL and stays; no model card was written", card)
        return False
    try:
        card.write_text(_card(folder, record, model_path), encoding="utf-8")
    except Exception:
        logger.exception("%s could not be written; the model is saved all the same", card)
        return False
    return True


def _card(folder: Path, record: Mapping[str, Any], model_path: str) -> str:
    from ..cards import model_card
    from ..cards.dataset import source_licences

    source = str(record["options"]["dataset"])
    place, manifest = Path(source), Manifest({})
    if source and place.is_dir() and (place / "manifest.json").is_file():
        shutil.copyfile(place / "manifest.json", folder / MANIFEST)
        manifest = Manifest.load(folder / MANIFEST)
    base = front_matter(Path(model_path) / CARD).get("license") if (Path(model_path) / CARD).is_file() else None
    licences: Sequence[str] = [base or "", *(source_licences(manifest) or [""])]
    on_hub = source if source and not place.exists() else ""
    link = MANIFEST if manifest else ""
    name = str(record["options"]["push_to"])
    text: str = model_card(record, record["evaluation"], name, on_hub, licences, manifest, link)
    return text


def push(folder: str, repository: str, private: bool) -> None:
    """Upload an output folder, checkpoints left out, to a model repository of the Hub; made if it is not there.

    The Hub checks the card's metadata before it takes the files. Raises OutputError that says what the Hub answered;
    the folder is whole all the same.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repository, private=private, exist_ok=True)
        HfApi().upload_folder(
            repo_id=repository, folder_path=folder, ignore_patterns=["checkpoint-*"], commit_message="Fine-tuned model"
        )
    except Exception as error:  # the Hub client's transport errors have no common base across its versions
        raise OutputError(
            f"push_to {repository}: {type(error).__name__}: {error}; {folder} holds the model"
        ) from error
