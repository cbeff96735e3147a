"""Callbacks for any `transformers.Trainer`: benchmarks, samples, early stop, a report on the data, the model card.

from entp_hf.trainer_callbacks import BenchmarkCallback

BenchmarkCallback(tasks=["entp_quiz"], every_steps=100).add_to(trainer)
"""

from __future__ import annotations

from ..errors import require

require("transformers", "models", "a trainer callback")

from .benchmark import BenchmarkCallback  # noqa: E402  (after the check, whose error names the pip line)
from .dataset_report import DatasetReportCallback  # noqa: E402
from .early_stop import StopOnBenchmarkCallback  # noqa: E402
from .generations import SampleGenerationsCallback  # noqa: E402
from .keep_model import KeepModel  # noqa: E402
from .loss_bar import LossBarCallback  # noqa: E402
from .model_card import ModelCardCallback  # noqa: E402

__all__ = [
    "BenchmarkCallback",
    "DatasetReportCallback",
    "KeepModel",
    "LossBarCallback",
    "ModelCardCallback",
    "SampleGenerationsCallback",
    "StopOnBenchmarkCallback",
]
