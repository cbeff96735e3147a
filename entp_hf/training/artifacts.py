"""What a training leaves beside the weights: its record, the model's card made of it, and the copy on the Hub."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..io.manifest import Manifest

logger = logging.getLogger(__name__)
RECORD, CARD, MANIFEST = "training.json", "README.md", "dataset_manifest.json"


def write_record(folder: Path, record: Mapping[str, Any], model_path: str) -> None:
    """training.json, a copy of the dataset's manifest where it has one, and README.md.

    A README.md that is there and not one of ours stays. `model_path` is where the base model was loaded from: its own
    card, if one lies there, says its licence. A card that can't be written is logged: the model is saved all the same.
    """
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    card = folder / CARD
    if card.exists() and not is_ours(card):
        return
    try:
        card.write_text(_card(folder, record, model_path), encoding="utf-8")
    except Exception:
        logger.exception("%s could not be written; the model is saved all the same", card)


def is_ours(card: Path) -> bool:
    """Whether a README.md is one that this package wrote."""
    return "entp" in (_front_matter(card).get("tags") or [])


def _front_matter(card: Path) -> dict[str, Any]:
    from huggingface_hub import ModelCard

    try:
        found: dict[str, Any] = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict()
    except (OSError, ValueError):  # no front matter that could be read
        return {}
    return found


def _card(folder: Path, record: Mapping[str, Any], model_path: str) -> str:
    from ..cards import model_card
    from ..cards.dataset import source_licences

    source = str(record["options"]["dataset"])
    place, manifest = Path(source), Manifest({})
    if source and place.is_dir() and (place / "manifest.json").is_file():
        shutil.copyfile(place / "manifest.json", folder / MANIFEST)
        manifest = Manifest.load(folder / MANIFEST)
    base = _front_matter(Path(model_path) / CARD).get("license") if (Path(model_path) / CARD).is_file() else None
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
