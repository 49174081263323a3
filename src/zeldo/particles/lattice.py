"""Recognises a lattice among particles, by their ids and positions, and makes a `Snapshot` of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.particles.particles import Header, Particles, Source
from zeldo.particles.snapshot import DRAWN, MADE, Snapshot

NEEDED = ("omega_m", "omega_b", "h", "sigma_8", "n_s")  # of a cosmology, in the order of messages
MASS_TOLERANCE = 2e-3  # the values of G in codes differ by 3e-4
RANDOM = 0.8  # of the mean square distance to random points, per axis: beyond it, ids carry no information
SAMPLE = 16, 256  # number of samples, and rows in each, to choose among orders of ids


@dataclass(frozen=True)
class IdOrder:
    """A way of counting the points of a lattice.

    Parameters
    ----------
    name:
        For messages.
    first:
        The smallest id.
    point:
        (ids - first, n) to the row (i n + j) n + k of the lattice point, (N,) int64 both.
    """

    name: str
    first: int
    point: Callable[[np.ndarray, int], np.ndarray]


ID_ORDERS = [IdOrder("i-major from 1", 1, lambda index, n: index)]


def particles_of(snapshot: Snapshot) -> Particles:
    """The particles of a snapshot in lattice order, made slice by slice when they are read; ids count from 1."""
    return Particles.backed(_Lattice(snapshot))


def header_of(snapshot: Snapshot) -> Header:
    """What a snapshot says of itself."""
    return Header(
        count=snapshot.n**3,
        box=snapshot.box,
        redshift=snapshot.redshift,
        cosmology=snapshot.cosmology,
        particle_mass=snapshot.particle_mass,
        n=snapshot.n,
        engine=snapshot.engine,
        settings=snapshot.settings,
        version=snapshot.version,
        seed=snapshot.seed,
        **{name: getattr(snapshot, name) for name in (*DRAWN, *MADE)},
    )


class _Lattice(Source):
    def __init__(self, snapshot: Snapshot) -> None:
        fields: dict[str, np.dtype] = {"positions": np.dtype(np.float64)}
        if snapshot.vel is not None:
            fields["velocities"] = np.dtype(np.float32)
        fields["ids"] = np.dtype(np.uint64 if snapshot.n**3 >= 2**32 else np.uint32)
        super().__init__(f"the snapshot at z = {snapshot.redshift:g}", header_of(snapshot), fields)
        self._snapshot = snapshot

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        if field == "ids":
            return np.arange(start + 1, stop + 1, dtype=self.fields[field])
        plane = self._snapshot.n**2
        first, end = start // plane, -(-stop // plane)
        make = self._snapshot.positions if field == "positions" else self._snapshot.velocities
        return make(first, end)[start - first * plane : stop - first * plane]


def recognise(particles: Particles) -> Snapshot:
    """The lattice that particles started from, with their displacements.

    Rows may be in any order where ids count the lattice in one of `ID_ORDERS`. The fields are read slice by slice.

    Raises
    ------
    InputError
        For particles that are no whole lattice of equal masses, or whose cosmology is not known in full.
    DamagedFileError
        For particles that contradict their header, or themselves.
    """
    points = lattice_points(particles)
    return as_snapshot(particles.header, displacement(particles, points), velocity(particles, points))


def as_snapshot(header: Header, psi: np.ndarray, vel: np.ndarray | None) -> Snapshot:
    """A snapshot of these fields, (3, n, n, n), with the entries of the header."""
    assert header.cosmology is not None  # `lattice_points` has checked it
    return Snapshot(
        psi=psi,
        vel=vel,
        box=header.box,
        cosmology=header.cosmology,
        redshift=header.redshift,
        engine=header.engine,
        seed=header.seed,
        settings=header.settings,
        version=header.version,
        **{name: getattr(header, name) for name in (*DRAWN, *MADE)},
    )


def lattice_points(particles: Particles) -> np.ndarray | None:
    """The lattice point (i n + j) n + k of every row, (N,) int64; None where the rows are in that order.

    It also checks what the header says of the lattice, and raises the errors of `recognise`.
    """
    header, where = particles.header, particles.name
    n = lattice_side(header.count, where)
    if header.cosmology is None:
        missing = [name for name in NEEDED if name not in header.parameters]
        raise InputError(f"{where} does not say {', '.join(missing)}: pass the cosmology of the run")
    mass = _mass(particles)
    if mass is not None:
        check_mass(mass, header.cosmology.omega_m, header.box, header.count, where)
    if header.n is not None:
        return None
    ids = particles.ids
    fitting = [order for order in ID_ORDERS if ids.min() == order.first] or ID_ORDERS[:1]
    index = _counted(ids, fitting[0].first, where)
    tried = [order.point(index, n) for order in fitting]
    if len(tried) > 1:
        tried.sort(key=lambda points: _mean_square(particles, points))
    points = tried[0]
    return None if np.array_equal(points, np.arange(header.count)) else points


def lattice_side(count: int, where: str | Path) -> int:
    """n where count = n^3, else `InputError`."""
    n = round(count ** (1 / 3))
    if count <= 0 or n**3 != count:
        raise InputError(
            f"{where} has {count} particles: zeldo reads full lattices of n^3; give a complete snapshot"
        )
    return n


def _counted(ids: np.ndarray, first: int, where: str | Path) -> np.ndarray:
    """ids - first, (N,) int64. `DamagedFileError` where one of 0 to N - 1 is missing or there twice."""
    count = len(ids)
    last = first + count - 1
    outside = (ids < first) | (ids > last)
    if outside.any():
        raise DamagedFileError(
            f"{where}: id {ids[np.argmax(outside)]} is out of range: "
            f"{count} particles have ids {first} to {last}, in lattice order; give a snapshot with such ids"
        )
    index = ids.astype(np.int64)
    index -= first
    times = np.bincount(index, minlength=count)
    if (times != 1).any():
        double, missing = int(np.argmax(times > 1)), int(np.argmin(times))
        raise DamagedFileError(
            f"{where}: id {missing + first} is missing and id {double + first} is there {times[double]} times; {AGAIN}"
        )
    return index


def _offsets(x: np.ndarray, points: np.ndarray, n: int, box: float) -> np.ndarray:
    """Distances of particles from lattice points by minimal image, Mpc/h, in place of their positions.

    x: (3, rows) float64, Mpc/h. points: (rows,), (i n + j) n + k.
    """
    lattice = np.arange(n) * (box / n)
    line, k = np.divmod(points, n)
    i, j = np.divmod(line, n)
    for along, index in zip(x, (i, j, k), strict=True):
        along -= lattice[index]
    x -= box * np.rint(x / box)
    return x


def _components(rows: np.ndarray) -> np.ndarray:
    """The three components as rows, (3, rows) float64, copied, since sums over an axis of length three are slow."""
    return np.array(rows.T, dtype=np.float64, order="C")


def _squares(d: np.ndarray) -> np.ndarray:
    """Sums of the squares along each axis, (3,). BLAS would start its threads for each plane."""
    return np.einsum("ij,ij->i", d, d)


def _mean_square(particles: Particles, points: np.ndarray) -> float:
    """The mean square distance between particles and points along an axis, from samples of rows."""
    header, (places, rows) = particles.header, SAMPLE
    n, total, count = round(header.count ** (1 / 3)), 0.0, 0
    for place in np.unique(np.linspace(0, max(0, header.count - rows), places).astype(int)):
        start, stop = int(place), min(int(place) + rows, header.count)
        x = _components(particles.read("positions", start, stop))
        d = _offsets(x, points[start:stop], n, header.box)
        total, count = total + float(_squares(d).sum()), count + d.size
    return total / count


def displacement(particles: Particles, points: np.ndarray | None) -> np.ndarray:
    """psi (3, n, n, n) float32 by minimal image, Mpc/h, of particles whose rows are these points.

    Raises `DamagedFileError` for values that are not finite or out of the box, for a box that the particles do not
    fill, and for particles that are not near their points.
    """
    where, box, count = particles.name, particles.header.box, len(particles)
    n = lattice_side(count, where)
    psi = np.empty((3, count), dtype=np.float32)
    low, high, squares = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3)
    for start, stop in particles.slices():
        rows = particles.read("positions", start, stop)
        x = _components(rows)
        low, high = np.minimum(low, x.min(axis=1)), np.maximum(high, x.max(axis=1))
        if not np.isfinite(low + high).all():
            check_finite(rows, "positions", where, start)
        target = np.arange(start, stop) if points is None else points[start:stop]
        d = _offsets(x, target, n, box)
        if points is None:
            psi[:, start:stop] = d
        else:
            psi[:, target] = d
        squares += _squares(d)
    if low.min() < -1e-6 * box or high.max() > box * (1 + 1e-6):
        raise DamagedFileError(
            f"{where}: positions from {low.min():g} to {high.max():g} Mpc/h leave the box of "
            f"{box:g} Mpc/h that the header gives; {AGAIN}, or correct its box"
        )
    # no universe leaves a slab of 5 % of the box empty, nor one of three lattice planes
    if (high - low).min() < box * (1 - max(0.05, 3 / n)):
        raise DamagedFileError(
            f"{where}: positions reach {(high - low).min():g} Mpc/h across only, yet the header gives "
            f"a box of {box:g} Mpc/h; {AGAIN}, or correct its box"
        )
    if squares.max() / count > RANDOM * box**2 / 12:
        orders = ", ".join(order.name for order in ID_ORDERS)
        raise DamagedFileError(
            f"{where}: particles are as far from their lattice points as from any others: their ids count no lattice in "
            f"an order that zeldo knows ({orders}); give a snapshot with such ids"
        )
    return psi.reshape(3, n, n, n)


def velocity(particles: Particles, points: np.ndarray | None) -> np.ndarray | None:
    """(3, n, n, n) float32, km/s, None where there is none. `DamagedFileError` for values that are not finite."""
    if "velocities" not in particles.fields:
        return None
    vel = np.empty((3, len(particles)), dtype=np.float32)
    for start, stop in particles.slices():
        v = particles.read("velocities", start, stop)
        check_finite(v, "velocities", particles.name, start)
        vel[:, slice(start, stop) if points is None else points[start:stop]] = v.T
    n = lattice_side(len(particles), particles.name)
    return vel.reshape(3, n, n, n)


def check_finite(values: np.ndarray, quantity: str, where: str | Path, start: int = 0) -> None:
    """`DamagedFileError` where a value is NaN or infinite; `start` is the number of the first row."""
    bad = ~np.isfinite(values)
    if bad.any():
        row = start + int(np.argmax(bad.any(axis=1)))
        raise DamagedFileError(
            f"{where}: {int(bad.sum())} of the {quantity} are not finite, the first in row {row}; {AGAIN}"
        )


def check_mass(mass: float, omega_m: float, box: float, count: int, where: str | Path) -> None:
    """`DamagedFileError` where particles of this mass, 10^10 Msun/h, do not add up to omega_m in the box."""
    expected = CRITICAL_DENSITY * omega_m * box**3 / count
    if not abs(mass / expected - 1) < MASS_TOLERANCE:
        raise DamagedFileError(
            f"{where}: a particle mass of {mass:g} 10^10 Msun/h is not the {expected:g} that "
            f"omega_m = {omega_m:g} gives in a box of {box:g} Mpc/h; {AGAIN}, or correct its header"
        )


def _mass(particles: Particles) -> float | None:
    """The mass of every particle, 10^10 Msun/h; None where it is unknown. `InputError` where masses differ."""
    if "masses" not in particles.fields:
        return particles.header.particle_mass
    mass = float(particles.read("masses", 0, 1)[0])
    for start, stop in particles.slices():
        if not np.allclose(particles.read("masses", start, stop), mass, rtol=1e-5):
            raise InputError(
                f"{particles.name}: particles have different masses: zeldo reads lattices of equal ones"
            )
    return mass
