import mmap
import time

import numpy as np
import pytest

from zeldo.measuring.cost import measured
from zeldo.measuring.memory import resident


def test_memory_is_measured_at_any_length():
    with measured() as nothing:
        pass
    with measured() as block:
        held = np.ones(4_000_000)
    if resident():
        assert nothing.peak_memory > 0 and block.peak_memory > held.nbytes / 1e9
    else:
        assert nothing.peak_memory is block.peak_memory is None


@pytest.mark.skipif(not resident(), reason="the system does not tell")
def test_a_peak_is_of_memory_in_use_and_is_not_forgotten():
    try:
        addresses = mmap.mmap(-1, 1 << 33)  # which no page of memory is behind
    except OSError:
        pytest.skip("no room for 8 GB of address space")
    before = resident() / 1e9
    with addresses, measured() as block:
        # not by NumPy, which may be given memory that was freed and is still held
        held = mmap.mmap(-1, 200_000_000)
        held.write(bytes(len(held)))
        deadline = time.monotonic() + 20
        while (block.peak_memory or 0) < before + 0.15 and time.monotonic() < deadline:
            time.sleep(0.01)
        held.close()
    assert before + 0.15 < block.peak_memory < before + 1
