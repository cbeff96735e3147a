"""Turn the low-quality rows of an instruction-tuning pool into training data (ENTP, arXiv 2510.23160)."""

import importlib
from typing import TYPE_CHECKING, Any

from .builders.registration import register

if TYPE_CHECKING:
    from datasets import load_dataset

    from .config import EntpConfig
    from .correction.correct import correct_ratings
    from .correction.task import CorrectedRatings
    from .embedding.embed import Embed
    from .errors import EntpError
    from .gate.gate import Gate
    from .pipeline.result import Result
    from .pipeline.run import run
    from .purge.purge import Purge
    from .rating.rate import Rate

__version__ = "0.1.0"

__all__ = [
    "CorrectedRatings",
    "Embed",
    "EntpConfig",
    "EntpError",
    "Gate",
    "Purge",
    "Rate",
    "Result",
    "correct_ratings",
    "load_dataset",
    "run",
]

# Imported on first use (PEP 562), so that `import entp_hf` and `entp --help` are quick.
_HOME = {
    "CorrectedRatings": "correction",
    "Embed": "embedding.embed",
    "EntpConfig": "config",
    "EntpError": "errors",
    "Gate": "gate.gate",
    "Purge": "purge",
    "Rate": "rating.rate",
    "Result": "pipeline.run",
    "correct_ratings": "correction",
    "run": "pipeline.run",
}


def __getattr__(name: str) -> Any:
    if name == "load_dataset":
        return importlib.import_module("datasets").load_dataset
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register()
