"""Freed memory that stays with the process for its next arrays.

glibc maps each large array afresh and unmaps it when it is freed, and the system fills new memory with zeros. The layers of
a network allocate and free large fields in turn, so that this takes much of their time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # the names of malloc.h
NEVER = 2**31 - 1
MAPPED = 65_536  # arrays that may be mapped at a time: glibc's default
LARGE = 32 << 20  # bytes from which an array is mapped: as much as glibc itself would raise it to


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    """The function of the C library; None where it has none, as on macOS."""
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, large arrays reuse what earlier ones have freed. What is free at the end stays with the process.

    It costs memory where arrays of other sizes follow: use it for what is small beside the memory of the machine. It does
    nothing where the C library is not glibc.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        mallopt(MMAP_MAX, MAPPED)
        mallopt(MMAP_THRESHOLD, LARGE)
