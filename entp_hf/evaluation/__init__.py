"""A model measured: tasks, held-out loss, paired comparison."""
