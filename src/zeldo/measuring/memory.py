"""How much memory there is for a run, and a limit that the user sets to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path, PurePosixPath

from zeldo.errors import InputError

BYTES_IN = {"": 1e9, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
BYTES_IN |= {"KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40}
GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
VERSION_2 = "memory.max", "memory.current", "inactive_file"
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
        size = float(match[1]) * BYTES_IN[match[2].upper()] if match else 0.0
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


def check_room(what: str, needed: float, advice: str) -> None:
    """`InputError` where so many bytes more do not fit into the memory that may be taken.

    Parameters
    ----------
    what : str
        What needs them, with the verb, such as "a mesh of 64 points a side needs".
    needed : float
        Bytes beside those that the process holds.
    advice : str
        What to do next.
    """
    if needed > available():
        raise InputError(
            f"{what} about {size_in_words(needed + resident())} of memory with Python and its libraries, "
            f"but only {size_in_words(budget())} is available: {advice}"
        )


def size_in_words(size: float) -> str:
    """Bytes as `size_in_bytes` reads them, such as "8GB", to three digits."""
    unit = next((name for name in ("TB", "GB", "MB", "KB") if size >= BYTES_IN[name]), "B")
    return f"{size / BYTES_IN[unit]:.3g}{unit}"


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


def _control_group(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> list[float]:
    """What is free in each control group of this process, and in those around it: a container, or a batch job."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    free: list[float] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            root, names = groups, VERSION_2
        elif "memory" in controllers.split(","):
            root, names = groups / "memory", VERSION_1
        else:
            continue
        # a container may see its own group as the root of all, by a name that it has outside
        here = PurePosixPath(place.lstrip("/"))
        for folder in (here, *here.parents):
            with suppress(OSError, ValueError):
                free.append(_free_in(root / folder, *names))
    return free


def _free_in(folder: Path, limit: str, used: str, cached: str) -> float:
    """Bytes that a control group may still take; what it holds of files can be let go. `ValueError` without a limit."""
    largest = int((folder / limit).read_text())  # "max" is no number
    lines = (folder / "memory.stat").read_text().splitlines()
    files = sum(int(line.split()[1]) for line in lines if line.startswith(f"{cached} "))
    return float(largest - int((folder / used).read_text()) + files)
