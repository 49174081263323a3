"""What the tests share: the references of MP-Gadget, shipped or beside the checkout."""

from __future__ import annotations

from pathlib import Path

import numba
import pytest
import torch
from hypothesis import settings

settings.register_profile(
    "zeldo", deadline=None
)  # kernels compile at their first use, and machines are shared
settings.load_profile("zeldo")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Fields of tests are small, and `pytest -n` keeps every core busy: more threads only wait for each other.

    Tests of threads ask for `numba.config.NUMBA_NUM_THREADS` of them.
    """
    numba.set_num_threads(1)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with references and the referee that share no code with zeldo."""
    path = Path(__file__).parents[1].parent / "shared"
    if not path.is_dir():
        pytest.skip("no folder `shared` with references and the referee beside the checkout")
    return path


@pytest.fixture(scope="session")
def small():
    """The shipped 64^3 reference: (initial conditions, {redshift: snapshot})."""
    from zeldo.files.reference import read_reference, reference_path

    return read_reference(reference_path("small"))
