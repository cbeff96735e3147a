"""Register the builder with `datasets`, so that `load_dataset("entp", ...)` finds it."""

from __future__ import annotations

from types import ModuleType

import wrapt

MODULE = "entp_hf.builders.entp"


def register() -> None:
    """Add the builder to datasets' packaged modules now if datasets is imported, else when it is.

    So `import entp_hf` does not import datasets, and the order of the two imports does not matter.
    """
    wrapt.register_post_import_hook(_add, "datasets.packaged_modules")


def _add(packaged_modules: ModuleType) -> None:
    """Add the builder to the private dict that datasets looks names up in.

    datasets has had no plugins, and no loading scripts since 4.0; the dict is the same from datasets 2.21 to 5.2. The
    hash of our sources makes datasets build again when the code changes.
    """
    from ..execution.source_hash import source_hash

    packaged_modules._PACKAGED_DATASETS_MODULES["entp"] = (MODULE, source_hash())
