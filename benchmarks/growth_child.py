"""One size of bench_cost's growth in a process of its own: `python -m benchmarks.growth_child N`.

It prints a line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.inputs import realisation
from benchmarks.machine import measure
from zeldo.engines.registry import engine


def main(n: int) -> None:
    run = engine("cola", mesh_factor=1).run
    list(run(realisation(16), [0.0]))  # imports and compiled kernels
    idle = _status("VmRSS")
    ics = realisation(n)
    run_all = lambda: list(run(ics, [0.0]))  # noqa: E731
    _forget_peak()
    run_all()
    peak = _status("VmHWM")
    timing = measure(run_all, 21 if n <= 64 else 7 if n <= 128 else 3, warm=1)
    costs = {
        "n": n,
        "wall_s": timing.median,
        "cpu_s": timing.cpu_median,
        "others_share": timing.others_median,
        "bytes_per_particle": (peak - idle) / n**3,
        "peak_gb": peak / 1e9,
    }
    print(json.dumps(costs))


def _status(name: str) -> float:
    """An entry of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024.0 * int(line.split()[1])
    raise SystemExit(f"the system does not report {name}: growth of memory is measured on Linux alone")


def _forget_peak() -> None:
    """Reset the peak of memory, to leave out the making of initial conditions."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main(int(sys.argv[1]))
