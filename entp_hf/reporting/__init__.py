"""A run as a page: sections, plots, formatting. Reads the run record and rows; imports no stage."""
