"""Callbacks for any `transformers.Trainer`: benchmarks and sample generations while a model trains.

from entp_hf.trainer_callbacks import BenchmarkCallback

trainer.add_callback(BenchmarkCallback(tasks=["entp_quiz"], every_steps=100))
"""

from __future__ import annotations

from ..errors import require

require("transformers", "models", "a trainer callback")

from .benchmark import BenchmarkCallback  # noqa: E402  (after the check, whose error names the pip line)
from .generations import SampleGenerationsCallback  # noqa: E402
from .progress import LossBarCallback  # noqa: E402

__all__ = ["BenchmarkCallback", "LossBarCallback", "SampleGenerationsCallback"]
