"""What statistics refuse of the particles that they are given."""

from dataclasses import replace

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.cosmology.background import expansion
from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import InputError, ZeldoWarning
from zeldo.particles.lattice import find, particles_of
from zeldo.statistics.matter import matter_of
from zeldo.statistics.redshift_space import redshift_space_points

STATISTICS = (
    zeldo.power_spectrum,
    zeldo.redshift_space_multipoles,
    zeldo.equilateral_bispectrum,
    zeldo.friends_of_friends,
    zeldo.halos,
    zeldo.measure,
)


@pytest.fixture(scope="module")
def snapshot():
    (snapshot,) = zeldo.run(engine="zeldovich", box=20, n=8, power="eisenstein-hu")
    return snapshot


def with_one(values, bad):
    values = values.copy()
    values.flat[7] = bad
    return values


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(snapshot, statistic, bad):
    broken = replace(snapshot, psi=with_one(snapshot.psi, bad))
    line = refusal(lambda: statistic(broken))
    assert line.startswith("psi of this snapshot (zeldovich, z = 0) holds values that are not finite: check")
    header = zeldo.Header(count=8**3, box=20.0, redshift=0.0, cosmology=snapshot.cosmology)
    particles = zeldo.Particles(header, with_one(snapshot.positions(), bad), snapshot.velocities())
    line = refusal(lambda: statistic(particles))
    assert line.startswith("positions of particles holds values that are not finite")


def test_velocities_are_finite_too(snapshot):
    broken = replace(snapshot, vel=with_one(snapshot.vel, np.nan))
    assert np.isfinite(zeldo.power_spectrum(broken).power).all()
    assert "vel of this snapshot" in refusal(lambda: zeldo.redshift_space_multipoles(broken, "x"))


def test_a_comparison_refuses_values_that_are_not_finite(snapshot):
    for field in ("psi", "vel"):
        broken = replace(snapshot, **{field: with_one(getattr(snapshot, field), np.nan)})
        for pair in ((broken, snapshot), (snapshot, broken)):
            line = refusal(lambda pair=pair: zeldo.compare_snapshots(*pair))
            assert line.startswith(f"{field} of this snapshot")


def test_masses_that_differ_are_refused_however_small_they_are(tmp_path):
    masses = np.full(8**3, 1e-5)
    masses[9] *= 1.0009
    header = zeldo.Header(count=8**3, box=20.0, redshift=0.0)
    points = np.stack(np.meshgrid(*3 * [np.arange(8) * 2.5], indexing="ij"), -1).reshape(-1, 3)
    particles = zeldo.Particles(header, points, None, np.arange(8**3), masses)
    assert "different masses" in refusal(lambda: find(particles, "i-major"))


def test_parameters_that_a_file_gives_are_those_of_its_matter():
    """Density and expansion hold true where a header gives no whole cosmology."""
    truth = replace(PRESETS["quijote"], omega_m=0.2, omega_b=0.03, h=0.8)
    (snapshot,) = zeldo.run(
        engine="zeldovich", n=8, box=16.0, cosmology=truth, power="eisenstein-hu", redshift=1
    )
    lattice = particles_of(snapshot)
    header = replace(lattice.header, cosmology=None, parameters={"omega_m": 0.2}, particle_mass=None)
    bare = zeldo.Particles(header, lattice.positions, lattice.velocities)
    assert matter_of(bare).particle_mass == pytest.approx(snapshot.particle_mass)
    shift = redshift_space_points(bare, "z")[:, 2] - lattice.positions[:, 2]
    rate = 100 * float(expansion(truth, 0.5))
    np.testing.assert_allclose(shift, 2 * lattice.velocities[:, 2] / rate, rtol=1e-3, atol=1e-5)


def particles_with(masses=None, **header):
    points = np.random.default_rng(1).uniform(0, 20, (700, 3))
    return zeldo.Particles(zeldo.Header(count=700, box=20.0, redshift=0.0, **header), points, masses=masses)


def test_the_spacing_of_bare_particles_is_that_of_their_number():
    """Neither of the even lattice whose mesh they have, nor of that of tracers."""
    for whole in (True, False):
        assert matter_of(particles_with(whole=whole)).spacing == pytest.approx(20 / 700 ** (1 / 3))


@pytest.mark.parametrize("field", ["points", "positions"])
def test_masses_may_differ_by_rounding_alone(field):
    masses = np.full(700, 3.0)
    for off, fine in ((1e-6, True), (1e-3, False)):
        masses[-1] = 3 * (1 + off)
        matter = matter_of(particles_with(masses))
        asked = [lambda matter=matter: matter.particle_mass]
        asked.append(lambda matter=matter: matter.points if field == "points" else matter.positions())
        for ask in asked:
            if fine:
                ask()
            else:
                assert "different masses" in refusal(ask)


def test_one_species_of_several_stands_for_all_matter():
    header = {"cosmology": PRESETS["quijote"], "whole": False, "particle_mass": 0.01}
    whole = matter_of(particles_with(cosmology=PRESETS["quijote"])).particle_mass
    with pytest.warns(ZeldoWarning, match="stand for it, with its mass"):
        assert matter_of(particles_with(**header)).particle_mass == pytest.approx(whole)
    said = {"whole": True, "particle_mass": 1.005 * whole}
    assert matter_of(particles_with(**header | said)).particle_mass == 1.005 * whole


def test_little_matter_leaves_room_for_what_is_assumed_of_baryons():
    matter = matter_of(particles_with(parameters={"omega_m": 0.04}))
    assert matter.cosmology.omega_m == 0.04 and matter.particle_mass > 0


def test_masses_that_contradict_omega_m_are_said_or_refused():
    """Thresholds of spherical overdensities count particles, and halos have their masses."""
    known = {"parameters": {"omega_m": 0.3175}}
    share = matter_of(particles_with(**known)).particle_mass

    def mass(factor):
        return matter_of(particles_with(**known, particle_mass=factor * share)).particle_mass

    assert mass(1.005) == pytest.approx(1.005 * share)
    with pytest.warns(ZeldoWarning, match=r"make omega_m = 0\.2667, not 0\.3175"):
        assert mass(0.84) == pytest.approx(0.84 * share)
    for factor in (1e10, 1e-3):
        with pytest.raises(InputError, match="give masses in 10\\^10 Msun/h"):
            mass(factor)
