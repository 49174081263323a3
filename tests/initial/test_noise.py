"""White noise: nested, Gaussian, Hermitian, the same bits for ever."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeldo.errors import InputError
from zeldo.initial.noise import white_noise


def low(modes, n):
    """The modes of a lattice of n points per side, its Nyquist planes left out, that a larger one holds too."""
    m, half = modes.shape[0], n // 2
    index = np.r_[0:half, m - half + 1 : m]
    return modes[np.ix_(index, index, np.arange(half))]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**63 - 1), half=st.integers(2, 6), more=st.integers(1, 6), fixed=st.booleans())
def test_a_larger_lattice_adds_modes_and_changes_none(seed, half, more, fixed):
    small, large = (white_noise(2 * h, seed, fixed=fixed) for h in (half, half + more))
    np.testing.assert_array_equal(low(small, 2 * half), low(large, 2 * half))


def test_the_stream_of_a_seed_never_changes():
    """Files, references and papers depend on it."""
    digest = hashlib.sha256(np.round(white_noise(8, 7), 4).astype("<c8").tobytes()).hexdigest()
    assert digest == "e316e67b7487be387a636f2948e88283bbc8b221244e14aa240d311b17d1f994"
    np.testing.assert_array_equal(white_noise(8, 7), white_noise(8, 7))


def test_every_mode_has_unit_variance_and_gaussian_moments():
    modes = white_noise(32, 3)
    half = modes[:, :, 1:16]
    drawn = half[half != 0]
    assert drawn.size == 31 * 31 * 15
    for part in (drawn.real, drawn.imag):
        x, count = np.sqrt(2.0) * part.astype(float), drawn.size
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
            assert abs(np.mean(x**power) - moment) < 4 * np.sqrt(variance / count), power
    # real and imaginary parts, and neighbours, know nothing of each other
    for other in (drawn.imag[:-1], drawn.real[1:], drawn.imag[1:]):
        assert abs(np.mean(drawn.real[:-1] * other)) < 4 * 0.5 / np.sqrt(drawn.size)


def test_no_two_modes_are_equal_but_opposite_ones():
    """A stretch of the stream used twice, in two shells or faces, would give twice the same number."""
    field = np.fft.fftn(np.fft.irfftn(white_noise(16, 1), s=3 * [16]))
    values = np.round(np.abs(field[np.abs(field) > 1e-6]), 6)
    _, counts = np.unique(values, return_counts=True)
    assert values.size == 15**3 - 1
    assert np.mean(counts == 2) > 0.98  # w(k) and w(-k); a few more agree by chance to 6 digits


@pytest.mark.parametrize("n", [4, 6, 16, 30])
@pytest.mark.parametrize("fixed", [False, True])
def test_modes_are_those_of_a_real_field(n, fixed):
    modes = white_noise(n, 5, fixed=fixed)
    assert (modes.shape, modes.dtype) == ((n, n, n // 2 + 1), np.complex64)
    field = np.fft.irfftn(modes, s=3 * [n])
    np.testing.assert_allclose(np.fft.rfftn(field), modes, atol=1e-5)
    assert modes[0, 0, 0] == 0
    for nyquist in (modes[n // 2], modes[:, n // 2], modes[:, :, n // 2]):
        assert not nyquist.any()
    assert np.count_nonzero(np.fft.fftn(field).round(4)) == (n - 1) ** 3 - 1


def test_fixed_modes_have_unit_amplitude_and_the_same_phases():
    free, fixed = white_noise(16, 9), white_noise(16, 9, fixed=True)
    drawn = free != 0
    np.testing.assert_array_equal(fixed != 0, drawn)
    np.testing.assert_allclose(np.abs(fixed[drawn]), 1, rtol=1e-6)
    np.testing.assert_allclose(fixed[drawn], free[drawn] / np.abs(free[drawn]), atol=1e-6)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_flip_is_the_negative(fixed):
    flipped = white_noise(8, 2, fixed=fixed, flip=True)
    np.testing.assert_array_equal(flipped, -white_noise(8, 2, fixed=fixed))


def test_other_seeds_are_other_universes():
    seeds = (0, 1, 2, 7, 2**32, 2**32 + 1, 2**63 - 1)
    noise = [white_noise(16, seed)[:, :, 1:8].ravel() for seed in seeds]
    for i in range(len(seeds)):
        for j in range(i):
            assert abs(np.vdot(noise[i], noise[j])) < 4 * np.sqrt(noise[0].size)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "7", None, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(InputError, match=r"seed = .* 0 to 2\^63 - 1"):
        white_noise(8, seed)
