"""Displacements of first and second order against plane waves, a plain sum over modes, and identities."""

import numpy as np
import pytest

from zeldo.cosmology.background import expansion
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import (
    displacements,
    linear_displacement,
    lpt_factors,
    lpt_state,
)
from zeldo.initial.slabs import write_displacements

QUIJOTE = PRESETS["quijote"]
BOX = 100.0
N = 16
KF = 2 * np.pi / BOX


def second_order_displacement(ics):
    return displacements(ics)[1]


def lattice(n=N):
    """q, (3, n, n, n) float64, Mpc/h."""
    return np.array(np.meshgrid(*3 * [np.arange(n) * BOX / n], indexing="ij"))


def conditions(delta):
    return InitialConditions(BOX, delta.shape[0], QUIJOTE, delta)


@pytest.fixture(scope="module")
def random():
    return initial_conditions(QUIJOTE, BOX, N, 7, power=lambda k: 1e4 * k / (1 + (k / 0.05) ** 3))


def derivatives(field):
    """d field_i / dx_j by ik in float64, (3, 3, n, n, n)."""
    n = field.shape[-1]
    freq = np.fft.fftfreq(n, 1 / n) * KF
    freq[n // 2] = 0
    k = np.ix_(freq, freq, freq)
    return np.array([[np.fft.ifftn(1j * kj * np.fft.fftn(f)).real for kj in k] for f in field.astype(float)])


@pytest.mark.parametrize("mode", [(1, 0, 0), (0, 3, 0), (0, 0, 2), (2, -1, 3), (7, 7, 7), (-4, 0, 5)])
@pytest.mark.parametrize("phase", [0.0, 0.7])
def test_a_plane_wave_is_displaced_along_itself(mode, phase):
    k = KF * np.array(mode)
    along = np.tensordot(k, lattice(), 1) + phase
    psi = linear_displacement(conditions(0.3 * np.cos(along)))
    expected = -0.3 * k[:, None, None, None] / (k @ k) * np.sin(along)
    assert psi.dtype == np.float32
    np.testing.assert_allclose(psi, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("mode", [(1, 0, 0), (0, 2, 3), (2, -1, 3)])
def test_a_plane_wave_has_no_second_order(mode):
    """It stays a plane wave: Zel'dovich is exact."""
    ics = conditions(np.cos(np.tensordot(KF * np.array(mode), lattice(), 1)))
    assert np.abs(second_order_displacement(ics)).max() < 3e-6 * np.abs(linear_displacement(ics)).max()


@pytest.mark.parametrize(
    ("first", "second"), [((1, 0, 0), (0, 1, 0)), ((2, 1, 0), (-1, 0, 3)), ((1, 1, 0), (1, 2, 3))]
)
def test_two_crossed_plane_waves_have_the_analytic_second_order(first, second):
    """phi_ij of cos(kx) and cos(px) give (1 - mu^2) A B cos(kx) cos(px), mu between k and p, as the source."""
    k, p = KF * np.array(first), KF * np.array(second)
    x, y = np.tensordot(k, lattice(), 1), np.tensordot(p, lattice(), 1)
    delta = 0.4 * np.cos(x) + 0.7 * np.cos(y)
    mu2 = (k @ p) ** 2 / (k @ k) / (p @ p)
    # cos cos = (cos(x + y) + cos(x - y)) / 2; lap^-1 and grad of cos(r) are r's wave vector times sin(r) / its square
    expected = 0.0
    for wave, angle in ((k + p, x + y), (k - p, x - y)):
        expected = expected + wave[:, None, None, None] / (wave @ wave) * np.sin(angle)
    expected = expected * 0.5 * 0.4 * 0.7 * (1 - mu2)
    result = second_order_displacement(conditions(delta))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def test_a_sphere_like_wave_has_a_positive_source():
    """Three equal crossed waves in x, y, z: lap phi2 = A^2 (cos x cos y + cos x cos z + cos y cos z), on top of a peak."""
    ics = conditions(0.5 * np.cos(KF * lattice()).sum(0))
    source = np.trace(derivatives(second_order_displacement(ics)))
    assert source[0, 0, 0] == pytest.approx(3 * 0.25, rel=1e-5)


def test_delta_is_minus_the_divergence(random):
    divergence = np.trace(derivatives(linear_displacement(random)))
    np.testing.assert_allclose(-divergence, random.delta_lin, atol=1e-5 * random.delta_lin.std())


@pytest.mark.parametrize("order", [linear_displacement, second_order_displacement])
def test_displacements_have_no_curl_and_no_mean(order, random):
    psi = order(random)
    slopes = derivatives(psi)
    assert psi.shape == (3, N, N, N)
    np.testing.assert_allclose(slopes, slopes.swapaxes(0, 1), atol=1e-5 * slopes.std())
    assert np.abs(psi.mean((1, 2, 3))).max() < 1e-6 * psi.std()


def test_second_order_is_the_determinants_of_the_tidal_tensor(random):
    phi = -derivatives(linear_displacement(random))
    source = sum(phi[i, i] * phi[j, j] - phi[i, j] ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))
    modes = np.fft.fftn(source)
    modes[0, 0, 0] = 0
    for axis in range(3):
        np.moveaxis(modes, axis, 0)[N // 2] = 0
    laplacian = np.trace(derivatives(second_order_displacement(random)))
    np.testing.assert_allclose(laplacian, np.fft.ifftn(modes).real, atol=1e-5 * source.std())


def test_nyquist_planes_of_a_field_from_outside_are_left_out(random):
    """A mode there has no direction: it must move nothing."""
    sign = (-1.0) ** np.arange(N)
    wild = random.delta_lin + (5 * sign[:, None, None] * np.ones((1, N, N)) + 3 * sign[None, None, :]).astype(
        np.float32
    )
    for order in (linear_displacement, second_order_displacement):
        calm = order(random)
        np.testing.assert_allclose(order(conditions(wild)), calm, atol=1e-4 * calm.std())


def test_orders_scale_with_the_first_and_second_power(random):
    double = conditions(2 * random.delta_lin)
    first, second = linear_displacement(random), second_order_displacement(random)
    np.testing.assert_allclose(linear_displacement(double), 2 * first, atol=1e-5 * first.std())
    np.testing.assert_allclose(second_order_displacement(double), 4 * second, atol=1e-5 * second.std())


def test_the_field_itself_is_left_alone(random):
    before = random.delta_lin.copy()
    linear_displacement(random), second_order_displacement(random)
    np.testing.assert_array_equal(random.delta_lin, before)


def test_both_orders_together_are_the_two_alone(random):
    first, second = displacements(random)
    np.testing.assert_array_equal(first, linear_displacement(random))
    np.testing.assert_array_equal(second, second_order_displacement(random))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("a", [0.02, 0.5, 1.0])
def test_the_velocity_of_the_lpt_state_is_its_displacements_change(random, a, order):
    """v = a dx/dt = 100 a^2 E dpsi/da km/s, here by centred differences of each order's factor."""
    cosmology = Cosmology(omega_m=0.3, omega_b=0.05, h=0.7, n_s=0.96, sigma_8=0.8, w0=-0.9, wa=0.2)
    step = 1e-4 * a
    later, earlier = (lpt_factors(cosmology, time, order) for time in (a + step, a - step))
    for now, above, below in zip(lpt_factors(cosmology, a, order), later, earlier, strict=True):
        change = (above[0] - below[0]) / (2 * step)
        assert now[1] == pytest.approx(100 * a**2 * float(expansion(cosmology, a)) * change, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_the_lpt_state_sums_its_orders(random, order):
    fields = displacements(random)[:order]
    psi, vel = lpt_state(random, 0.25, order)
    again = lpt_state(random, 0.25, order, fields=fields)
    assert np.array_equal(psi, again[0]) and np.array_equal(vel, again[1])
    assert psi.dtype == vel.dtype == np.float32
    factors = lpt_factors(QUIJOTE, 0.25, order)
    for field, which in ((psi, 0), (vel, 1)):
        total = sum(np.float64(factor[which]) * one for factor, one in zip(factors, fields, strict=True))
        assert np.allclose(field, total, rtol=0, atol=1e-6 * np.abs(total).max())


def test_displacements_on_disk_are_those_in_memory_with_a_mean_and_nyquist_planes_too():
    """No derivative has such waves, and neither may the square of the density have them."""
    delta = np.random.default_rng(3).normal(0.1, 0.5, 3 * (N,)).astype(np.float32)
    first, second = displacements(conditions(delta))
    made = {}
    write_displacements([delta], BOX, lambda name, planes: made.update({name: planes(0, N)}))
    np.testing.assert_allclose(made["first"], first, atol=1e-5 * np.abs(first).max())
    np.testing.assert_allclose(made["second"], second, atol=1e-5 * np.abs(second).max())
