"""The parts of benchmarks/quality.py: the rows, the rival, and the comparison."""
