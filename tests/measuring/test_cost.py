import numpy as np

from zeldo.measuring.cost import measured


def test_memory_is_measured_at_any_length():
    with measured() as nothing:
        pass
    with measured() as block:
        held = np.ones(4_000_000)
    assert nothing.peak_memory is None or nothing.peak_memory > 0
    assert block.peak_memory is None or block.peak_memory > held.nbytes / 1e9
