"""Benchmarks and the servers that they start."""
