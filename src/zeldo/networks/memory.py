"""Memory that networks free and allocate again a moment later."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# of <malloc.h>, mallopt(3)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 1 << 28}
USUAL = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 1 << 17, M_TOP_PAD: 1 << 17}


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for later requests, from now on and in the whole process.

    glibc returns large blocks to the kernel, which clears every page again for the next layer. That takes a good part of a
    training step on a CPU, and most of it on a virtual machine whose host reclaims free pages.

    Returns
    -------
    bool
        False where the C library is another one and nothing was changed.
    """
    return _set({**KEEPING, M_ARENA_MAX: 1})


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, the same; at the end, what is free goes back to the kernel. Glibc's own adjustment of its limits stops."""
    kept = _set({**KEEPING, M_TOP_PAD: 1 << 26})
    try:
        yield
    finally:
        if kept:
            _set(USUAL)
            ctypes.CDLL(None).malloc_trim(0)


def _set(options: Mapping[int, int]) -> bool:
    """Whether the C library is glibc, whose options these are."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    done = [mallopt(option, value) for option, value in options.items()]
    return all(done)
