"""Zel'dovich and 2LPT as engines."""

import numpy as np
import pytest
from waves import BOX, QUIJOTE, difference, plane_wave, smooth, universe

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.registry import engine

REDSHIFTS = [0.0, 0.5, 3.0, 49.0]


@pytest.mark.parametrize("name", ["zeldovich", "2lpt"])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_plane_wave_moves_as_the_closed_form(name, axis):
    """psi = -D1 A / k sin(kx), v = 100 E a f1 psi; also after shell crossing, where it is no solution any more."""
    ics = plane_wave(0.8, axis=axis)
    k = 2 * np.pi / BOX
    shape = np.zeros((3, 16, 16, 16))
    shape[axis] = (
        -0.8 / k * np.expand_dims(np.sin(2 * np.pi * np.arange(16) / 16), [a for a in range(3) if a != axis])
    )
    for snapshot in engine(name).run(ics, REDSHIFTS):
        a = 1 / (1 + snapshot.redshift)
        psi = float(growth(QUIJOTE).d1(a)) * shape
        vel = 100 * a * float(expansion(QUIJOTE, a) * growth(QUIJOTE).f1(a)) * psi
        np.testing.assert_allclose(snapshot.psi, psi, atol=1e-5 * np.abs(psi).max())
        np.testing.assert_allclose(snapshot.vel, vel, atol=1e-5 * np.abs(vel).max())


@pytest.mark.parametrize("name", ["zeldovich", "2lpt"])
@pytest.mark.parametrize("dark", [(-1.0, 0.0), (-0.8, -0.4)])
def test_velocities_are_the_slopes_of_positions(name, dark):
    """v = a dx/dt = 100 E a^2 d psi / da."""
    cosmology = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, *dark)
    ics = smooth(amplitude=1.0, cosmology=cosmology)
    for z in (0.5, 2.0):
        early, now, late = (next(engine(name).run(ics, [x])) for x in (z + 2e-3, z, z - 2e-3))
        a = 1 / (1 + z)
        slope = (late.psi.astype(float) - early.psi) / (late.scale_factor - early.scale_factor)
        assert difference(now.vel, 100 * float(expansion(cosmology, a)) * a**2 * slope) < 1e-4


def test_a_uniform_sphere_moves_as_its_series_says():
    """At the centre of a symmetric peak 2LPT contracts by D delta / 3 - D2 delta^2 / 9 along each axis.

    Three equal crossed plane waves, phi_xx = phi_yy = phi_zz at the peak; the slope of psi there, in units of q.
    """
    n, contrast, k = 32, 0.3, 2 * np.pi / BOX
    wave = contrast / 3 * np.cos(2 * np.pi * np.arange(n) / n)
    ics = plane_wave(0.0, n)
    object.__setattr__(
        ics, "delta_lin", (wave[:, None, None] + wave[None, :, None] + wave).astype(np.float32)
    )
    (snapshot,) = engine("2lpt").run(ics, [0.0])
    slope = (snapshot.psi[0, 1, 0, 0] - snapshot.psi[0, -1, 0, 0]) / (2 * BOX / n)
    # the second order goes as cos x cos y + ...: lap phi2 = (contrast/3)^2 (3 at the peak), a third along each axis
    first = -contrast / 3 * np.sin(k * BOX / n) / (k * BOX / n)
    second = float(growth(QUIJOTE).d2(1.0)) * (contrast / 3) ** 2
    assert slope == pytest.approx(first + second * np.sin(k * BOX / n) / (k * BOX / n), rel=1e-4)


def test_orders_grow_with_their_factors():
    ics = smooth()
    today, then = engine("2lpt").run(ics, [3.0, 0.0])
    first = {s.redshift: s for s in engine("zeldovich").run(ics, [3.0, 0.0])}
    second = {s.redshift: s.psi - first[s.redshift].psi for s in (today, then)}
    d1, d2 = growth(QUIJOTE).d1(0.25), growth(QUIJOTE).d2(0.25) / growth(QUIJOTE).d2(1.0)
    assert difference(first[3.0].psi, d1 * first[0.0].psi) < 1e-6
    assert difference(second[3.0], d2 * second[0.0]) < 1e-4


@pytest.mark.parametrize("name", ["zeldovich", "2lpt"])
def test_momentum_is_kept(name):
    (snapshot,) = engine(name).run(universe(), [0.0])
    assert np.abs(snapshot.vel.mean((1, 2, 3), dtype=float)).max() < 1e-5 * snapshot.vel.std()


@pytest.mark.parametrize("name", ["zeldovich", "2lpt"])
def test_snapshots_say_what_they_are_and_leave_the_input_alone(name):
    ics, seen = universe(), []
    before = ics.delta_lin.copy()
    snapshots = list(engine(name).run(ics, [0.0, 2.0], lambda *x: seen.append(x)))
    assert [s.redshift for s in snapshots] == [2.0, 0.0]
    assert {(s.engine, s.seed, s.box, s.cosmology) for s in snapshots} == {(name, 1, 50.0, QUIJOTE)}
    assert [(done, total) for done, total, _ in seen] == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(ics.delta_lin, before)
