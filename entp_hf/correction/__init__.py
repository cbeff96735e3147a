"""Stage 2: corrected scores and the low-quality pool."""

from .correct import correct_ratings
from .local_prior import lengths
from .task import CorrectedRatings

__all__ = ["CorrectedRatings", "correct_ratings", "lengths"]
