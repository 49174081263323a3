"""The machine that figures were measured on, and how busy it was."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from zeldo.measuring.machine import processor

PACKAGES = ("numpy", "numba", "torch", "ducc0", "zeldo")


def machine() -> dict:
    """CPU, cores, memory, threads in use and versions, without which a time means nothing."""
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        # threads that spin while they wait make every time on a busy machine longer, CPU time included
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def machine_line(facts: dict) -> str:
    """The same facts in one line."""
    versions = ", ".join(f"{name} {facts[name]}" for name in ("python", *PACKAGES))
    cores = f"{facts['cores']} cores, {facts['threads']} threads, {facts['memory_gb']:g} GB"
    cores += f", OMP_WAIT_POLICY {facts['omp_wait_policy']}"
    return f"{facts['cpu']}, {cores}; {versions}"


def machine_name() -> str:
    """The machine in short: CPU, cores, memory; threads and their way of waiting where they are not the usual ones."""
    facts = machine()
    name = f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']:g} GB"
    if facts["threads"] != facts["cores"]:
        name += f", {facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"
    return name + (
        "" if facts["omp_wait_policy"] == "passive" else f", OMP_WAIT_POLICY {facts['omp_wait_policy']}"
    )


def versions() -> str:
    """The versions that figures may depend on."""
    facts = machine()
    return " ".join(f"{name}={facts[name]}" for name in ("python", *PACKAGES) if name != "zeldo")


def threads() -> int:
    """Threads that kernels and transforms use."""
    from zeldo.mesh import fft

    return fft.threads()


@dataclass
class Timing:
    """Several timed runs.

    cpu: seconds of this process per thread, a lower limit on the wall time on quiet cores. others: the share of the machine
    that other processes took meanwhile (nan where the system does not report it).
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)

    @property
    def others_median(self) -> float:
        return statistics.median(self.others)


COLUMNS = ["median s", "min s", "max s", "cpu/thr s", "others %"]


def cells(timing: Timing) -> list[str]:
    """The texts of a timing under `COLUMNS`."""
    numbers = (timing.median, min(timing.wall), max(timing.wall), timing.cpu_median)
    return [f"{x:.3f}" for x in numbers] + [f"{100 * timing.others_median:.0f}"]


def run_once(function: Callable[[], object], timing: Timing) -> object:
    """Run a function and measure it."""
    busy0, cpu0, wall0 = _busy(), time.process_time(), time.perf_counter()
    result = function()
    wall, cpu, busy = time.perf_counter() - wall0, time.process_time() - cpu0, _busy() - busy0
    timing.wall.append(wall)
    timing.cpu.append(cpu / threads())
    timing.others.append(max(busy - cpu, 0.0) / (wall * (os.cpu_count() or 1)) if busy == busy else busy)
    return result


def measure(function: Callable[[], object], repeats: int = 7, warm: int = 1) -> Timing:
    """Time `repeats` runs, after `warm` runs that do not count, since they compile and touch memory."""
    for _ in range(warm):
        function()
    timing = Timing()
    for _ in range(repeats):
        run_once(function, timing)
    return timing


def _busy() -> float:
    """Seconds of work of all cores together, by all processes and with stolen time; nan where the system does not count."""
    try:
        line = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return float("nan")
    user, nice, system, _idle, _wait, irq, soft, steal = (int(x) for x in line[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"
