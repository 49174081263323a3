"""Memory that is kept, seen by the page faults it saves."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from zeldo.networks.memory import keep_freed_memory

kept = sys.argv[1] == "no" or keep_freed_memory()
for _ in range(4):
    np.ones(100_000_000, dtype=np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(100_000_000, dtype=np.uint8)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
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
    assert count < 0.1 * faults("no")[1]
