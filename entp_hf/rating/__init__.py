"""Stage 1: ratings 0..5 by an LLM, a local model's logits, or columns."""
