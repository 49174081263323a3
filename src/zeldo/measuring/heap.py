"""Freed memory that stays with the process for its next arrays.

glibc maps each large array afresh and unmaps it when it is freed, and the system fills new memory with zeros. The layers of
a network allocate and free large fields in turn, so that this takes much of their time. On a virtual machine whose host
reclaims free pages it takes most of it. With another C library nothing here has an effect.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

# the names of malloc.h, which mallopt(3) explains
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -2, -3, -4, -8
NEVER = -1
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: NEVER, TOP_PAD: 1 << 26}
ALWAYS_KEEPING = {**KEEPING, TOP_PAD: 1 << 28, ARENA_MAX: 1}
# what glibc itself would raise its limits to: once they are set, it no longer does
USUAL = {MMAP_MAX: 65_536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20, TOP_PAD: 1 << 17}

_lock = Lock()
_inside = 0  # how many `freed_memory_kept` are open, in any thread
_always = False  # whether `keep_freed_memory` was called


def keep_freed_memory() -> bool:
    """Let large arrays reuse what earlier ones have freed, from now on and in the whole process.

    Returns
    -------
    bool
        False where the C library is not glibc and nothing was changed.
    """
    global _always
    with _lock:
        _always = True
        return _set(ALWAYS_KEEPING)


@contextmanager
def freed_memory_kept(*, returned: bool = False) -> Iterator[None]:
    """Inside, large arrays reuse what earlier ones have freed. The last one to end sets back what the first one changed.

    After `keep_freed_memory` it changes nothing.

    Parameters
    ----------
    returned : bool
        Whether what is free at the end goes back to the system. Otherwise it stays with the process, and costs memory
        where arrays of other sizes follow: that is for what is small beside the memory of the machine.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1 and not _always:
            _set(KEEPING)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and not _always:
                changed = _set(USUAL if returned else {**USUAL, TRIM_THRESHOLD: NEVER})
                if changed and returned:
                    _glibc().malloc_trim(0)


def return_freed_memory() -> None:
    """Give the system back what is free: small fields that are freed out of order stay otherwise, below those in use.

    Where freed memory is kept, in any thread or for good, nothing is given back.
    """
    with _lock:
        if not _inside and not _always and (library := _glibc()) is not None:
            library.malloc_trim(0)


def _set(options: Mapping[int, int]) -> bool:
    """Whether the C library is glibc, whose options these are."""
    library = _glibc()
    done = [] if library is None else [library.mallopt(*option) for option in options.items()]
    return bool(done) and all(done)


@cache
def _glibc() -> Any:
    """The C library; None where it is another one, as on macOS."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
