"""The force of a particle mesh: its response to a plane wave in closed form, momentum, twins."""

import numpy as np
import pytest

from zeldo.mesh.gravity import gravity
from zeldo.mesh.modes import mode_factors

BOX = 100.0
N = 16
BOTH = pytest.mark.parametrize("device", ["cpu", "torch"])
GRADIENTS = pytest.mark.parametrize("gradient", ["difference", "spectral"])


def force_of(psi, m, offset=0.5, device="cpu", **options):
    """F (3, n, n, n) in main memory."""
    g = gravity(BOX, m, device=device, **options)
    return g.numpy(g(g.array(psi), offset))


def wild(n=N, seed=3, spread=8.0):
    return (spread * np.random.default_rng(seed).standard_normal((3, n, n, n))).astype(np.float32)


def wave(mode, amplitude, n=N, axis=0):
    """psi of a plane wave along an axis, and the phase at each lattice point."""
    q = np.arange(n) * BOX / n
    phase = 2 * np.pi / BOX * mode * q
    psi = np.zeros((3, n, n, n), np.float32)
    psi[axis] = amplitude * np.expand_dims(np.sin(phase), [a for a in range(3) if a != axis])
    return psi


def response(mode, n, m, gradient, deconvolution):
    """F over psi for an infinitesimal plane wave with the mesh half a cell off the lattice.

    A particle in the middle of two mesh points that moves by x takes x / h from one and gives it to the other: paint has
    the factor 2 sin(kh/2) / h instead of k. Read takes the mean of the two: cos(kh/2). Where the mesh has m / n points a
    particle, what the wave beats with the lattice into, k + 2 pi n j / box, is seen by the mesh too and read back as k.
    """
    h, total = BOX / m, 0.0
    for alias in range(m // n):
        nu = (mode + alias * n) / m
        nu -= np.round(nu)
        k = 2 * np.pi * nu / h
        slope = k if gradient == "spectral" else (8 * np.sin(k * h) - np.sin(2 * k * h)) / (6 * h)
        window = np.sinc(nu) ** (-2 * deconvolution)
        total += 2 * np.sin(k * h / 2) / h * np.cos(k * h / 2) * slope / k**2 * window
    return total


@BOTH
@GRADIENTS
@pytest.mark.parametrize("deconvolution", [0.0, 1.0])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(("mode", "axis"), [(1, 0), (2, 1), (5, 2), (7, 0)])
def test_response_to_a_small_plane_wave_is_the_closed_form(
    device, gradient, deconvolution, factor, mode, axis
):
    psi = wave(mode, 0.2, axis=axis)
    force = force_of(psi, factor * N, device=device, gradient=gradient, deconvolution=deconvolution)
    expected = response(mode, N, factor * N, gradient, deconvolution)
    assert np.vdot(force, psi) / np.vdot(psi, psi) == pytest.approx(expected, abs=2e-5)
    others = [a for a in range(3) if a != axis]
    assert np.abs(force[others]).max() < 1e-5 * np.abs(psi).max()


@BOTH
@pytest.mark.parametrize(("mode", "tolerance"), [(1, 0.004), (2, 0.014), (4, 0.065)])
def test_well_resolved_waves_are_pushed_as_linear_theory_says(device, mode, tolerance):
    """F = psi to the order of (kh)^2, on the mesh of the lattice with one window divided out."""
    psi = wave(mode, 0.2, n=32)
    force = force_of(psi, 32, device=device, deconvolution=1.0)
    assert np.vdot(force, psi) / np.vdot(psi, psi) == pytest.approx(1, abs=tolerance)


@BOTH
@GRADIENTS
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_a_plane_wave_before_shell_crossing_feels_its_own_displacement(device, gradient, factor, offset):
    """F = psi exactly in one dimension, beyond linear theory: the peak's contrast is 1, its amplitude 2.5 lattice cells."""
    n, k = 32, 2 * np.pi / BOX
    psi = wave(1, -0.5 / k, n)
    force = force_of(psi, factor * n, offset, device, gradient=gradient)
    assert np.vdot(force[0], psi[0]) / np.vdot(psi[0], psi[0]) == pytest.approx(1, abs=0.012)
    np.testing.assert_allclose(force[0], psi[0], atol=0.05 * np.abs(psi).max())
    np.testing.assert_allclose(force[1:], 0, atol=1e-4 * np.abs(psi).max())


@BOTH
@GRADIENTS
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_forces_add_up_to_nothing(device, gradient, offset):
    """Momentum is kept: paint and read have the same weights, and the gradient is odd."""
    for m in (N, 2 * N):
        force = force_of(wild(), m, offset, device, gradient=gradient).astype(float)
        assert np.abs(force.mean((1, 2, 3))).max() < 1e-5 * force.std()


@GRADIENTS
@pytest.mark.parametrize(("deconvolution", "offset"), [(0.0, 0.5), (0.0, 0.0), (1.0, 0.3), (2.0, 0.5)])
@pytest.mark.parametrize(("n", "m"), [(8, 8), (8, 16), (6, 16)])
def test_numba_equals_torch(gradient, deconvolution, offset, n, m):
    psi = wild(n)
    options = {"offset": offset, "gradient": gradient, "deconvolution": deconvolution}
    theirs = force_of(psi, m, device="torch", **options)
    np.testing.assert_allclose(force_of(psi, m, **options), theirs, atol=1e-4 * theirs.std())


@BOTH
@GRADIENTS
def test_the_force_moves_with_the_particles(device, gradient):
    """Whole cells: the mesh sees the same. Whole lattice spacings along an axis: the particles change names."""
    psi, m = wild(8), 16
    force = force_of(psi, m, device=device, gradient=gradient)
    shift = np.array([3, -2, 40], np.float32)[:, None, None, None] * np.float32(BOX / m)
    moved = force_of(psi + shift, m, device=device, gradient=gradient)
    np.testing.assert_allclose(moved, force, atol=2e-4 * force.std())
    renamed = force_of(np.roll(psi, 1, axis=2), m, device=device, gradient=gradient)
    np.testing.assert_allclose(renamed, np.roll(force, 1, axis=2), atol=2e-4 * force.std())


@BOTH
@GRADIENTS
def test_the_axes_are_equal(device, gradient):
    psi = wild(8)
    swapped = np.ascontiguousarray(psi[[2, 0, 1]].transpose(0, 3, 1, 2))
    force = force_of(psi, 16, device=device, gradient=gradient)
    expected = force[[2, 0, 1]].transpose(0, 3, 1, 2)
    result = force_of(swapped, 16, device=device, gradient=gradient)
    np.testing.assert_allclose(result, expected, atol=1e-4 * force.std())


@BOTH
@pytest.mark.parametrize("terms", [2, 3, 4])
def test_combine_makes_a_new_field_or_fills_the_one_given(device, terms):
    g, fields = gravity(BOX, 8, device=device), [wild(8, seed) for seed in range(4)]
    before = [field.copy() for field in fields]
    weighted = list(zip([0.5, -2.0, 3.0, 0.25], map(g.array, fields), strict=True))[:terms]
    expected = sum(factor * g.numpy(field).astype(float) for factor, field in weighted)
    np.testing.assert_allclose(g.numpy(g.combine(None, *weighted)), expected, atol=1e-5)
    np.testing.assert_array_equal(fields, before)
    out = g.array(fields[0])
    assert g.combine(out, *weighted) is out
    np.testing.assert_allclose(g.numpy(out), expected, atol=1e-5)


@BOTH
@pytest.mark.parametrize(("terms", "kicks"), [(0, True), (2, True), (2, False)])
def test_advance_is_a_kick_and_then_a_drift(device, terms, kicks):
    g = gravity(BOX, 8, device=device)
    psi, v, force, *fields = (wild(8, seed).astype(float) for seed in range(3 + terms))
    kick, drift = (0.7, 1.4, 0.3, -0.2), (0.6, -1.5, 0.4)
    if kicks:
        kicked = sum(k * field for k, field in zip(kick, (v, force, *fields), strict=False))
    else:
        kicked = v
    moved = psi + sum(d * field for d, field in zip(drift, (kicked, *fields), strict=False))
    psi, v, force, *fields = (g.array(field.astype(np.float32)) for field in (psi, v, force, *fields))
    force = force if kicks else None
    before = [g.numpy(field).copy() for field in (psi, v)]
    for donate in (False, True):
        after = g.advance(psi, v, force, kick, drift, fields, donate=donate)
        np.testing.assert_allclose(g.numpy(after[1]), kicked, atol=2e-5)
        np.testing.assert_allclose(g.numpy(after[0]), moved, atol=4e-5)
        if donate:
            assert after[0] is psi and after[1] is v
        else:
            np.testing.assert_array_equal([g.numpy(field) for field in (psi, v)], before)


@BOTH
@GRADIENTS
def test_mesh_fields_of_a_gravity_are_the_density_and_its_potential(device, gradient):
    """The force of a lattice that is hardly displaced is minus the potential's slope there."""
    g, psi = gravity(BOX, 16, gradient=gradient, device=device), wild(8)
    field = g.array(psi)
    density, potential = g.numpy(g.density(field)), g.numpy(g.potential(field))
    assert density.shape == potential.shape == (16, 16, 16)
    assert density.mean(dtype=float) == pytest.approx(1, rel=1e-5) and density.min() >= 0
    k = 2 * np.pi * np.fft.fftfreq(16, BOX / 16)
    modes = np.fft.fftn(density) * -1.0
    squares = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
    squares[0, 0, 0] = np.inf
    expected = modes / squares
    for axis in range(3):
        np.moveaxis(expected, axis, 0)[8] = 0  # Nyquist planes are cleared
    np.testing.assert_allclose(potential, np.fft.ifftn(expected).real, atol=2e-5 * np.abs(potential).max())
    kept = potential.copy()
    g(field, 0.5)
    np.testing.assert_array_equal(kept, potential)


@BOTH
@GRADIENTS
def test_the_displacements_are_left_alone_and_the_next_force_is_the_same(device, gradient):
    g, psi = gravity(BOX, 16, gradient=gradient, device=device), wild(8)
    field = g.array(psi)
    first = g.numpy(g(field, 0.5)).copy()
    g(g.array(-psi), 0.0)
    np.testing.assert_array_equal(g.numpy(g(field, 0.5)), first)
    np.testing.assert_array_equal(g.numpy(field), psi)


def test_mode_factors_clear_nyquist_and_divide_by_windows():
    k, window = mode_factors(8, BOX, 1.0)
    np.testing.assert_allclose(k, 2 * np.pi * np.fft.fftfreq(8, BOX / 8), rtol=1e-6)
    assert window[4] == 0 and window[0] == 1
    x = np.pi * np.array([1, 2, 3]) / 8
    np.testing.assert_allclose(window[1:4], (x / np.sin(x)) ** 2, rtol=1e-6)
    np.testing.assert_array_equal(mode_factors(8, BOX, 0.0)[1], [1, 1, 1, 1, 0, 1, 1, 1])
