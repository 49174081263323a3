"""Claims about spherical-overdensity masses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

import zeldo
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import overdensity as module
from zeldo.statistics.halos import friends_of_friends
from zeldo.statistics.overdensity import halos, overdensities, spherical_overdensity

BOX = 100.0
COSMOLOGY = Cosmology.preset("quijote")


def snapshot_of(positions, redshift=0.0):
    """A snapshot whose particles stand at given places (n^3, 3)."""
    n = round(len(positions) ** (1 / 3))
    q = np.stack(np.meshgrid(*3 * [np.arange(n) * BOX / n], indexing="ij"), -1).reshape(-1, 3)
    return Snapshot((positions - q).T.reshape(3, n, n, n), None, BOX, COSMOLOGY, redshift, "test")


def directions(rng, number):
    out = rng.standard_normal((number, 3))
    return out / np.sqrt((out**2).sum(1, keepdims=True))


def nfw(rng, number, scale, end):
    """(number, 3) around the origin: Navarro, Frenk & White 1996, cut at end; radii are quantiles, not draws."""

    def mass(x):
        return np.log1p(x) - x / (1 + x)

    grid = np.geomspace(1e-4, end / scale, 4000)
    share = (np.arange(number) + 0.5) / number * mass(end / scale)
    return scale * np.interp(share, mass(grid), grid)[:, None] * directions(rng, number)


@pytest.mark.parametrize("redshift", [0.0, 1.0])
def test_a_halo_of_navarro_frenk_and_white_has_its_analytic_masses(redshift):
    rng = np.random.default_rng(1)
    n, number, scale, end, corner = 24, 8000, 1.0, 12.0, np.array([0.3, 99.8, 50.0])
    around = nfw(rng, number, scale, end)
    field = rng.uniform(-BOX / 2, BOX / 2, (4 * n**3, 3))
    field = field[(field**2).sum(1) > (1.5 * end) ** 2][: n**3 - number]
    snapshot = snapshot_of(np.mod(np.concatenate([around, field]) + corner, BOX), redshift)
    found = halos(snapshot)
    assert found.friends.count[0] > 0.5 * number
    away = found.spherical.centre[0] - corner
    assert np.abs(away - BOX * np.round(away / BOX)).max() < 0.1 * scale

    def inside(r):
        return (
            number * (np.log1p(r / scale) - r / (r + scale)) / (np.log1p(end / scale) - end / (end + scale))
        )

    mean = (n / BOX) ** 3
    hubble2 = 0.3175 * (1 + redshift) ** 3 + 0.6825
    omega_m = 0.3175 * (1 + redshift) ** 3 / hubble2
    x = omega_m - 1
    virial = 18 * np.pi**2 + 82 * x - 39 * x**2
    for name, over in (("200c", 200 / omega_m), ("200m", 200.0), ("vir", virial / omega_m)):
        radius = brentq(lambda r, over=over: inside(r) - over * mean * 4 / 3 * np.pi * r**3, 0.1, end)
        assert getattr(found.spherical, f"r{name}")[0] == pytest.approx(radius, rel=0.01)
        mass = inside(radius) * snapshot.particle_mass
        assert getattr(found.spherical, f"m{name}")[0] == pytest.approx(mass, rel=0.01)


def brute_force(positions, centre, over, mean):
    """Particles inside the edge, by looking at one particle after the other."""
    away = positions - centre
    away -= BOX * np.round(away / BOX)
    distance = np.sort(np.sqrt((away**2).sum(1)))

    def density(count, radius):
        return count / (4 / 3 * np.pi * radius**3) / mean

    count = 10
    if density(count, distance[count - 1]) >= over:
        while density(count, distance[count]) >= over:
            count += 1
        return count
    while count and density(count, distance[count - 1]) < over:
        count -= 1
    return count


@pytest.mark.parametrize("linking_length", [0.1, 0.2, 0.3])
def test_masses_are_those_of_a_brute_force_count(linking_length, monkeypatch):
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 500)  # several parts, and with short links several radii
    n = 32
    (snapshot,) = zeldo.run(
        cosmology=COSMOLOGY,
        box=BOX,
        n=n,
        seed=3,
        power="eisenstein-hu",
        engine="cola:mesh_factor=2",
        redshift=0,
    )
    friends = friends_of_friends(snapshot, linking_length)
    found = spherical_overdensity(snapshot, friends)
    assert friends.count.size > 10 and friends.count[0] > 90
    positions = snapshot.positions()
    over = dict(zip(("200c", "200m", "vir"), overdensities(COSMOLOGY, 1.0), strict=True))
    for name, threshold in over.items():
        mass, radius = getattr(found, f"m{name}"), getattr(found, f"r{name}")
        expected = [brute_force(positions, c, threshold, (n / BOX) ** 3) for c in found.centre]
        assert np.allclose(mass, np.array(expected) * snapshot.particle_mass, rtol=1e-6)
        volume = 4 / 3 * np.pi * radius**3
        assert np.allclose(mass, threshold * volume * 27.7536627 * 0.3175, rtol=1e-6)
    assert (found.m200c <= found.mvir).mean() > 0.95 and (found.mvir <= found.m200m).mean() > 0.95


def test_the_centre_is_that_of_the_denser_clump_and_not_of_mass():
    rng = np.random.default_rng(2)
    n = 12
    main, other = nfw(rng, 700, 0.5, 6.0), [9.0, 0.0, 0.0] + nfw(rng, 300, 0.5, 6.0)
    field = rng.uniform(20, 80, (n**3 - 1000, 3))
    snapshot = snapshot_of(np.mod(np.concatenate([main, other, field]), BOX))
    friends = friends_of_friends(snapshot)
    assert friends.count[0] > 900  # both clumps are one group
    found = spherical_overdensity(snapshot, friends)
    away = [x[0] - BOX * np.round(x[0] / BOX) for x in (friends.centre_of_mass, found.centre)]
    assert np.linalg.norm(away[0]) > 2 > 0.3 > np.linalg.norm(away[1])


def test_the_last_sphere_of_a_centre_holds_a_hundredth_of_all_members():
    """One sphere after the other, each a tenth smaller, around the centre of mass of what the last one holds."""
    rng = np.random.default_rng(5)
    n = 16
    positions = np.concatenate([50 + rng.normal(0, 1, (3000, 3)), rng.uniform(0, 30, (n**3 - 3000, 3))])
    snapshot = snapshot_of(positions)
    friends = friends_of_friends(snapshot)
    members = snapshot.positions()[friends.group == 0]
    fewest, centre = len(members) / 100, members.mean(0)
    assert fewest > 20
    radius = np.sqrt(((members - centre) ** 2).sum(1)).max()
    while True:
        radius *= 0.9
        inside = members[((members - centre) ** 2).sum(1) <= radius**2]
        if len(inside) < fewest:
            break
        members, centre = inside, inside.mean(0)
    np.testing.assert_allclose(spherical_overdensity(snapshot, friends).centre[0], centre, atol=1e-6)


def test_few_scattered_particles_make_no_sphere_and_no_halos_none():
    rng = np.random.default_rng(3)
    snapshot = snapshot_of(rng.uniform(0, BOX, (8**3, 3)))
    found = halos(snapshot, linking_length=0.6, minimum=3)
    assert found.friends.count.size > 5
    assert found.spherical.m200c.max() <= 3 * snapshot.particle_mass
    nothing = halos(snapshot, minimum=400).spherical
    assert nothing.centre.shape == (0, 3) and nothing.m200m.shape == (0,)


def test_virial_overdensity_is_that_of_bryan_and_norman():
    early = overdensities(COSMOLOGY, 1e-3)
    assert early == pytest.approx((200, 200, 18 * np.pi**2), rel=1e-3)
    c200, m200, virial = overdensities(Cosmology(0.3, 0.05, 0.7, 0.96, 0.8), 1.0)
    assert (c200, m200) == pytest.approx((666.7, 200), rel=1e-3)
    assert virial == pytest.approx(337, rel=0.01)  # quoted for Omega_m = 0.3 today


def test_halos_of_another_snapshot_are_refused():
    rng = np.random.default_rng(4)
    friends = friends_of_friends(snapshot_of(rng.uniform(0, BOX, (64, 3))), minimum=1)
    with pytest.raises(InputError, match="these halos are of 64 particles"):
        spherical_overdensity(snapshot_of(rng.uniform(0, BOX, (216, 3))), friends)
    with pytest.raises(InputError, match="these halos are of 64 particles in 50 Mpc/h"):
        spherical_overdensity(snapshot_of(rng.uniform(0, BOX, (64, 3))), replace(friends, box=50.0))


def test_members_at_one_place_are_the_centre_of_their_halo():
    """As satellites that a mock puts where the central galaxy is: spheres of any size around them hold them all."""
    rng = np.random.default_rng(2)
    where = np.array([60.0, 30.0, 99.9])
    halo = where + 0.5 * rng.random((88, 1)) * directions(rng, 88)
    positions = np.concatenate([np.tile(where, (12, 1)), halo, rng.uniform(0, BOX, (900, 3))]) % BOX
    found = halos(snapshot_of(positions))
    assert found.friends.count[0] >= 100
    np.testing.assert_allclose(found.spherical.centre[0], where, atol=1e-3)
