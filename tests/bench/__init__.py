"""Measurements against baselines taken in the same run; `python -m tests.bench` writes docs/benchmarks.md."""
