"""Symbolic purge."""
