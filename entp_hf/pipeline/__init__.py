"""The stages in the paper's order, the dry run, the result, its publication."""
