"""Stage 4: fusion groups, fusion by an LLM, composition without one, the hybrid dataset."""
