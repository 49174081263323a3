"""Memory that is kept, seen by the page faults it saves."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from zeldo.networks.memory import freed_memory_kept, keep_freed_memory

def take():
    for _ in range(4):
        np.ones(100_000_000, dtype=np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(100_000_000, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = sys.argv[1] != "yes" or keep_freed_memory()
if sys.argv[1] == "inside":
    with freed_memory_kept():
        print(kept, take())
else:
    if sys.argv[1] == "after":
        with freed_memory_kept():
            take()
    print(kept, take())
"""


def faults(keep: str) -> tuple[str, int]:
    """Whether mallopt was there, and the page faults of taking 100 MB twenty times."""
    done = subprocess.run([sys.executable, "-c", COUNT, keep], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is of glibc")
def test_freed_memory_is_taken_again_without_page_faults() -> None:
    kept, count = faults("yes")
    if kept == "False":
        pytest.skip("the C library has no mallopt")
    usual = faults("no")[1]
    assert count < 0.1 * usual
    assert faults("inside")[1] < 0.1 * usual
    assert faults("after")[1] > 0.5 * usual
