"""K1, K2: rows that hold items of benchmarks."""
