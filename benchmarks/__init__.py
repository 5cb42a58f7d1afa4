"""Measurements: each script writes JSON to benchmarks/results and prints its ratios."""
