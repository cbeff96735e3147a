"""One module for the report's section of each stage."""
