"""Rows in, folders out: readers, formats, file systems, the output folder, the run record, the SQLite file."""
