"""A lattice among particles: known again in any order of rows, by the order of its ids."""

from dataclasses import replace

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.cosmology.parameters import PRESETS
from zeldo.files import read, read_snapshot
from zeldo.particles import lattice
from zeldo.particles.lattice import recognise
from zeldo.particles.particles import Header, Particles
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


ORDERS = {
    "i-major": lambda i, j, k: (i * N + j) * N + k,
    "k-major": lambda i, j, k: (k * N + j) * N + i,
    "jik": lambda i, j, k: (j * N + i) * N + k,
    "ikj": lambda i, j, k: (i * N + k) * N + j,
    "jki": lambda i, j, k: (j * N + k) * N + i,
    "kij": lambda i, j, k: (k * N + i) * N + j,
    "tiles:3": lambda i, j, k: tiled(3, i, j, k),
    "tiles:6": lambda i, j, k: tiled(6, i, j, k),
}


def tiled(tiles, *point):
    """N-GenIC's glass: tile by tile, and inside each in order."""
    side = N // tiles
    (a, b, c), (i, j, k) = zip(*(divmod(x, side) for x in point), strict=True)
    return ((a * tiles + b) * tiles + c) * side**3 + (i * side + j) * side + k


def counted(order, first=1):
    return first + ORDERS[order](*np.indices((N, N, N)).reshape(3, -1))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_ids_is_recognised(snapshot, order, first):
    shuffled = np.random.default_rng(2).permutation(N**3)
    ids = counted(order, first)
    header, fields = arrays(snapshot)
    fields["ids"] = ids
    particles = Particles(header, **{name: values[shuffled] for name, values in fields.items()})
    again = lattice.recognise(particles)
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=4e-6)
    np.testing.assert_array_equal(again.vel, snapshot.vel)
    assert (lattice.find(particles).order, lattice.find(particles).first) == (order, first)
    np.testing.assert_array_equal(lattice.recognise(particles, order).psi, again.psi)


def test_ids_in_no_order_are_no_universe_of_large_displacements(snapshot):
    """The trap: a wrong order gives displacements of half the box, and a perfect power spectrum."""
    particles = rearranged(snapshot, 1 + np.random.default_rng(1).permutation(N**3))
    line = refusal(lambda: lattice.recognise(particles))
    assert "as far from their lattice points as from any others" in line
    for order in ORDERS:
        assert order in line
    assert "--ids" in line
    swapped = rearranged(snapshot, counted("k-major"))
    assert "in the orders tried (i-major)" in refusal(lambda: lattice.recognise(swapped, "i-major"))
    assert "not an order of 12^3 points: give one of i-major" in refusal(
        lambda: lattice.find(swapped, "tiles:5")
    )
    with pytest.raises(lattice.NoLatticeError):
        lattice.find(swapped, "none")


def test_ids_may_follow_those_of_another_species(snapshot):
    header, fields = arrays(snapshot)
    fields["ids"] = counted("i-major", 1 + N**3)
    again = lattice.recognise(Particles(header, **fields))
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=4e-6)
    fields["ids"] = counted("i-major", 3)
    assert "id 1729 is out of range" in refusal(lambda: lattice.recognise(Particles(header, **fields)))


@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, 0.0, 0.5), (0.123, -0.2, 0.31)])
def test_a_lattice_may_begin_anywhere(offset):
    """Cell centres, and species half a cell apart, or by a fraction of it: psi is the displacement all the same."""
    universe = smooth(16, 100.0, offset)
    header, fields = arrays(universe)
    fields["positions"] = fields["positions"] + 100.0 * (fields["positions"] < 1.0)  # as unwrapped ones are
    with pytest.warns(UserWarning, match="leave the box of 100 Mpc/h and are wrapped"):
        again = lattice.recognise(Particles(replace(header, offset=None), **fields))
    assert again.offset == pytest.approx(offset, abs=2e-4)
    np.testing.assert_allclose(again.psi, universe.psi, rtol=0, atol=2e-3)
    x = again.positions() - universe.positions()
    assert np.abs(x - 100 * np.rint(x / 100)).max() < 2e-5


def smooth(n, box, offset=(0.0, 0.0, 0.0), amplitude=1.0):
    """A universe of a few long waves, as large as linear theory wants at z = 1."""
    q = 2 * np.pi * np.indices((n, n, n)) / n
    psi = np.zeros((3, n, n, n))
    for along in range(3):
        for phase, mode in ((0.3, (1, 0, 1)), (1.1, (0, 2, 1)), (2.0, (1, 1, 1))):
            psi[along] += np.sin(sum(m * x for m, x in zip(mode, q, strict=True)) + phase + along)
    psi *= amplitude
    return Snapshot(psi, 100 * psi, box, PRESETS["quijote"], 1.0, "other", offset=offset)


def test_displacements_are_those_of_linear_theory(monkeypatch):
    """Ids that scramble neighbours leave small displacements, which are rough, or too large for their redshift."""
    universe = smooth(24, 100.0)
    header, fields = arrays(universe)
    header = replace(header, offset=None)
    lattice.recognise(Particles(header, **fields))
    ids = fields["ids"].reshape(12, 2, 12, 2, 12, 2).copy()
    flat = ids.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8)
    mixed = np.random.default_rng(5).permuted(flat, axis=1).reshape(12, 12, 12, 2, 2, 2)
    fields["ids"] = mixed.transpose(0, 3, 1, 4, 2, 5).reshape(-1)
    assert "roughness of" in refusal(lambda: lattice.recognise(Particles(header, **fields)))
    header, fields = arrays(smooth(24, 100.0))
    early = replace(header, offset=None, redshift=49.0)
    assert "where linear theory expects" in refusal(lambda: lattice.recognise(Particles(early, **fields)))
    lattice.recognise(Particles(replace(early, offset=(0.0, 0.0, 0.0)), **fields))  # of whoever knows


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
    np.testing.assert_allclose(recognise().psi, snapshot.psi, rtol=0, atol=4e-6)  # rows in order need none
    fields["positions"] = np.random.default_rng(1).permutation(fields["positions"])
    assert "has no ids, and its rows are not a lattice" in refusal(recognise)


def test_a_lattice_that_no_snapshot_can_have_is_read_as_particles(tmp_path):
    n, box = 9, 36.0
    x = np.stack(np.indices((n, n, n)), -1).reshape(-1, 3) * (box / n) + 0.5
    known = PRESETS["quijote"].to_dict()
    np.savez(tmp_path / "odd.npz", pos=x, ids=np.arange(n**3), box=box, redshift=1.0, **known)
    assert "has 9^3 particles: snapshots have an even number" in refusal(
        lambda: read_snapshot(tmp_path / "odd.npz")
    )
    particles = read(tmp_path / "odd.npz")
    assert isinstance(particles, Particles)
    np.testing.assert_array_equal(particles.positions, x)


def test_masses_are_one_mass(snapshot):
    header, fields = arrays(snapshot)
    masses = np.full(N**3, snapshot.particle_mass)
    lattice.recognise(Particles(replace(header, particle_mass=None), masses=masses, **fields))
    masses[-1] *= 1.01
    assert "different masses" in refusal(
        lambda: lattice.recognise(Particles(header, masses=masses, **fields))
    )


def test_a_lattice_whose_beginning_is_known_keeps_its_mean_displacement(snapshot):
    moved = replace(snapshot, psi=snapshot.psi + np.float32(1.3), offset=(0.5, 0.0, 0.25))
    again = lattice.recognise(lattice.particles_of(moved))
    assert again.offset == moved.offset
    np.testing.assert_allclose(again.psi, moved.psi, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("share", "whole", "refused"),
    [(1, True, False), (1 - 0.049 / 0.3175, True, False), (1 - 0.049, True, True), (0.3, True, True)]
    + [(0.3, False, False), (1.2, False, True)],
)
def test_masses_add_up_to_the_matter_of_the_box(snapshot, share, whole, refused):
    """Of all matter, or of the dark matter beside gas; one species of a file may have any part of it."""
    header, fields = arrays(snapshot)
    particles = Particles(replace(header, particle_mass=share * header.particle_mass, whole=whole), **fields)
    if refused:
        assert "a particle mass of" in refusal(lambda: lattice.find(particles))
    else:
        assert lattice.find(particles).order == "i-major"


def test_a_lattice_of_strong_early_dark_energy_is_recognised():
    given = {"omega_m": 0.1, "omega_b": 0.02, "w0": -0.3, "wa": 0.2, "power": "eisenstein-hu"}
    (snapshot,) = zeldo.run(box=250, n=16, seed=2, engine="2lpt", redshift=49, **given)
    header = Header(count=16**3, box=250.0, redshift=49.0, cosmology=snapshot.cosmology)
    particles = Particles(header, snapshot.positions(), snapshot.velocities(), np.arange(1, 16**3 + 1))
    np.testing.assert_allclose(recognise(particles).psi, snapshot.psi, atol=1e-4)
