"""D1-D4: exact, prompt, near and semantic duplicates."""
