"""Models in this process: find, load, chat template, losses."""
