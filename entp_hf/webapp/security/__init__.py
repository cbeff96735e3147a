"""Limits, checks and sign-in of a hosted app."""
