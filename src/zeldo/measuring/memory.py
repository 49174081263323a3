"""How much memory there is for a run, and a limit that the user sets to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from zeldo.errors import InputError

UNITS = {"": 1e9, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
UNITS |= {"KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40}
_limit: ContextVar[float | None] = ContextVar("memory limit", default=None)


def size_in_bytes(text: str | float) -> float:
    """A size such as "8GB", "500MB" or 8, a number in GB (10^9 bytes).

    Raises
    ------
    InputError
        For what is no size above 0.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([A-Za-z]*)\s*", str(text))
    try:
        size = float(match[1]) * UNITS[match[2].upper()] if match else 0.0
    except (ValueError, KeyError):
        size = 0.0
    if not 0 < size < float("inf"):
        raise InputError(f"memory {text!r} is not allowed: give a size such as 8GB or 500MB")
    return size


@contextmanager
def limited(size: str | float | None) -> Iterator[None]:
    """Inside, `available` counts only so much memory for this process. None sets no limit."""
    token = _limit.set(None if size is None else size_in_bytes(size))
    try:
        yield
    finally:
        _limit.reset(token)


def available() -> float:
    """Bytes that this process may still take: what the machine or the control group has free, or is left of a limit."""
    return max(0.0, budget() - resident())


def budget() -> float:
    """Bytes that this process may hold in all: those that are free, and those that it has, up to a limit."""
    held, limit = max(0.0, min([_machine(), *_control_group()])) + resident(), _limit.get()
    return held if limit is None else min(held, limit)


def resident() -> float:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return float(int(pages) * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return 0.0


def _machine() -> float:
    try:
        with open("/proc/meminfo") as file:
            return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 0.5 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _control_group() -> list[float]:
    """What is free in a container or a batch job with a limit (control groups 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        largest = (folder / "memory.max").read_text().strip()
        if largest == "max":
            return []
        used = int((folder / "memory.current").read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        return [float(int(largest) - used + cached)]
    except (OSError, ValueError):
        return []
