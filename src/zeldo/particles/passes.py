"""Passes over a field of particles: one thread reads the next slice while others work on those before it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

import numpy as np

from zeldo.mesh.fft import threads
from zeldo.particles.particles import Particles, usual_type

MOST = 4  # threads: reading takes a third of the time at least
Result = TypeVar("Result")


def over_slices(particles: Particles, field: str, work: Callable[[int, np.ndarray], Result]) -> list[Result]:
    """What `work` makes of each slice of a field, in order.

    Slices are read one by one from the first to the last, as sources with checksums need it. `work` runs in several
    threads and must let go of Python's lock to gain by it.

    Parameters
    ----------
    particles : Particles
    field : str
        One that exists.
    work : callable
        Takes the number of the first row and the rows, which are as `for_kernels` gives them. The slices are disjoint.

    Returns
    -------
    list
        One result a slice.

    Raises
    ------
    Exception
        The first that reading or `work` raises, by rows.
    """
    slices = list(particles.slices())
    results: list[Result | None] = [None] * len(slices)
    failures: dict[int, BaseException] = {}
    waiting, lock = iter(enumerate(slices)), Lock()

    def go_on() -> None:
        number = -1
        while True:
            try:
                with lock:
                    if failures:
                        return
                    number, (start, stop) = next(waiting, (-1, (0, 0)))
                    if number < 0:
                        return
                    rows = for_kernels(particles.read(field, start, stop))
                results[number] = work(start, rows)
            except BaseException as error:
                failures[number] = error
                return

    if len(slices) == 1:
        go_on()
    else:
        with ThreadPoolExecutor(min(MOST, threads(), len(slices))) as pool:
            workers = [pool.submit(go_on) for _ in range(pool._max_workers)]
            try:
                for worker in workers:
                    worker.result()
            except BaseException as error:  # an interrupt of this thread stops the others
                failures[-1] = error
                raise
    if failures:
        raise failures[min(failures)]
    return results  # type: ignore[return-value]


def for_kernels(rows: np.ndarray) -> np.ndarray:
    """Numbers as kernels take them: in C order, of this machine's byte order, floats of 4 or 8 bytes."""
    return np.ascontiguousarray(rows, usual_type(rows.dtype.newbyteorder("=")))
