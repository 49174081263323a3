"""Claims about halos."""

import importlib.util

import numpy as np
import pytest

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import halos as module
from zeldo.statistics.halos import Halos, friends_of_friends, groups, mass_function
from zeldo.statistics.overdensity import halos as spherical_halos

BOX = 100.0
BACKENDS = [
    pytest.param(
        "kdcount",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("kdcount") is None, reason="kdcount is not installed"
        ),
    ),
    "scipy",
]


def snapshot_of(positions, velocities=None):
    """A snapshot whose particles stand at given places (n^3, 3)."""
    n = round(len(positions) ** (1 / 3))
    q = np.stack(np.meshgrid(*3 * [np.arange(n) * BOX / n], indexing="ij"), -1).reshape(-1, 3)
    psi = (positions - q).T.reshape(3, n, n, n)
    vel = None if velocities is None else velocities.T.reshape(3, n, n, n)
    return Snapshot(psi, vel, BOX, Cosmology.preset("quijote"), 0.0, "test")


def clumps(rng, number, size, spread):
    centres = rng.uniform(0, BOX, (number, 1, 3))
    return np.mod(centres + spread * rng.standard_normal((number, size, 3)), BOX).reshape(-1, 3)


def brute_force(positions, link):
    labels = np.arange(len(positions))
    separation = np.abs(positions[:, None] - positions[None])
    separation = np.minimum(separation, BOX - separation)
    friends = (separation**2).sum(-1) <= link**2
    while True:
        lowest = np.where(friends, labels[None], len(labels)).min(1)
        if np.array_equal(lowest, labels):
            return np.unique(labels, return_inverse=True)[1]
        labels = lowest


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("link", [0.3, 1.0, 3.0])
def test_groups_are_those_of_brute_force(backend, link, monkeypatch):
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 500)  # several rounds of the k-d tree
    rng = np.random.default_rng(1)
    positions = np.concatenate([clumps(rng, 20, 20, 1.0), rng.uniform(0, BOX, (200, 3))])
    rng.shuffle(positions)
    assert np.array_equal(groups(positions, BOX, link, backend), brute_force(positions, link))


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_clumps_are_two_halos_with_their_mass_centre_and_velocity(backend):
    rng = np.random.default_rng(2)
    n = 8
    q = np.stack(np.meshgrid(*3 * [np.arange(n) * BOX / n], indexing="ij"), -1).reshape(-1, 3)
    positions, velocities = q + 6.0, np.zeros_like(q)
    chosen = rng.permutation(n**3)
    large, small = chosen[:40], chosen[40:65]
    # one lies across a corner of the box
    positions[large] = np.mod([0.1, 99.9, 0.0] + rng.uniform(-0.5, 0.5, (40, 3)), BOX)
    positions[small] = [25.0, 62.0, 62.0] + rng.uniform(-0.5, 0.5, (25, 3))
    velocities[large], velocities[small] = [300.0, 0.0, -20.0], [0.0, 50.0, 0.0]
    velocities[large[:20]] += 10.0
    velocities[large[20:]] -= 10.0
    snapshot = snapshot_of(positions, velocities)
    found = friends_of_friends(snapshot, backend=backend)
    assert found.count.tolist() == [40, 25]
    assert np.allclose(found.mass, [40 * snapshot.particle_mass, 25 * snapshot.particle_mass])
    away = found.centre_of_mass - [[0.1, 99.9, 0.0], [25.0, 62.0, 62.0]]
    assert np.abs(away - BOX * np.round(away / BOX)).max() < 0.3
    assert (found.centre_of_mass >= 0).all() and (found.centre_of_mass < BOX).all()
    assert np.allclose(found.velocity, [[300.0, 0.0, -20.0], [0.0, 50.0, 0.0]], atol=1e-3)
    assert set(np.flatnonzero(found.group == 0)) == set(large)
    assert np.count_nonzero(found.group == -1) == n**3 - 65


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("options", "link"), [({}, 0.2), ({"linking_length": 0.15}, 0.15)])
def test_friends_are_nearer_than_the_linking_length_in_spacings(backend, options, link):
    """A row of particles, as many as the fewest of a halo: one by a hair, and none by a hair or with one less."""
    n, spacing = 8, BOX / 8
    rest = np.stack(np.meshgrid(*3 * [np.arange(n) * spacing], indexing="ij"), -1).reshape(-1, 3) + 0.1
    for count, step, expected in ((20, 0.999, [20]), (20, 1.001, []), (19, 0.999, [])):
        positions = rest.copy()
        positions[:count] = spacing / 2  # far from the others
        positions[:count, 0] += step * link * spacing * np.arange(count)
        found = friends_of_friends(snapshot_of(positions), backend=backend, **options)
        assert found.count.tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lattice_at_rest_has_no_halo(backend):
    rest = Snapshot(np.zeros((3, 8, 8, 8)), None, BOX, Cosmology.preset("quijote"), 0.0, "rest")
    found = friends_of_friends(rest, minimum=2, backend=backend)
    assert found.count.size == 0 and found.velocity is None and (found.group == -1).all()
    assert mass_function(found).count.sum() == 0


def test_both_backends_give_the_same_halos():
    pytest.importorskip("kdcount")
    snapshot = snapshot_of(clumps(np.random.default_rng(3), 27, 64, 2.0))
    a, b = (friends_of_friends(snapshot, minimum=5, backend=name) for name in ("kdcount", "scipy"))
    assert a.count.size > 10
    for name in ("count", "mass", "centre_of_mass", "group"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


def halos_of(counts):
    counts = np.asarray(counts)
    nothing = np.zeros((len(counts), 3))
    return Halos(counts, counts * 2.0, nothing, None, np.empty(0), BOX, 0.0, 2.0, 20)


def test_mass_function_counts_each_halo_once_with_poisson_errors():
    counts = np.random.default_rng(4).integers(20, 3000, 500)
    found = mass_function(halos_of(counts), 8)
    assert found.count.sum() == 500
    width = np.log(found.edges[1:] / found.edges[:-1])
    assert np.allclose(found.dn_dlnm * width * BOX**3, found.count)
    filled = found.count > 0
    assert np.allclose((found.dn_dlnm / found.error)[filled], np.sqrt(found.count[filled]))
    assert np.allclose(found.mass**2, found.edges[1:] * found.edges[:-1])
    # from half a particle below the fewest to half a particle past the largest, 2 each
    assert found.edges[[0, -1]] == pytest.approx([2 * 19.5, 2 * (counts.max() + 0.5)])
    chosen = mass_function(halos_of([20, 30, 100]), np.array([50.0, 100.0, 400.0]))
    assert chosen.count.tolist() == [1, 1]
    assert chosen.dn_dlnm[0] == pytest.approx(1 / BOX**3 / np.log(2))


@pytest.mark.parametrize("largest", [20, 60, 100, 3000])
def test_bins_hold_as_many_whole_numbers_of_particles_as_their_widths(largest):
    found = mass_function(halos_of(np.arange(20, largest + 1)))
    end = max(largest, 39) + 0.5
    assert np.allclose(found.edges[[0, -1]], [2 * 19.5, 2 * end])
    inside = found.edges[1:] <= 2 * (largest + 0.5)
    # one halo of each count, of particles of mass 2
    np.testing.assert_allclose(found.count[inside], (np.diff(found.edges) / 2)[inside])
    assert len(found.count) == 10 and np.diff(np.log(found.edges)).max() < 1.6 * np.log(end / 19.5) / 10


def test_bins_without_a_whole_number_of_particles_are_left_out():
    found = mass_function(halos_of([20, 21, 39]), 50)
    assert len(found.count) < 50 and np.diff(found.edges).min() == pytest.approx(2.0)
    assert found.count.sum() == 3


def test_absurd_options_are_refused():
    snapshot = snapshot_of(np.zeros((64, 3)))
    absurd = {"linking_length": [0.0, 2.0], "minimum": [0, np.inf, 1e23], "backend": ["magic"]}
    for options in ({name: value} for name, values in absurd.items() for value in values):
        with pytest.raises(InputError):
            friends_of_friends(snapshot, **options)
    for edges in (0, [2.0, 1.0], [-1.0, 1.0], [1.0], "abc"):
        with pytest.raises(InputError):
            mass_function(halos_of([20]), edges)


def test_a_catalogue_has_the_mass_function_of_its_groups():
    clumps = np.repeat(np.random.default_rng(3).uniform(0, BOX, (4, 3)), [30, 25, 40, 33], axis=0)
    snapshot = snapshot_of(np.concatenate([clumps, np.random.default_rng(4).uniform(0, BOX, (88, 3))]))
    catalogue = spherical_halos(snapshot)
    assert len(catalogue.friends.count) >= 4
    np.testing.assert_array_equal(mass_function(catalogue).count, mass_function(catalogue.friends).count)


def test_a_mass_function_of_particles_says_what_it_wants():
    snapshot = snapshot_of(np.random.default_rng(0).uniform(0, BOX, (64, 3)))
    with pytest.raises(InputError, match="given a Snapshot: give what halos or friends_of_friends finds"):
        mass_function(snapshot)
