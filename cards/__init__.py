"""Cards for the Hub, filled from what a run recorded."""

from __future__ import annotations

from .dataset import dataset_card

__all__ = ["dataset_card"]
