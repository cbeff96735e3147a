"""Runs of the app in processes of their own."""
