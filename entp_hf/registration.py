"""Teaches `datasets` the name "entp", so that `load_dataset("entp", ...)` finds our builder."""

from __future__ import annotations

from datasets import packaged_modules

from .execution.source_hash import source_hash

MODULE = "entp_hf.builders.entp"


def register() -> None:
    """Add the builder to datasets' packaged modules: it has had no plugins, and no loading scripts since 4.0.

    A private dict, the same from datasets 2.21 to 5.2. The hash makes datasets build again when our code changes.
    """
    packaged_modules._PACKAGED_DATASETS_MODULES["entp"] = (MODULE, source_hash())
