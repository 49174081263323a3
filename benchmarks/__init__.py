"""Measurements of the figures that zeldo is held to.

`python -m benchmarks` from the root of the repository runs all, and `python -m benchmarks.bench_speed` one of them.
"""
