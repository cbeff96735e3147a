"""Vectors: encode, search, cluster, measure diversity."""
