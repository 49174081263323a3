"""Halos by friends-of-friends, and how many there are of each mass.

Two particles closer than the linking length are friends, and so are friends of friends (Davis et al. 1985).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from zeldo.brief import brief
from zeldo.errors import InputError
from zeldo.keywords import number, real_array
from zeldo.particles.particles import Particles, into_box
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.matter import matter_of

if TYPE_CHECKING:
    from zeldo.statistics.overdensity import HaloCatalogue

_PAIRS_AT_ONCE = 4_000_000  # some 100 MB in SciPy's list of pairs


@dataclass(frozen=True, eq=False)
class Halos:
    """Groups of friends, the largest first.

    Parameters
    ----------
    count : ndarray
        (H,) particles.
    mass : ndarray
        (H,) 10^10 Msun/h.
    centre_of_mass : ndarray
        (H, 3) Mpc/h in [0, box).
    velocity : ndarray or None
        (H, 3) mean peculiar velocity, km/s; None without velocities.
    group : ndarray
        (N,) the halo of each particle, -1 for none; of a snapshot in Lagrangian order.
    box : float
        Side of the box, Mpc/h.
    redshift : float
        Redshift of the snapshot.
    particle_mass : float
        10^10 Msun/h.
    minimum : int
        Fewest particles that count as a halo.
    """

    count: np.ndarray
    mass: np.ndarray
    centre_of_mass: np.ndarray
    velocity: np.ndarray | None
    group: np.ndarray
    box: float
    redshift: float
    particle_mass: float
    minimum: int

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class MassFunction:
    """Comoving number of halos per volume and logarithm of mass.

    Parameters
    ----------
    edges : ndarray
        (B + 1,) of the bins, 10^10 Msun/h.
    mass : ndarray
        (B,) geometric centres, 10^10 Msun/h.
    dn_dlnm, error : ndarray
        (B,) and its Poisson error, (Mpc/h)^-3.
    count : ndarray
        (B,) halos.
    """

    edges: np.ndarray
    mass: np.ndarray
    dn_dlnm: np.ndarray
    error: np.ndarray
    count: np.ndarray

    __repr__ = brief


def friends_of_friends(
    snapshot: Snapshot | Particles,
    linking_length: float = 0.2,
    minimum: int = 20,
    backend: str | None = None,
) -> Halos:
    """Halos of a snapshot by friends-of-friends (Davis et al. 1985).

    Parameters
    ----------
    snapshot : Snapshot or Particles
        The particles, of equal mass.
    linking_length : float
        In units of the mean particle spacing, (V / N)^(1/3).
    minimum : int
        Fewest particles of a halo.
    backend : {"kdcount", "scipy"}, optional
        By default kdcount where it is installed. Both give the same groups.

    Returns
    -------
    Halos

    Raises
    ------
    InputError
        For values out of range, and a backend that is not there.
    """
    matter = matter_of(snapshot, "friends_of_friends")
    link, least = check_linking(linking_length, minimum)
    positions = matter.positions()
    labels = groups(positions, matter.box, link * matter.spacing, backend)
    size = np.bincount(labels)
    # labels go by first member: a stable sort breaks ties between halos of one size the same way everywhere
    chosen = np.argsort(-size, kind="stable")
    chosen = chosen[: np.count_nonzero(size >= least)]
    rename = np.full(size.size, -1, dtype=np.int64)
    rename[chosen] = np.arange(chosen.size)
    group = rename[labels]
    member = np.flatnonzero(group >= 0)
    halo, count = group[member], size[chosen]

    def mean(values: np.ndarray) -> np.ndarray:
        columns = [np.bincount(halo, weights=values[:, i], minlength=count.size) for i in range(3)]
        return np.stack(columns, axis=1) / count[:, None]

    first = member[np.unique(halo, return_index=True)[1]]
    around = positions[member] - positions[first][halo]
    around -= matter.box * np.round(around / matter.box)
    centre = into_box(positions[first] + mean(around), matter.box)
    velocity = None
    if matter.has_velocities:
        vel = matter.velocities
        velocity = mean(vel.reshape(3, -1)[:, member].T if vel.ndim == 4 else vel[member])
    return Halos(
        count=count,
        mass=count * matter.particle_mass,
        centre_of_mass=centre,
        velocity=velocity,
        group=group,
        box=matter.box,
        redshift=matter.redshift,
        particle_mass=matter.particle_mass,
        minimum=least,
    )


def check_linking(linking_length: float, minimum: int) -> tuple[float, int]:
    """The linking length and the fewest particles of a halo where both are allowed, else `InputError`."""
    link, least = number(linking_length, "linking_length"), number(minimum, "minimum")
    if not 0 < link < 1:
        raise InputError(
            f"linking_length = {linking_length!r} is not allowed: give a number between 0 and 1, in spacings"
        )
    if not 1 <= least < 2**63 or least != int(least):
        raise InputError(
            f"minimum = {minimum!r} is not allowed: give a whole number of particles, from 1 to below 2^63"
        )
    return link, int(least)


def groups(positions: np.ndarray, box: float, link: float, backend: str | None = None) -> np.ndarray:
    """(N,) int64: the group of each of (N, 3) positions in [0, box), numbered by first member; link in
    Mpc/h."""
    if backend is None:
        backend = "kdcount" if find_spec("kdcount") else "scipy"
    if backend not in ("kdcount", "scipy"):
        raise InputError(f"backend = {backend!r} is not known: choose kdcount or scipy")
    labels = _kdcount(positions, box, link) if backend == "kdcount" else _scipy(positions, box, link)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[inverse]


def _kdcount(positions: np.ndarray, box: float, link: float) -> np.ndarray:
    try:
        from kdcount import KDTree
    except ImportError as error:
        raise InputError(
            "backend = 'kdcount' needs the package kdcount: install it, or choose scipy"
        ) from error
    tree = KDTree(np.ascontiguousarray(positions, dtype=np.float64), boxsize=np.full(3, float(box)))
    head = np.empty(len(positions), dtype=np.intp)
    tree.root.fof(link, head)
    return head


def _scipy(positions: np.ndarray, box: float, link: float) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    tree = cKDTree(positions, boxsize=box)
    order = tree.indices  # neighbours in space stand together
    friends = tree.query_ball_point(positions[order], link, return_length=True, workers=-1)
    ends = np.cumsum(friends)
    labels = np.arange(len(positions))
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, side="right")))
        part = order[start:stop]
        pairs = cKDTree(positions[part], boxsize=box).sparse_distance_matrix(
            tree, link, output_type="ndarray"
        )
        a, b = labels[part[pairs["i"]]], labels[pairs["j"]]
        size = int(labels.max()) + 1
        graph = coo_array((np.ones(a.size, dtype=np.int8), (a, b)), shape=(size, size))
        labels = connected_components(graph, directed=False)[1][labels]
        start = stop
    return labels


def mass_function(halos: Halos | HaloCatalogue, bins: int | np.ndarray = 10) -> MassFunction:
    """dn/dlnM of halos with Poisson errors.

    Parameters
    ----------
    halos : Halos or HaloCatalogue
        What `friends_of_friends` or `zeldo.halos` finds. The masses are those of friends-of-friends groups.
    bins : int or array_like
        The number of logarithmic bins from the smallest allowed halo to past the largest, or their edges in 10^10 Msun/h.
        A number of bins is rounded so that each edge is halfway between two whole numbers of particles. It gives fewer bins
        where there are too few of these.

    Returns
    -------
    MassFunction

    Raises
    ------
    InputError
        For edges that do not rise or are not positive.
    """
    halos = getattr(halos, "friends", halos)
    if not isinstance(halos, Halos):
        raise InputError(
            f"mass_function was given a {type(halos).__name__}: give what halos or friends_of_friends finds"
        )
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise InputError(f"bins = {bins!r} is not allowed: give a number, 1 or more, or the edges")
        low = halos.minimum - 0.5
        high = max(float(halos.count.max(initial=0)), 2 * low) + 0.5
        between = np.geomspace(low, high, int(bins) + 1)[1:-1]
        # halfway between whole numbers of particles: elsewhere a bin would hold more, or fewer, than its width has
        edges = np.unique([low, *np.floor(between) + 0.5, high]) * halos.particle_mass
    else:
        edges = real_array(bins, "bins").astype(float)
        if edges.ndim != 1 or edges.size < 2 or not (edges[0] > 0 and (np.diff(edges) > 0).all()):
            raise InputError("the edges of mass bins must be positive and rise: give masses in 10^10 Msun/h")
    count = np.histogram(halos.mass, edges)[0]
    per = 1 / (halos.box**3 * np.log(edges[1:] / edges[:-1]))
    return MassFunction(edges, np.sqrt(edges[1:] * edges[:-1]), count * per, np.sqrt(count) * per, count)
