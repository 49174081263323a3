"""Memory that is kept, seen by what stays resident after it is freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

SIZE = 100_000_000  # bytes, far above what glibc keeps by itself
COUNT = """
import sys
import numpy as np
from zeldo.networks.memory import freed_memory_kept, keep_freed_memory

def resident():
    with open("/proc/self/status") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

def take():
    before = resident()
    np.ones(int(sys.argv[2]), dtype=np.uint8)
    return resident() - before

kept = sys.argv[1] != "yes" or keep_freed_memory()
if sys.argv[1] == "inside":
    with freed_memory_kept():
        print(kept, take())
elif sys.argv[1] == "after":
    before = resident()
    with freed_memory_kept():
        take()
    print(kept, resident() - before, take())
else:
    print(kept, take())
"""


def still_resident(when: str) -> tuple[str, list[int]]:
    """Whether mallopt was there, and how many bytes of an array stay resident once it is freed."""
    command = [sys.executable, "-c", COUNT, when, str(SIZE)]
    kept, *counts = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return kept, [int(count) for count in counts]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is of glibc")
def test_freed_memory_stays_where_it_is_to_be_kept() -> None:
    kept, (count,) = still_resident("yes")
    if kept == "False":
        pytest.skip("the C library has no mallopt")
    assert count > 0.9 * SIZE
    assert still_resident("inside")[1][0] > 0.9 * SIZE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is of glibc")
@pytest.mark.parametrize("when", ["no", "after"])
def test_freed_memory_goes_back_otherwise(when: str) -> None:
    assert all(count < 0.1 * SIZE for count in still_resident(when)[1])
