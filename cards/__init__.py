"""Cards for the Hub, filled from what a run recorded."""

from __future__ import annotations

from .dataset import dataset_card
from .model import model_card
from .plots import card_plots, write_plots
from .space import space_card

__all__ = ["card_plots", "dataset_card", "model_card", "space_card", "write_plots"]
