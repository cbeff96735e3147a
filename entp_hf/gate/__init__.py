"""The check that every fused row must pass."""
