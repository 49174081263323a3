"""Forked processes, and kernels that cannot be kept on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

FORK = """
import multiprocessing, time
import zeldo

def power(seed):
    snapshot, = zeldo.run(engine="2lpt", n=16, box=40, power="eisenstein-hu", seed=seed)
    return zeldo.power_spectrum(snapshot).power[0]

def compared(seed):
    return zeldo.compare_snapshots(snapshot, snapshot).fields["density"].power[0]

if __name__ == "__main__":
    snapshot = zeldo.read_reference(zeldo.reference_path())[1][1.0]
    power(1), compared(1)
    context = multiprocessing.get_context("fork")
    for task in (power, compared):
        started = time.monotonic()
        with context.Pool(2) as pool:
            try:
                print(task.__name__, len(pool.map(task, [1, 2])))
            except zeldo.ZeldoError as error:
                print(task.__name__, error)
        print("seconds", time.monotonic() - started)
"""
# two kernels, with threads and without, that are compiled in a second
UNCACHED = """
import numpy as np
from zeldo.mesh.numba_kernels import add_square
from zeldo.mesh.splines import _sort
total = np.ones(4, np.float32)
add_square(np.arange(4, dtype=np.float32), 2.0, total)
print(total, *_sort(np.array([1, 0, 1], np.uint8), 2))
"""
COMPUTED = "[ 1.  3.  9. 19.] [1 0 2] [1 3]"


def output(code, **environment):
    run = [sys.executable, "-c", code]
    environment = {**os.environ, **environment}
    return subprocess.run(run, capture_output=True, text=True, timeout=300, check=True, env=environment)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_pool_forked_after_a_run_raises_in_the_parent_and_does_not_hang():
    started = time.monotonic()
    lines = output(FORK).stdout.splitlines()
    assert time.monotonic() - started < 300
    assert lines[0].startswith("power ") and 'get_context("spawn")' in lines[0]
    assert float(lines[1].split()[1]) < 10
    assert lines[2] == "compared 2"  # torch alone works on, with one thread


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_pool_forked_before_the_first_run_works():
    code = FORK.replace("    power(1), compared(1)\n", "")
    lines = output(code).stdout.splitlines()
    assert (lines[0], lines[2]) == ("power 2", "compared 2")


def test_kernels_run_uncached_where_no_directory_is_writable():
    # the one place that is left to Numba is no directory
    places = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": "/dev/null/cache"}
    run = output(UNCACHED, **places)
    assert run.stdout.strip() == COMPUTED
    assert run.stderr.count("ZeldoWarning") == 1 and "NUMBA_CACHE_DIR" in run.stderr


def test_a_disk_that_fills_up_while_kernels_are_kept_stops_nothing(tmp_path):
    full = "import numba.core.caching as c, errno\n"
    full += "def fail(*a, **k): raise OSError(errno.ENOSPC, 'No space left on device')\n"
    full += "c.IndexDataCacheFile.save = fail\n"
    run = output(full + UNCACHED, NUMBA_CACHE_DIR=str(tmp_path))
    assert run.stdout.strip() == COMPUTED and run.stderr.count("ZeldoWarning") == 1
