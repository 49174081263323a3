"""What the tests of gradients share."""

from __future__ import annotations

import numba
import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """So small fields are slower with more, above all on busy cores."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])
