"""The figures that zeldo is held to, measured: `python -m benchmarks` from the root of the repository, or one of them alone,
`python -m benchmarks.bench_speed`."""
