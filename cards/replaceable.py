"""Tell a model card that a tool drafted from one that a person wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS = "entp"  # tag of cards that this package writes
STUB = "generated_from_trainer"  # tag of the stubs that transformers and TRL write
DRAFT = "# Model Card for Model ID"  # heading of PEFT's draft, which has nothing but headings


def front_matter(card: Path) -> dict[str, Any]:
    """The metadata of a card; {} where there is none that can be read."""
    from huggingface_hub import ModelCard

    try:
        found: dict[str, Any] = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict()
    except (OSError, ValueError):
        return {}
    return found


def is_ours(card: Path) -> bool:
    """Whether a README.md is one that this package wrote."""
    return OURS in (front_matter(card).get("tags") or [])


def is_replaceable(card: Path) -> bool:
    """Whether a README.md may be written over: absent, of this package, or a stub of transformers, TRL or PEFT."""
    if not card.exists() or {OURS, STUB} & set(front_matter(card).get("tags") or []):
        return True
    return DRAFT in card.read_text(encoding="utf-8", errors="replace")
