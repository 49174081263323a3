"""Spherical-overdensity masses of halos: M200c, M200m and Mvir, from all particles around each centre.

A halo ends at the radius inside which the mean density has fallen to a threshold (Lacey & Cole 1994,
arXiv:astro-ph/9402069). Centres are those of shrinking spheres (Power et al. 2003, arXiv:astro-ph/0201544).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from zeldo.brief import brief
from zeldo.cosmology.background import omega_m_at
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.particles.particles import Header, Particles, into_box
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.halos import Halos, friends_of_friends
from zeldo.statistics.matter import Matter, matter_of

CORE = 10  # particles: the last sphere of a centre, and where the search for a halo's edge begins
_SHRINK = 0.9  # radius of a sphere over that of the one before
_SMALLEST = 1e-8  # radius of a sphere over the box: of the order of rounding
_CORE_SHARE = 0.01  # of a halo's members, where that is more than CORE
GROWTH = 1.5  # of the radius that is looked at, where a halo is larger than its friends say
_PAIRS_AT_ONCE = 4_000_000  # some 200 MB in SciPy's lists


@dataclass(frozen=True, eq=False)
class SphericalOverdensity:
    """Spheres around the centres of H halos, in the order of the halos they belong to.

    Parameters
    ----------
    centre : ndarray, (H, 3)
        Centre of the last of each halo's shrinking spheres, comoving Mpc/h in [0, box).
    m200c, m200m, mvir : ndarray, (H,)
        Masses inside 200 times the critical density, 200 times the mean matter density and the virial
        overdensity of Bryan & Norman 1998, 10^10 Msun/h; 0 where no sphere is that dense.
    r200c, r200m, rvir : ndarray, (H,)
        Radii of these spheres, comoving Mpc/h.
    """

    centre: np.ndarray
    m200c: np.ndarray
    m200m: np.ndarray
    mvir: np.ndarray
    r200c: np.ndarray
    r200m: np.ndarray
    rvir: np.ndarray

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class HaloCatalogue:
    """Halos of a snapshot, those with most particles first.

    Parameters
    ----------
    friends : Halos
        Groups by friends-of-friends.
    spherical : SphericalOverdensity
        The spheres around their centres.
    cosmology : Cosmology, optional
        Of the snapshot; None where not all parameters are known.
    parameters : mapping of str to float
        Those that are known, by the names of `Cosmology`.
    """

    friends: Halos
    spherical: SphericalOverdensity
    cosmology: Cosmology | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)

    __repr__ = brief

    def tracers(self, chosen: Any = slice(None)) -> Particles:
        """Halos as particles at their centres, for spectra, multipoles and bispectra of the halos themselves.

        Parameters
        ----------
        chosen : ndarray or slice
            Which halos: a condition on each, such as `found.spherical.m200m > 1000`, or indices; by default all.

        Returns
        -------
        Particles
            With the velocities of the halos, and without masses: each halo counts once.

        Raises
        ------
        InputError
            Where the choice is not one of these halos, or of none.
        """
        friends = self.friends
        try:
            centre = self.spherical.centre[chosen]
            velocity = None if friends.velocity is None else friends.velocity[chosen]
        except (IndexError, TypeError):
            raise InputError(
                f"the halos to choose are not of this catalogue: give a condition on each of its {friends.count.size} "
                "halos, or indices"
            ) from None
        if centre.ndim != 2 or not len(centre):
            raise InputError(
                f"none of the {friends.count.size} halos is chosen: give a condition that some meet"
            )
        header = Header(
            count=len(centre),
            box=friends.box,
            redshift=friends.redshift,
            cosmology=self.cosmology,
            parameters=self.parameters,
            engine="halos",
            whole=False,
        )
        return Particles(header, centre, velocity)


def halos(
    snapshot: Snapshot | Particles,
    linking_length: float = 0.2,
    minimum: int = 20,
    backend: str | None = None,
) -> HaloCatalogue:
    """Halos by friends-of-friends, and spherical-overdensity masses around their centres.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        Particles of equal mass in a periodic box.
    linking_length, minimum, backend
        As in `friends_of_friends`.

    Returns
    -------
    HaloCatalogue
        Both lists, in one order.

    Raises
    ------
    InputError
        For values out of range.
    """
    friends = friends_of_friends(snapshot, linking_length, minimum, backend)
    matter, spheres = matter_of(snapshot, "halos"), spherical_overdensity(snapshot, friends)
    return HaloCatalogue(friends, spheres, matter.header.cosmology, matter.parameters)


def spherical_overdensity(snapshot: Snapshot | Particles, friends: Halos) -> SphericalOverdensity:
    """M200c, M200m and Mvir around the centres of a snapshot's halos.

    The edge is the first radius, outward from the innermost ten particles, inside which the mean density falls to the
    threshold. Where these ten are less dense than that already, it is the first such radius inward. All particles
    count, members or not; nothing is unbound, and neighbours may share particles.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        In which the halos were found.
    friends : Halos
        From `friends_of_friends`.

    Returns
    -------
    SphericalOverdensity
        One entry for each halo, in their order.

    Raises
    ------
    InputError
        Where the halos are of another snapshot.
    """
    matter = matter_of(snapshot, "spherical_overdensity")
    if friends.group.size != matter.count or friends.box != matter.box:
        raise InputError(
            f"these halos are of {friends.group.size} particles in {friends.box:g} Mpc/h, the snapshot has "
            f"{matter.count} in {matter.box:g}: give the snapshot in which they were found"
        )
    from scipy.spatial import cKDTree

    positions = matter.positions()
    spheres = Spheres(matter, centres(positions, friends), friends.count)
    tree, waiting = cKDTree(positions, boxsize=matter.box), np.arange(friends.count.size)
    while waiting.size:
        waiting = spheres.grow(tree, waiting)
    return spheres.found()


def overdensities(cosmology: Cosmology, a: float) -> tuple[float, float, float]:
    """Thresholds 200c, 200m and virial at scale factor a, in units of the mean matter density of that time.

    The virial overdensity is the fit of Bryan & Norman 1998 (arXiv:astro-ph/9710107) for flat universes. It is 18 pi^2
    + 82 x - 39 x^2 times critical, with x = Omega_m(a) - 1.
    """
    omega_m = float(omega_m_at(cosmology, a))
    x = omega_m - 1
    return 200 / omega_m, 200.0, (18 * np.pi**2 + 82 * x - 39 * x**2) / omega_m


def centres(positions: np.ndarray, friends: Halos) -> np.ndarray:
    """(H, 3) in [0, box): centres of halos by shrinking spheres of their members.

    From the centre of mass and a sphere around all members, each next sphere is a tenth smaller and around the last
    one's centre of mass. The last holds at least ten members and a hundredth of all.
    """
    box, number = friends.box, friends.count.size
    member = np.flatnonzero(friends.group >= 0)
    halo = friends.group[member]
    away = positions[member] - friends.centre_of_mass[halo]
    away -= box * np.round(away / box)
    fewest = np.maximum(CORE, _CORE_SHARE * friends.count)
    centre, radius = np.zeros((number, 3)), np.zeros(number)
    np.maximum.at(radius, halo, np.sqrt((away**2).sum(1)))
    while halo.size:
        radius *= _SHRINK
        inside = ((away - centre[halo]) ** 2).sum(1) <= radius[halo] ** 2
        count = np.bincount(halo[inside], minlength=number)
        # particles at one place stay in every sphere
        shrinks = (count >= fewest) & (radius > _SMALLEST * box)
        inside &= shrinks[halo]
        halo, away = halo[inside], away[inside]
        left = np.flatnonzero(shrinks)
        for axis in range(3):
            total = np.bincount(halo, weights=away[:, axis], minlength=number)
            centre[left, axis] = total[left] / count[left]
    return into_box(friends.centre_of_mass + centre, box)


class Spheres:
    """Spheres around the centres of H halos, which grow until they hold the halo's edge.

    Parameters
    ----------
    matter : Matter
        In which the halos are.
    centre : ndarray, (H, 3)
        Mpc/h.
    members : ndarray, (H,)
        Particles of each halo.

    Attributes
    ----------
    radius : ndarray, (H,)
        Mpc/h.
    """

    def __init__(self, matter: Matter, centre: np.ndarray, members: np.ndarray) -> None:
        self._matter, self._centre, self._members = matter, centre, members
        thresholds = np.array(overdensities(matter.cosmology, matter.scale_factor))
        self._per_volume = thresholds * 4 / 3 * np.pi / matter.spacing**3  # particles in a sphere of 1 Mpc/h
        self._count = np.zeros((thresholds.size, len(centre)))
        self.radius = 1.2 * np.cbrt(np.maximum(members, CORE) / self._per_volume.min())

    def grow(self, tree: Any, waiting: np.ndarray) -> np.ndarray:
        """Count the particles inside the edges of the halos that wait; return those that wait on, with larger spheres."""
        again = []
        for part in _parts(waiting, self._members):
            radius = self.radius[part]
            halo, distance = _sorted_pairs(tree, self._centre[part], radius)
            ended = np.ones(part.size, dtype=bool)
            for row, per in enumerate(self._per_volume):
                particles, reached = _edge(halo, distance, radius, per)
                self._count[row, part] = particles
                ended &= reached
            again.append(part[~ended])
        left = np.concatenate(again)
        self.radius[left] *= GROWTH
        return left

    def found(self) -> SphericalOverdensity:
        """The masses and radii, when no halo waits."""
        mass = self._count * self._matter.particle_mass
        radius = np.cbrt(self._count / self._per_volume[:, None])
        return SphericalOverdensity(self._centre, *mass, *radius)


def _parts(halos: np.ndarray, members: np.ndarray) -> Iterator[np.ndarray]:
    """The halos in parts of so many pairs that memory holds them."""
    ends = np.cumsum(2 * members[halos])
    starts = np.flatnonzero(np.diff(ends // _PAIRS_AT_ONCE, prepend=-1))
    yield from np.split(halos, starts[1:])


def _sorted_pairs(tree, centre: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Particles within each radius of each centre: the centre's number and the distance, sorted by both."""
    near = tree.query_ball_point(centre, radius, workers=-1)
    size = np.fromiter(map(len, near), np.int64, len(near))
    index = np.fromiter(chain.from_iterable(near), np.int64, size.sum())
    halo = np.repeat(np.arange(len(centre)), size)
    away = tree.data[index] - centre[halo]
    box = tree.boxsize
    away -= box * np.round(away / box)
    distance = np.sqrt((away**2).sum(1))
    order = np.lexsort((distance, halo))
    return halo[order], distance[order]


def _edge(
    halo: np.ndarray, distance: np.ndarray, radius: np.ndarray, per: float
) -> tuple[np.ndarray, np.ndarray]:
    """(H,) particles inside each halo's edge, and whether that is certain inside the radius looked at."""
    number = radius.size
    starts = np.searchsorted(halo, np.arange(number + 1))
    rank = np.arange(1, halo.size + 1) - starts[halo]
    edge = np.cbrt(rank / per)  # where so many particles have the threshold's density
    following = np.append(distance[1:], 0.0)
    last = starts[1:][np.diff(starts) > 0] - 1
    following[last] = radius[halo[last]]
    falls = following > edge
    outward = np.flatnonzero(falls & (rank >= CORE))
    first = np.full(number, -1)
    first[halo[outward][::-1]] = rank[outward][::-1]
    inward = np.flatnonzero((distance <= edge) & (rank < CORE))
    best = np.zeros(number, dtype=np.int64)
    np.maximum.at(best, halo[inward], rank[inward])
    # the radius looked at is beyond that of ten particles at any threshold: fewer in it are not dense
    core = starts[:-1] + CORE - 1
    enough = core < starts[1:]
    dense = np.zeros(number, dtype=bool)
    dense[enough] = distance[core[enough]] <= edge[core[enough]]
    return np.where(dense, first, best), ~dense | (first > 0)
