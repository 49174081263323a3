"""Halos as particles: their spectra, and their cross power with the matter they are in."""

from dataclasses import replace

import numpy as np
import pytest

import zeldo
from zeldo.particles.lattice import header_of
from zeldo.particles.particles import Particles
from zeldo.statistics.modes import density_modes


@pytest.fixture(scope="module")
def snapshot():
    (made,) = zeldo.run(engine="cola", box=64.0, n=32, seed=2, redshift=0.0, power="eisenstein-hu")
    return made


@pytest.fixture(scope="module")
def found(snapshot):
    return zeldo.halos(snapshot)


def test_tracers_are_halos_at_their_centres(snapshot, found):
    tracers = found.tracers()
    np.testing.assert_array_equal(tracers.positions, found.spherical.centre)
    np.testing.assert_array_equal(tracers.velocities, found.friends.velocity)
    header = tracers.header
    assert (header.count, header.box, header.redshift) == (found.friends.count.size, 64.0, 0.0)
    assert header.cosmology == snapshot.cosmology and not header.whole
    heavy = found.friends.count > 40
    assert 0 < heavy.sum() < heavy.size
    np.testing.assert_array_equal(found.tracers(heavy).positions, found.spherical.centre[heavy])
    np.testing.assert_array_equal(found.tracers([2, 0]).velocities, found.friends.velocity[[2, 0]])


def test_tracers_know_what_is_known_of_the_cosmology(snapshot, tmp_path):
    whole = header_of(snapshot)
    header = zeldo.Header(whole.count, whole.box, 0.5, parameters={"omega_m": snapshot.cosmology.omega_m})
    particles = Particles(header, snapshot.positions(), snapshot.velocities())
    found = zeldo.halos(particles)
    zeldo.write_halos(found, tmp_path / "halos.hdf5")
    for catalogue in (found, zeldo.read_halos(tmp_path / "halos.hdf5")):
        assert catalogue.cosmology is None
        seen = zeldo.redshift_space_multipoles(catalogue.tracers(), mesh=16)  # whose shift takes omega_m
        known = replace(catalogue, cosmology=snapshot.cosmology).tracers()
        np.testing.assert_array_equal(
            seen.quadrupole, zeldo.redshift_space_multipoles(known, mesh=16).quadrupole
        )


def test_their_power_is_that_of_a_direct_sum(found):
    """delta_k = (1 / N) sum exp(-ikx), over all modes of a bin."""
    x, box = found.spherical.centre, 64.0
    spectrum = zeldo.power_spectrum(found.tracers())
    assert len(spectrum.k) == 63  # a mesh of 128, however few halos there are
    axis = np.arange(-4, 5)
    k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    shell = np.round(np.sqrt((k**2).sum(1)))
    power = box**3 * np.abs(np.exp(-2j * np.pi / box * (k @ x.T)).mean(1)) ** 2
    for i in (1, 2, 3):
        assert spectrum.power[i - 1] == pytest.approx(power[shell == i].mean(), rel=1e-3)
    less = zeldo.power_spectrum(found.tracers(), subtract_shot_noise=True)
    np.testing.assert_allclose(spectrum.power - less.power, box**3 / len(x))


def test_cross_power_is_symmetric_and_of_one_field_its_power(snapshot, found):
    tracers = found.tracers()
    cross, other = (
        zeldo.cross_power_spectrum(tracers, snapshot),
        zeldo.cross_power_spectrum(snapshot, tracers),
    )
    np.testing.assert_allclose(cross.power, other.power)
    own = zeldo.cross_power_spectrum(snapshot, snapshot)
    wanted = zeldo.power_spectrum(snapshot)
    np.testing.assert_array_equal(own.power, wanted.power)
    np.testing.assert_array_equal(own.k, wanted.k)
    a, b = density_modes(tracers, 128).numpy(), density_modes(snapshot, 128).numpy()
    first = [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (1, 1, 0),
        (1, -1, 0),
        (1, 0, 1),
        (-1, 0, 1),
        (0, 1, 1),
        (0, -1, 1),
    ]
    products = [(a[at] * b[at].conj()).real for at in first]
    assert zeldo.cross_power_spectrum(tracers, snapshot, mesh=128).power[0] == pytest.approx(
        64.0**3 * np.mean(products), rel=1e-5
    )


def test_halos_are_biased_and_heavier_ones_more(snapshot, found):
    matter = zeldo.power_spectrum(snapshot, mesh=128)

    def bias(tracers):
        cross = zeldo.cross_power_spectrum(tracers, snapshot)
        large = slice(0, 4)
        return np.average((cross.power / matter.power)[large], weights=matter.modes[large])

    assert bias(found.tracers(slice(0, 20))) > bias(found.tracers()) > 0.6


def test_redshift_space_takes_halos(found):
    seen = zeldo.redshift_space_multipoles(found.tracers(), subtract_shot_noise=True)
    plain = zeldo.power_spectrum(found.tracers(), subtract_shot_noise=True)
    assert len(seen.k) == len(plain.k) and np.abs(seen.monopole / plain.power - 1)[:3].max() > 1e-3


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (np.ones(3, bool), "the halos to choose are not of this catalogue: give a condition on each of its"),
        ([10**6], "the halos to choose are not of this catalogue"),
        ("heavy", "the halos to choose are not of this catalogue"),
        ([], "none of the .* halos is chosen: give a condition that some meet"),
        (3, "none of the .* halos is chosen"),
    ],
)
def test_a_choice_of_other_halos_or_of_none_is_refused(found, chosen, words):
    with pytest.raises(zeldo.InputError, match=words):
        found.tracers(np.array(chosen, int) if isinstance(chosen, list) else chosen)


def test_boxes_that_differ_have_no_cross_power(snapshot, found):
    (other,) = zeldo.run(engine="2lpt", box=32.0, n=16, power="eisenstein-hu")
    with pytest.raises(zeldo.InputError, match="boxes of 64 and 32 Mpc/h have no waves in common"):
        zeldo.cross_power_spectrum(snapshot, other)


def test_galaxies_of_a_user_have_the_mesh_of_tracers():
    positions = np.random.default_rng(1).uniform(0, 250, (2000, 3))
    lengths = {}
    for whole in (True, False):
        header = zeldo.Header(count=2000, box=250.0, redshift=0.5, whole=whole)
        lengths[whole] = len(zeldo.power_spectrum(zeldo.Particles(header, positions)).k)
    assert lengths == {True: 11, False: 63}


def test_a_lattice_that_begins_between_points_lies_where_its_particles_do():
    (made,) = zeldo.run(n=16, box=32.0, engine="2lpt", redshift=2.0, power="eisenstein-hu")
    moved = replace(made, offset=(0.5, 0.25, 0.0))
    header = replace(header_of(moved), n=None, offset=None)
    bare = Particles(header, moved.positions())
    cross = zeldo.cross_power_spectrum(moved, bare, mesh=32)
    np.testing.assert_allclose(cross.power, zeldo.power_spectrum(moved, mesh=32).power, rtol=1e-4)
