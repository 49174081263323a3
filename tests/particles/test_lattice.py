"""A lattice among particles: known again in any order of rows, by the order of its ids."""

from dataclasses import replace

import numpy as np
import pytest

from refusals import refusal
from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import DamagedFileError
from zeldo.particles import lattice
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot

N, BOX = 12, 60.0


@pytest.fixture
def snapshot():
    """Displacements of half a cell or so, as at an early time, that cross the faces of the box."""
    rng = np.random.default_rng(4)
    psi = rng.normal(0, 2.5, (3, N, N, N)).astype(np.float32)
    return Snapshot(psi, 100 * psi, BOX, PRESETS["quijote"], 1.0, "cola", seed=3, settings={"steps": 5})


def arrays(snapshot):
    particles = lattice.particles_of(snapshot)
    return replace(particles.header, n=None), {name: particles.read(name) for name in particles.fields}


def rearranged(snapshot, ids, order=slice(None)):
    """The particles with these ids, rows in another order."""
    header, fields = arrays(snapshot)
    fields["ids"] = ids
    return Particles(header, **{name: values[order] for name, values in fields.items()})


def test_a_snapshot_is_its_particles_slice_by_slice(snapshot):
    particles = lattice.particles_of(snapshot)
    for start, stop in ((0, N**3), (5, 6), (N**2 - 1, N**2 + 1), (100, 1000)):
        np.testing.assert_array_equal(
            particles.read("positions", start, stop), snapshot.positions()[start:stop]
        )
        np.testing.assert_array_equal(
            particles.read("velocities", start, stop), snapshot.velocities()[start:stop]
        )
        np.testing.assert_array_equal(particles.read("ids", start, stop), np.arange(start + 1, stop + 1))
    still = lattice.particles_of(replace(snapshot, vel=None))
    assert "velocities" not in still.fields


def test_a_lattice_in_order_is_recognised(snapshot):
    again = lattice.recognise(lattice.particles_of(snapshot))
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=4e-6)
    np.testing.assert_array_equal(again.vel, snapshot.vel)
    for name in ("box", "cosmology", "redshift", "engine", "seed", "settings", "version", "fixed"):
        assert getattr(again, name) == getattr(snapshot, name)


def test_rows_in_any_order_are_put_in_place_by_their_ids(snapshot):
    shuffled = np.random.default_rng(2).permutation(N**3)
    again = lattice.recognise(rearranged(snapshot, np.arange(1, N**3 + 1), shuffled))
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=4e-6)
    np.testing.assert_array_equal(again.vel, snapshot.vel)


def k_major(index, n):
    """Ids that count the first axis fastest."""
    k, rest = np.divmod(index, n * n)
    j, i = np.divmod(rest, n)
    return (i * n + j) * n + k


@pytest.fixture
def swapped(snapshot):
    """Particles whose ids are k-major."""
    ids = np.empty(N**3, int)
    ids[k_major(np.arange(N**3), N)] = np.arange(1, N**3 + 1)
    return rearranged(snapshot, ids)


def test_ids_of_an_unknown_order_are_no_universe_of_large_displacements(swapped):
    """The trap: a wrong order gives displacements of half the box, and a perfect power spectrum."""
    with pytest.raises(DamagedFileError, match=r"as far from their lattice points.*\(i-major from 1\)"):
        lattice.recognise(swapped)


def test_an_order_of_ids_is_one_more_entry_and_positions_choose(snapshot, swapped, monkeypatch):
    orders = [*lattice.ID_ORDERS, lattice.IdOrder("k-major from 1", 1, k_major)]
    for table in (orders, orders[::-1]):
        monkeypatch.setattr(lattice, "ID_ORDERS", table)
        for particles in (swapped, lattice.particles_of(snapshot)):
            again = lattice.recognise(particles)
            np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=4e-6)


def test_ids_may_begin_elsewhere(snapshot, monkeypatch):
    particles = rearranged(snapshot, np.arange(N**3))
    with pytest.raises(DamagedFileError, match="id 0 is out of range"):
        lattice.recognise(particles)
    zero = lattice.IdOrder("i-major from 0", 0, lambda index, n: index)
    monkeypatch.setattr(lattice, "ID_ORDERS", [*lattice.ID_ORDERS, zero])
    np.testing.assert_allclose(lattice.recognise(particles).psi, snapshot.psi, rtol=0, atol=4e-6)


def test_what_is_no_lattice_is_refused(snapshot):
    header, fields = arrays(snapshot)

    def recognise(count=N**3, **changes):
        values = {name: values[:count] for name, values in fields.items()}
        return lattice.recognise(Particles(replace(header, count=count, **changes), **values))

    assert "999 particles: zeldo reads full lattices" in refusal(lambda: recognise(999))
    assert "does not say omega_b, sigma_8, n_s: pass the cosmology" in refusal(
        lambda: recognise(cosmology=None, parameters={"omega_m": 0.3, "h": 0.7})
    )
    assert "a particle mass of 1 " in refusal(lambda: recognise(particle_mass=1.0))
    del fields["ids"]
    assert "has no ids" in refusal(recognise)


def test_masses_are_one_mass(snapshot):
    header, fields = arrays(snapshot)
    masses = np.full(N**3, snapshot.particle_mass)
    lattice.recognise(Particles(replace(header, particle_mass=None), masses=masses, **fields))
    masses[-1] *= 1.01
    assert "different masses" in refusal(
        lambda: lattice.recognise(Particles(header, masses=masses, **fields))
    )
