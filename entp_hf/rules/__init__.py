"""The symbolic rules: a row in, findings out. One file per kind of defect; no configuration, no dataset, no files."""
