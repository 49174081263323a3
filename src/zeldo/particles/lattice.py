"""Recognises a lattice among particles, by their ids and positions, and makes a `Snapshot` of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.particles.id_orders import NONE, IdOrder, order_named, orders
from zeldo.particles.linear_theory import expected_displacement
from zeldo.particles.particles import Header, Particles, Source
from zeldo.particles.snapshot import DRAWN, MADE, Snapshot

NEEDED = ("omega_m", "omega_b", "h", "sigma_8", "n_s")  # of a cosmology, in the order of messages
MASS_TOLERANCE = 2e-3  # the values of G in codes differ by 3e-4
RANDOM = 0.8  # of the mean square distance to random points, per axis: beyond it, ids carry no information
LARGEST = 3.0  # times the rms displacement of linear theory, which a box of few modes may leave
# half the mean square difference of neighbours over the variance, 1 for random points: some times that of linear theory;
# runs of eight codes from z = 127 to 0 have at most 1.1 times that
ROUGHEST = 2.0, 0.15
AXES_IN_ORDER = "i-major"
SMALL = 16  # particles per side, below which a lattice has no statistics
SAMPLE = 16, 256  # number of samples, and rows in each, to choose among orders of ids
Vector = tuple[float, float, float]


class NoLatticeError(InputError):
    """Particles that are no lattice, and do not claim to be one."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where particles come from.

    Parameters
    ----------
    order : str
        The order of their ids, or of their rows where they have none.
    first : int or None
        The smallest id.
    points : ndarray or None
        The lattice point (i n + j) n + k of every row, (N,) int64; None where the rows are in that order.
    offset : tuple of float
        Where the lattice begins, in cells.
    sure : bool
        Whether the order was given, by the caller or the file.
    """

    order: str
    first: int | None
    points: np.ndarray | None
    offset: Vector
    sure: bool


def particles_of(snapshot: Snapshot) -> Particles:
    """The particles of a snapshot in lattice order, made slice by slice when they are read; ids count from 1."""
    return Particles.backed(_Rows(snapshot))


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
        offset=snapshot.offset,
        **{name: getattr(snapshot, name) for name in (*DRAWN, *MADE)},
    )


class _Rows(Source):
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


def recognise(particles: Particles, ids: str | None = None) -> Snapshot:
    """The lattice that particles started from, with their displacements.

    Rows may be in any order where ids count the lattice in an order of `id_orders`. The fields are read slice by slice.

    Parameters
    ----------
    particles : Particles
    ids : str, optional
        The order of the ids, which is found by trying where absent.

    Raises
    ------
    InputError
        For particles that are no whole lattice of equal masses, or whose cosmology is not known in full.
    DamagedFileError
        For particles that contradict their header, or themselves.
    """
    if ids != NONE:
        lattice_side(particles.header.count, particles.name)
        check_cosmology(particles)
    lattice = find(particles, ids)
    psi, lattice = displacement(particles, lattice)
    return as_snapshot(particles.header, psi, velocity(particles, lattice), lattice.offset)


def as_snapshot(header: Header, psi: np.ndarray, vel: np.ndarray | None, offset: Vector) -> Snapshot:
    """A snapshot of these fields, (3, n, n, n), with the entries of the header."""
    assert header.cosmology is not None  # `check_cosmology` has seen to it
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
        offset=offset,
        **{name: getattr(header, name) for name in (*DRAWN, *MADE)},
    )


def check_cosmology(particles: Particles) -> None:
    """`InputError` where not all parameters of the cosmology are known."""
    header = particles.header
    if header.cosmology is None:
        missing = [name for name in NEEDED if name not in header.parameters]
        raise InputError(f"{particles.name} does not say {', '.join(missing)}: pass the cosmology of the run")


def find(particles: Particles, ids: str | None = None) -> Lattice:
    """The lattice of particles, by their ids or, without ids, by the order of their rows.

    Where an order is not given, the known ones are tried on samples of rows. `displacement` judges the one chosen.

    Raises
    ------
    NoLatticeError
        Where the number is no cube, or ids are not those of a lattice.
    InputError
        Where masses differ.
    DamagedFileError
        For ids that are double or missing, and masses that contradict the header.
    """
    header, where = particles.header, particles.name
    if ids == NONE:
        raise NoLatticeError(f"{where} is read without a lattice, as asked")
    n = lattice_side(header.count, where)
    if header.n is not None and ids is None:
        _check_masses(particles)
        return Lattice("i-major", None, None, header.offset or (0.0, 0.0, 0.0), True)
    tried = list(orders(n)) if ids is None else [order_named(ids, n)]
    if "ids" in particles.fields:
        first = _first_of_sorted(particles)
        index = None
        if first is None:
            index, first = _counted(particles.ids, header.whole, where)
    else:
        index, first = None, None
    _check_masses(particles)
    order, offset, spread = _best(particles, index, tried, n)
    if spread.max() > RANDOM * header.box**2 / 12:
        if first is None:
            raise NoLatticeError(f"{where} has no ids, and its rows are no lattice in order")
        ranges = [
            (rows.min(axis=0), rows.max(axis=0))
            for rows in (particles.read("positions", *rows) for rows in particles.slices())
        ]
        low, high = (f([r[i] for r in ranges], axis=0) for i, f in enumerate((np.min, np.max)))
        _check_range(particles, low, high, n, lost=True)
        raise _unknown_order(
            particles, tried, f"as far from their lattice points as from any others ({order.name})"
        )
    points = None
    if index is not None or order.name != AXES_IN_ORDER:
        points = order.point(np.arange(header.count) if index is None else index, n)
    in_order = points is None or np.array_equal(points, np.arange(header.count))
    sure = ids is not None or header.offset is not None  # who knows where it begins knows its order
    return Lattice(order.name, first, None if in_order else points, offset, sure)


def _unknown_order(particles: Particles, tried: list[IdOrder], what: str) -> DamagedFileError:
    names = ", ".join(order.name for order in tried)
    return DamagedFileError(
        f"{particles.name}: particles are {what}: their ids count no lattice in the orders tried ({names}); give the "
        f"right one by --ids, or read them without a lattice by --ids {NONE}"
    )


def lattice_side(count: int, where: str | Path) -> int:
    """n where count = n^3, else `NoLatticeError`."""
    n = round(count ** (1 / 3))
    if count <= 0 or n**3 != count:
        raise NoLatticeError(
            f"{where} has {count} particles: zeldo reads full lattices of n^3 as snapshots; give a complete one"
        )
    return n


def _first_of_sorted(particles: Particles) -> int | None:
    """The first id where ids count the rows one by one, as most files have them; None elsewhere."""
    first = int(particles.read("ids", 0, 1)[0])
    if not (first in (0, 1) or first >= len(particles) or not particles.header.whole):
        return None
    for start, stop in particles.slices():
        ids = particles.read("ids", start, stop)
        if ids[-1] != first + stop - 1 or not np.array_equal(ids, np.arange(first + start, first + stop)):
            return None
    return first


def _counted(ids: np.ndarray, whole: bool, where: str | Path) -> tuple[np.ndarray, int]:
    """ids - first, (N,) int64, and the first id. Errors where one of the N ids from it on is missing or there twice."""
    count, low, high = len(ids), int(ids.min()), int(ids.max())
    first = low
    # ids that begin elsewhere follow those of another species
    if high - low + 1 != count or (low > 1 and whole and low < count):
        inside = [int(np.count_nonzero((ids >= start) & (ids < start + count))) for start in (1, 0)]
        first = inside.index(max(inside)) == 0
        if max(inside) < count / 2:
            raise NoLatticeError(f"{where}: ids from {low} to {high} of {count} particles count no lattice")
    first = int(first)
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
    return index, first


def _best(
    particles: Particles, index: np.ndarray | None, tried: list[IdOrder], n: int
) -> tuple[IdOrder, Vector, np.ndarray]:
    """The order whose points are nearest to samples of rows, its offset in cells, and the mean squares, (3,) (Mpc/h)^2."""
    header, (places, rows) = particles.header, SAMPLE
    places_of = np.unique(np.linspace(0, max(0, header.count - rows), places).astype(int))
    slices = [(int(start), min(int(start) + rows, header.count)) for start in places_of]
    pieces = [particles.read("positions", start, stop) for start, stop in slices]
    for (start, _), piece in zip(slices, pieces, strict=True):
        check_finite(piece, "positions", particles.name, start)
    x = np.ascontiguousarray(np.concatenate(pieces).T, dtype=np.float64)
    rows_of = [np.arange(start, stop) if index is None else index[start:stop] for start, stop in slices]
    sample = np.concatenate(rows_of)
    results = []
    for order in tried:
        d = _from_points(x, order.point(sample, n), n, header.box)
        turns = np.exp(2j * np.pi / header.box * d).mean(axis=1)
        centre = np.angle(turns) * header.box / (2 * np.pi)
        d -= centre[:, None]
        d -= header.box * np.rint(d / header.box)
        spread = _squares(d) / d.shape[1]
        results.append((float(spread.sum()), order, centre, spread))
    _, order, centre, spread = min(results, key=lambda result: result[0])
    if header.offset is not None:
        return order, header.offset, spread
    # the nearest half cell, which `displacement` corrects where its mean over all particles says otherwise
    cells = centre * n / header.box
    near = np.abs(cells) < 2 * np.sqrt(spread) * n / header.box
    offset = np.where(near & (np.sqrt(spread) * n / header.box > 0.2), 0.0, np.rint(2 * cells) / 2)
    return order, _vector(offset), spread


def _vector(values: np.ndarray) -> Vector:
    first, second, third = (float(value) + 0.0 for value in values)  # no -0
    return first, second, third


def _from_points(x: np.ndarray, points: np.ndarray, n: int, box: float) -> np.ndarray:
    """Distances of particles from lattice points, (3, rows) Mpc/h."""
    line, k = np.divmod(points, n)
    i, j = np.divmod(line, n)
    return x - np.stack([i, j, k]) * (box / n)


def _squares(d: np.ndarray) -> np.ndarray:
    """Sums of the squares along each axis, (3,). BLAS would start its threads for each plane."""
    return np.einsum("ij,ij->i", d, d)


def displacement(particles: Particles, lattice: Lattice) -> tuple[np.ndarray, Lattice]:
    """psi (3, n, n, n) float32 by minimal image, Mpc/h, and the lattice with the offset that it has.

    Raises `DamagedFileError` for values that are not finite or out of the box, for a box that the particles do not
    fill, and for displacements that are not those of a universe. A warning says where positions lie outside the box.
    """
    header, where = particles.header, particles.name
    box, count = header.box, len(particles)
    n = lattice_side(count, where)
    cell = box / n
    start_of_cells = np.array(lattice.offset) * cell
    psi = np.empty((3, count), dtype=np.float32)
    low, high, squares, sums = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3), np.zeros(3)
    axis = np.arange(n) * cell
    turns = np.empty((3, max(stop - start for start, stop in particles.slices())))
    for start, stop in particles.slices():
        rows = particles.read("positions", start, stop)
        x = np.array(rows.T, dtype=np.float64, order="C")  # sums over an axis of length three are slow
        low, high = np.minimum(low, x.min(axis=1)), np.maximum(high, x.max(axis=1))
        if not np.isfinite(low + high).all():
            check_finite(rows, "positions", where, start)
        target = slice(start, stop) if lattice.points is None else lattice.points[start:stop]
        if isinstance(target, slice) and stop - start == n * n and start % (n * n) == 0:
            plane = x.reshape(3, n, n)
            plane[0] -= axis[start // (n * n)]
            plane[1] -= axis[:, None]
            plane[2] -= axis
        else:
            line, k = np.divmod(np.arange(start, stop) if isinstance(target, slice) else target, n)
            i, j = np.divmod(line, n)
            for along, point in zip(x, (i, j, k), strict=True):
                along -= axis[point]
        if start_of_cells.any():
            x -= start_of_cells[:, None]
        np.rint(np.multiply(x, 1 / box, out=turns[:, : stop - start]), out=turns[:, : stop - start])
        turns[:, : stop - start] *= box
        x -= turns[:, : stop - start]
        psi[:, target] = x
        squares += _squares(x)
        sums += x.sum(axis=1)
    mean = sums / count
    variance = squares / count - mean**2
    lost = bool(squares.max() / count > RANDOM * box**2 / 12)
    _check_range(particles, low, high, n, lost)
    if lost:
        raise _unknown_order(
            particles, _orders_tried(lattice, n), "as far from their lattice points as from any others"
        )
    lattice, shift = _centred(lattice, mean / cell, np.sqrt(variance) / cell, header)
    for along, correction in zip(psi, shift * cell, strict=True):
        if correction:
            along -= np.float32(correction)
    field = psi.reshape(3, n, n, n)
    _check_universe(particles, lattice, field, float(np.sqrt(variance.mean())))
    return field, lattice


def _orders_tried(lattice: Lattice, n: int) -> list[IdOrder]:
    return list(orders(n)) if lattice.first is not None else [order_named(lattice.order, n)]


def _check_range(particles: Particles, low: np.ndarray, high: np.ndarray, n: int, lost: bool = False) -> None:
    """Errors for positions that are not those of the box, a warning for those that stick out as unwrapped ones do.

    Where the lattice is lost, what sticks out is the reason.
    """
    where, box = particles.name, particles.header.box
    outside = low.min() < -1e-6 * box or high.max() > box * (1 + 1e-6)
    if low.min() < -box or high.max() > 2 * box or (lost and outside):
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
    if outside:
        warnings.warn(
            f"{where}: positions from {low.min():g} to {high.max():g} Mpc/h leave the box of {box:g} Mpc/h and are wrapped",
            stacklevel=4,
        )


def _centred(
    lattice: Lattice, mean: np.ndarray, rms: np.ndarray, header: Header
) -> tuple[Lattice, np.ndarray]:
    """The lattice with its offset corrected by the mean displacement, and the correction, in cells."""
    if header.offset is not None:
        return lattice, np.zeros(3)
    noise = np.minimum(0.25, 0.02 + max(0.02, 3 / header.count**0.5) * rms)
    offset = np.array(lattice.offset) + mean
    half = np.rint(2 * offset) / 2
    offset = np.where(np.abs(offset - half) < noise, half, offset)
    shift = offset - np.array(lattice.offset)
    return replace(lattice, offset=_vector(offset)), shift


def _check_universe(particles: Particles, lattice: Lattice, psi: np.ndarray, rms: float) -> None:
    """`DamagedFileError` where displacements are larger or rougher than those of a universe, as of a wrong order."""
    header, n = particles.header, psi.shape[1]
    if lattice.sure or n < SMALL or not rms:
        return
    parameters = header.cosmology.to_dict() if header.cosmology is not None else header.parameters
    expected, smooth = expected_displacement(parameters, header.box, n, header.redshift)
    planes = psi[:, :: max(1, n // 16)]
    steps = [np.diff(planes, axis=axis) for axis in (2, 3)]
    differences = float(np.mean([np.mean(np.square(step, dtype=np.float64)) for step in steps]))
    roughness = differences / (2 * rms**2)
    if rms > LARGEST * expected or roughness > ROUGHEST[0] * smooth + ROUGHEST[1]:
        what = (
            f"displaced by {rms:.3g} Mpc/h along an axis with a roughness of {roughness:.2g}, where linear theory expects "
            f"{expected:.3g} and {smooth:.2g}"
        )
        raise _unknown_order(particles, _orders_tried(lattice, n), what)


def velocity(particles: Particles, lattice: Lattice) -> np.ndarray | None:
    """(3, n, n, n) float32, km/s, None where there is none. `DamagedFileError` for values that are not finite."""
    if "velocities" not in particles.fields:
        return None
    vel = np.empty((3, len(particles)), dtype=np.float32)
    for start, stop in particles.slices():
        v = particles.read("velocities", start, stop)
        check_finite(v, "velocities", particles.name, start)
        vel[:, slice(start, stop) if lattice.points is None else lattice.points[start:stop]] = v.T
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


def check_mass(mass: float, omega_m: float, header: Header, where: str | Path) -> None:
    """`DamagedFileError` where particles of this mass, 10^10 Msun/h, do not add up to omega_m in the box.

    Those of one species among several may fall short of it.
    """
    expected = CRITICAL_DENSITY * omega_m * header.box**3 / header.count
    ratio = mass / expected
    if not (abs(ratio - 1) < MASS_TOLERANCE or (not header.whole and 0 < ratio < 1)):
        raise DamagedFileError(
            f"{where}: a particle mass of {mass:g} 10^10 Msun/h is not the {expected:g} that "
            f"omega_m = {omega_m:g} gives in a box of {header.box:g} Mpc/h; {AGAIN}, or correct its header"
        )


def _check_masses(particles: Particles) -> None:
    """Errors where masses differ, or contradict the cosmology; nothing where they are not known."""
    header, where = particles.header, particles.name
    mass = header.particle_mass
    if "masses" in particles.fields:
        mass = float(particles.read("masses", 0, 1)[0])
        for start, stop in particles.slices():
            if not np.allclose(particles.read("masses", start, stop), mass, rtol=1e-5):
                raise InputError(
                    f"{where}: particles have different masses: zeldo reads lattices of equal ones; read them without a "
                    f"lattice by --ids {NONE}"
                )
    omega_m = header.parameters.get("omega_m")
    omega_m = header.cosmology.omega_m if header.cosmology is not None else omega_m
    if mass is not None and omega_m is not None:
        check_mass(mass, omega_m, header, where)
