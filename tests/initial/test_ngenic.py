"""Phases of N-GenIC: nested, of a real field, Gaussian, and what each option does."""

import numpy as np
import pytest
from draws import uniforms
from hypothesis import given, settings
from hypothesis import strategies as st

from refusals import refusal
from zeldo.initial.ngenic import NGenIC, fold, seed_table
from zeldo.mesh import fft


def low(modes, n):
    """The modes of a lattice of n points per side, its Nyquist planes left out, that a larger one holds too."""
    m, half = modes.shape[0], n // 2
    index = np.r_[0:half, m - half + 1 : m]
    return modes[np.ix_(index, index, np.arange(half))]


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31 - 1),
    half=st.integers(2, 6),
    more=st.integers(1, 6),
    fixed=st.booleans(),
    nyquist=st.sampled_from(["zero", "filled"]),
)
def test_a_larger_lattice_adds_modes_and_changes_none(seed, half, more, fixed, nyquist):
    phases = NGenIC(seed, fixed, nyquist=nyquist)
    small, large = (phases.modes(2 * h) for h in (half, half + more))
    np.testing.assert_array_equal(low(small, 2 * half), low(large, 2 * half))


@pytest.mark.parametrize(("row", "own"), [((1, 2), False), ((4, 0), True), ((4, 4), True), ((0, 4), True)])
def test_a_row_is_phase_and_amplitude_in_turn_from_its_seed(row, own):
    """own: its modes at kz = 0 and Nyquist are opposite to themselves, and so have a real part alone."""
    n, seed = 8, 2
    numbers = uniforms(seed_table(n, seed)[row], n + 2)
    expected = np.sqrt(-np.log(numbers[1::2])) * np.exp(2j * np.pi * numbers[::2])
    if own:
        expected[[0, -1]] = expected[[0, -1]].real
    made = NGenIC(seed, nyquist="filled").modes(n)[row]
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


def test_every_row_has_a_seed():
    for n in (4, 6, 32):
        table = seed_table(n, 5)
        assert len(np.unique(table)) == n * n and table.min() > 0


@pytest.mark.parametrize("n", [4, 6, 16, 30])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("nyquist", ["zero", "filled"])
def test_modes_are_those_of_a_real_field(n, fixed, nyquist):
    modes = NGenIC(5, fixed, nyquist=nyquist).modes(n)
    assert (modes.shape, modes.dtype) == ((n, n, n // 2 + 1), np.complex64)
    field = np.fft.irfftn(modes, s=3 * [n])
    np.testing.assert_allclose(np.fft.rfftn(field), modes, atol=1e-5)
    assert modes[0, 0, 0] == 0
    missing = n**3 - np.count_nonzero(np.abs(np.fft.fftn(field)) > 1e-4)
    assert missing == (1 if nyquist == "filled" else n**3 - (n - 1) ** 3 + 1)


def test_every_mode_has_unit_variance_and_gaussian_moments():
    modes = NGenIC(3).modes(32)[:, :, 1:16]
    drawn = modes[modes != 0]
    assert drawn.size == 31 * 31 * 15
    for part in (drawn.real, drawn.imag):
        x, count = np.sqrt(2.0) * part.astype(float), drawn.size
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs(np.mean(x**power) - moment) < 4 * np.sqrt(variance / count), power
    assert abs(np.mean(drawn.real * drawn.imag)) < 4 * 0.5 / np.sqrt(drawn.size)


def test_fixed_modes_have_unit_amplitude_and_the_same_phases():
    free, fixed = NGenIC(9).modes(16), NGenIC(9, fixed=True).modes(16)
    drawn = free != 0
    np.testing.assert_allclose(np.abs(fixed[drawn]), 1, rtol=1e-6)
    np.testing.assert_allclose(fixed[drawn], free[drawn] / np.abs(free[drawn]), atol=1e-6)
    assert not fixed[~drawn].any()


@pytest.mark.parametrize("options", [{"flip": True}, {"sign": -1}])
def test_a_flip_or_a_sign_is_the_negative_and_both_are_nothing(options):
    plain = NGenIC(2).modes(8)
    np.testing.assert_array_equal(NGenIC(2, **options).modes(8), -plain)
    np.testing.assert_array_equal(NGenIC(2, flip=True, sign=-1).modes(8), plain)


@pytest.mark.parametrize("n", [12, 16])
def test_sphere_mode_keeps_the_sphere_and_nothing_else(n):
    """Its surface too, as 2LPTic does: |k| = 6 of n = 12 is (2, 4, 4), no Nyquist frequency."""
    kx, ky, kz = fft.wavenumbers(n)
    inside = kx**2 + ky**2 + kz**2 <= n**2 // 4
    whole, cut = NGenIC(2).modes(n), NGenIC(2, sphere=True).modes(n)
    np.testing.assert_array_equal(cut, np.where(inside, whole, 0))
    assert np.count_nonzero(cut) < 0.75 * np.count_nonzero(whole)


def test_filled_nyquist_planes_leave_the_others_as_they_are():
    filled, zero = NGenIC(2, nyquist="filled").modes(8), NGenIC(2).modes(8)
    assert np.count_nonzero(filled) == filled.size - 1
    np.testing.assert_array_equal(fft.zero_nyquist(filled), zero)


def test_folding_is_the_displacement_of_the_mesh_seen_at_lattice_points():
    n, step = 8, 2
    m = step * n
    modes = NGenIC(2).modes(m)
    k = np.fft.fftfreq(m, 1 / m)
    axes = np.ix_(k, k, np.arange(m // 2 + 1))
    square = sum(axis**2 for axis in axes)
    square[0, 0, 0] = 1
    seen = [np.fft.irfftn(1j * axis * modes / square)[::step, ::step, ::step] for axis in axes]
    k = np.fft.fftfreq(n, 1 / n)
    axes = np.ix_(k, k, np.arange(n // 2 + 1))
    wanted = fft.zero_nyquist(
        -sum(1j * axis * np.fft.rfftn(psi) for axis, psi in zip(axes, seen, strict=True))
    )
    np.testing.assert_allclose(fold(modes.copy(), n) * m**3 / n**3, wanted * m**3 / n**3, atol=1e-4)


def test_folding_a_mesh_without_small_scales_gives_its_modes_back():
    n, m = 8, 24
    modes = np.zeros((m, m, m // 2 + 1), np.complex64)
    index = np.r_[0:4, m - 3 : m]
    modes[np.ix_(index, index, np.arange(4))] = low(NGenIC(2).modes(n), n)
    np.testing.assert_allclose(fold(modes, n) * (m / n) ** 3, NGenIC(2).modes(n), atol=1e-5)


def test_labels_name_the_options_that_are_not_the_default_ones():
    assert NGenIC(3, fixed=True, flip=True).label == "ngenic"
    assert NGenIC(3, sphere=True, mesh_factor=2, sign=-1).label == "ngenic:sphere=true,mesh_factor=2,sign=-1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 2**31}, "seed = 2147483648 is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed: give a whole number from 0 to 2^31 - 1"),
        ({"nyquist": "full"}, "give zero or filled"),
        ({"mesh_factor": 0}, "mesh_factor = 0"),
        ({"mesh_factor": 1.5}, "mesh_factor = 1.5"),
        ({"sign": 0}, "give 1 or -1"),
        ({"sphere": 1}, "sphere = 1 is not allowed: give true or false"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, words):
    assert words in refusal(lambda: NGenIC(**options))
