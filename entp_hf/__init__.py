"""Turn the low-quality rows of an instruction-tuning pool into training data (ENTP, arXiv 2510.23160)."""

__version__ = "0.1.0"
