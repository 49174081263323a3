"""Memory that stays with the process for its next arrays."""

import subprocess
import sys

import pytest

from zeldo.measuring import heap

SIZE = 200_000_000
CODE = f"""
import os
import sys
from contextlib import nullcontext

import numpy as np
from zeldo.measuring.heap import freed_memory_kept

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
with freed_memory_kept() if sys.argv[1] == "kept" else nullcontext():
    array = np.ones({SIZE}, np.uint8)
    del array
inside = resident() - before
array = np.ones({SIZE}, np.uint8)
again = resident() - before
larger = np.ones(2 * {SIZE}, np.uint8)
del larger
print(inside, again, resident() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or heap._mallopt() is None, reason="only glibc can be told to keep freed memory"
)
def test_freed_memory_is_there_for_the_next_array_and_later_ones_give_theirs_back():
    def resident(how):
        command = [sys.executable, "-c", CODE, how]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [int(word) / SIZE for word in out.split()]

    inside, again, after = resident("kept")
    assert inside > 0.9
    assert again < 1.1  # in the same place
    assert after < 1.1
    assert resident("mapped")[0] < 0.1


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(heap, "_mallopt", lambda: None)
    with heap.freed_memory_kept():
        pass


def test_an_error_inside_sets_back_what_large_arrays_do(monkeypatch):
    told = {}
    monkeypatch.setattr(heap, "_mallopt", lambda: told.__setitem__)
    with pytest.raises(ZeroDivisionError), heap.freed_memory_kept():
        assert told[heap.MMAP_MAX] == 0
        raise ZeroDivisionError
    assert told[heap.MMAP_MAX] == heap.MAPPED and told[heap.MMAP_THRESHOLD] == heap.LARGE
