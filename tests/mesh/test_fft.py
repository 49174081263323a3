"""Transforms against NumPy's, wavenumbers, Nyquist planes."""

import numpy as np
import pytest

from zeldo.mesh import fft

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("m", [4, 6, 16, 30])
def test_transforms_are_numpys(m):
    field = RANDOM.standard_normal((m, m, m)).astype(np.float32)
    before = field.copy()
    modes = fft.forward(field)
    assert modes.dtype == np.complex64
    np.testing.assert_allclose(modes, np.fft.rfftn(field), atol=1e-5 * m**1.5)
    np.testing.assert_allclose(fft.inverse(modes, m), before, atol=1e-5)
    np.testing.assert_array_equal(field, before)


def test_transforms_fill_the_arrays_given():
    field = RANDOM.standard_normal((8, 8, 8)).astype(np.float32)
    modes, back = np.empty((8, 8, 5), np.complex64), np.empty_like(field)
    assert fft.forward(field, modes) is modes
    kept = modes.copy()
    assert fft.inverse(modes, 8, back) is back
    np.testing.assert_array_equal(modes, kept)
    np.testing.assert_array_equal(fft.inverse(modes, 8, scratch=True), back)


def test_the_first_axis_can_be_transformed_before_the_others():
    modes = fft.forward(RANDOM.standard_normal((6, 6, 6)).astype(np.float32))
    whole = fft.inverse(modes, 6)
    assert fft.inverse_first(modes) is modes
    np.testing.assert_allclose(fft.inverse(modes, 6, axes=(1, 2)), whole, atol=1e-6)


def test_wavenumbers_are_those_of_the_modes():
    m, box = 8, 50.0
    x = np.arange(m) * box / m
    k = fft.wavenumbers(m, box)
    for axis, mode in ((0, (3, 0, 0)), (1, (0, -2, 0)), (2, (0, 0, 1))):
        wave = np.cos(
            2 * np.pi / box * (mode[0] * x[:, None, None] + mode[1] * x[None, :, None] + mode[2] * x)
        )
        modes = fft.forward(np.ascontiguousarray(np.broadcast_to(wave, (m, m, m)), np.float32))
        found = np.broadcast_to(k[axis], modes.shape)[np.abs(modes) > 1]
        np.testing.assert_allclose(np.abs(found), 2 * np.pi / box * abs(sum(mode)))
    assert [axis.shape for axis in k] == [(8, 1, 1), (1, 8, 1), (1, 1, 5)]
    assert fft.wavenumbers(m)[0][-1, 0, 0] == -1


def test_nyquist_planes_are_cleared_and_nothing_else():
    modes = fft.zero_nyquist(np.ones((6, 6, 4), np.complex64))
    assert not modes[3].any() and not modes[:, 3].any() and not modes[:, :, 3].any()
    assert modes.sum() == 5 * 5 * 3
