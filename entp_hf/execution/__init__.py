"""How work runs over rows: a stage and its cache key, tables on disk, Ray, progress, usage counts."""
