"""Freed memory that stays with the process, seen by what is resident, and by what the C library is told."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from zeldo.measuring import heap
from zeldo.measuring.heap import freed_memory_kept, keep_freed_memory, return_freed_memory

SIZE = 200_000_000  # bytes, far above what glibc keeps by itself
CODE = f"""
import os
import sys
from contextlib import nullcontext

import numpy as np
from zeldo.measuring.heap import freed_memory_kept, keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

how = sys.argv[1]
if how == "always":
    keep_freed_memory()
inside = {{"stays": freed_memory_kept(), "always": freed_memory_kept(), "returned": freed_memory_kept(returned=True)}}
before = resident()
with inside.get(how, nullcontext()):
    np.ones({SIZE}, np.uint8)
    kept = resident() - before
after = resident() - before
array = np.ones({SIZE}, np.uint8)
again = resident() - before
larger = np.ones(2 * {SIZE}, np.uint8)
del larger
print(kept, after, again, resident() - before)
"""
glibc = pytest.mark.skipif(
    sys.platform != "linux" or heap._glibc() is None, reason="only glibc can be told to keep freed memory"
)


def resident(how):
    """Of an array, freed in a context: what stays inside and after it, with another one, and when a larger one is gone."""
    command = [sys.executable, "-c", CODE, how]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [round(int(word) / SIZE) for word in out.split()]


@glibc
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("not", [0, 0, 1, 1]),
        (
            "stays",
            [1, 1, 1, 1],
        ),  # the next array is in the same place, and a larger one gives its memory back
        ("returned", [1, 0, 1, 1]),
        ("always", [1, 1, 1, 3]),
    ],
)
def test_freed_memory_is_where_it_is_wanted(how, expected):
    assert resident(how) == expected


@pytest.fixture
def told(monkeypatch):
    """What the C library was told last, by option; a None counts the times it was asked to give memory back."""
    options = {None: 0}
    library = SimpleNamespace(
        mallopt=lambda option, value: options.update({option: value}) or 1,
        malloc_trim=lambda pad: options.update({None: options[None] + 1}),
    )
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    monkeypatch.setattr(heap, "_always", False)
    return options


@pytest.mark.parametrize("returned", [False, True])
def test_the_last_context_to_end_sets_back_what_the_first_one_changed(told, returned):
    with freed_memory_kept(returned=returned):
        with pytest.raises(ZeroDivisionError), freed_memory_kept(returned=not returned):
            assert told.items() >= heap.KEEPING.items()
            raise ZeroDivisionError
        assert told.items() >= heap.KEEPING.items() and not told[None]
    assert told[heap.MMAP_MAX] == heap.USUAL[heap.MMAP_MAX]
    assert told[None] == returned
    assert (told[heap.TRIM_THRESHOLD] == heap.NEVER) != returned


@pytest.mark.parametrize("returned", [False, True])
def test_a_context_does_not_undo_what_holds_for_the_whole_process(told, returned):
    """As in a training, whose validation applies the network to tiles."""
    assert keep_freed_memory()
    with freed_memory_kept(returned=returned):
        pass
    assert told == {None: 0, **heap.ALWAYS_KEEPING}


def test_another_c_library_is_left_alone(told, monkeypatch):
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    with freed_memory_kept(returned=True):
        assert not keep_freed_memory()
    assert told == {None: 0}


def test_what_is_free_goes_back_unless_it_is_kept(told):
    with freed_memory_kept():
        return_freed_memory()
    assert not told[None]
    return_freed_memory()
    assert told[None] == 1
    keep_freed_memory()
    return_freed_memory()
    assert told[None] == 1
