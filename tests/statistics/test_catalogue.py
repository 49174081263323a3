"""Catalogues of halos, also of bare particles."""

import h5py
import numpy as np
import pytest

import zeldo
from zeldo.particles.lattice import particles_of
from zeldo.statistics import friends_of_friends
from zeldo.statistics.catalogue import write_halos
from zeldo.statistics.overdensity import halos


@pytest.fixture(scope="module")
def snapshot():
    (made,) = zeldo.run(engine="zeldovich", n=16, box=16.0, power="eisenstein-hu", redshift=0)
    return made


def test_halos_of_bare_particles_move_as_those_of_their_lattice(snapshot):
    lattice = friends_of_friends(snapshot, 0.3, 8)
    assert len(lattice.count)
    for order in (slice(None), np.random.default_rng(1).permutation(16**3)):
        particles = particles_of(snapshot)
        bare = friends_of_friends(
            zeldo.Particles(particles.header, particles.positions[order], particles.velocities[order]), 0.3, 8
        )
        np.testing.assert_allclose(
            np.sort(bare.velocity, axis=0), np.sort(lattice.velocity, axis=0), rtol=1e-5
        )


def test_a_catalogue_says_the_units_of_its_columns(snapshot, tmp_path):
    path = write_halos(halos(snapshot, 0.3, 8), tmp_path / "halos.hdf5")
    with h5py.File(path) as file:
        units = {
            name: (data.attrs["to_cgs"], data.attrs["h_scaling"]) for name, data in file["Halos"].items()
        }
    cm, gram = pytest.approx(3.0856776e24), pytest.approx(1.98841e43)
    assert units["count"] == (1.0, 0.0) and units["velocity"] == (1e5, 0.0)
    assert all(units[name] == (gram, -1.0) for name in ("mass", "m200c", "m200m", "mvir"))
    assert all(units[name] == (cm, -1.0) for name in ("centre", "centre_of_mass", "r200c", "r200m", "rvir"))
