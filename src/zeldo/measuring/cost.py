"""Wall time and peak memory of a block of code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zeldo.measuring.memory import resident


@dataclass
class Cost:
    """seconds of wall time, and the most memory (GB, 10^9 bytes) that the process held meanwhile."""

    seconds: float = 0.0
    peak_memory: float | None = None


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures its block; memory is sampled every 10 ms, where the system tells it."""
    cost, over = Cost(), threading.Event()

    def look() -> None:
        now = resident() / 1e9
        if now:  # 0 where the system does not tell
            cost.peak_memory = max(cost.peak_memory or 0.0, now)

    def sample() -> None:
        while not over.wait(0.01):
            look()

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        over.set()
        sampler.join()
        look()  # also at a block that is shorter than an interval
