"""Stage 2: corrected scores and the low-quality pool."""

from .correct import CorrectedRatings, correct_ratings
from .local_prior import lengths

__all__ = ["CorrectedRatings", "correct_ratings", "lengths"]
