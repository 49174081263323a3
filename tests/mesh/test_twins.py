"""The kernels of the CPU and those of torch are twins."""

import numpy as np
import pytest
import torch

from zeldo.mesh import numba_kernels, torch_kernels

BOX = 80.0
PAIRS = [(8, 8), (8, 16), (12, 6), (6, 10), (16, 64), (16, 66)]


def pair(function, *arguments):
    """The results of both twins as NumPy arrays."""
    ours = getattr(numba_kernels, function)(*arguments)
    tensors = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in arguments)
    return ours, getattr(torch_kernels, function)(*tensors).numpy()


def same(ours, theirs):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=4e-5 * np.abs(theirs).max())


@pytest.fixture(params=PAIRS, ids=lambda p: f"{p[0]}-{p[1]}")
def sizes(request):
    return request.param


@pytest.fixture(params=[0.5, 40.0], ids=["calm", "wild"])
def psi(request, sizes):
    n = sizes[0]
    return (request.param * np.random.default_rng(n).standard_normal((3, n, n, n))).astype(np.float32)


def test_paint(psi, sizes):
    same(*pair("paint", psi, sizes[1], BOX))


def test_read(psi, sizes):
    field = np.random.default_rng(5).standard_normal(3 * [sizes[1]]).astype(np.float32)
    same(*pair("read", field, psi, BOX))


def test_read_gradient(psi, sizes):
    field = np.random.default_rng(6).standard_normal(3 * [sizes[1]]).astype(np.float32)
    same(*pair("read_gradient", field, psi, BOX))
