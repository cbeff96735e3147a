"""Space card: the front matter that the Hub builds a Space by, and the text for a visitor."""

from __future__ import annotations

import yaml
from huggingface_hub import SpaceCard

from .markdown import render

SCOPES = ["read-repos", "write-repos", "manage-repos", "inference-api"]


def space_card(gradio_version: str, title: str = "ENTP") -> str:
    """README.md of the Space, with the Gradio that the app was tried with."""
    facts = {
        "title": title,
        "emoji": "🧵",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": gradio_version,
        "python_version": "3.11",
        "app_file": "app.py",
        "pinned": False,
        "license": "apache-2.0",
        "short_description": "Turn low-quality SFT rows into training data",
        "hf_oauth": True,
        "hf_oauth_scopes": SCOPES,
        "tags": ["entp", "sft", "datasets", "data-curation"],
    }
    head = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    card = SpaceCard(f"---\n{head}---\n\n{render('space.md', title=title)}")
    return f"{card}\n"
