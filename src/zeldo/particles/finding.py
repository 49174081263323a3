"""Finds the lattice among particles: which order their ids count it in, by trying."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.particles.id_orders import NONE, IdOrder, order_named, orders
from zeldo.particles.lattice_points import (
    RANDOM,
    Lattice,
    NoLatticeError,
    Vector,
    check_finite,
    check_range,
    lattice_side,
    squares,
    unknown_order,
    vector,
)
from zeldo.particles.particles import Header, Particles, known_parameters

MASS_TOLERANCE = 2e-3  # the values of G in codes differ by 3e-4
AXES_IN_ORDER = "i-major"
MOST = 0.9  # of the ids of a lattice, where some are damaged: where more are wrong, they count no lattice
SAMPLE = 16, 64  # number of samples, and rows in each, to choose among orders of ids


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
            raise NoLatticeError(f"{where} has no ids, and its rows are not a lattice in order")
        ranges = [
            (rows.min(axis=0), rows.max(axis=0))
            for rows in (particles.read("positions", *rows) for rows in particles.slices())
        ]
        low, high = (f([r[i] for r in ranges], axis=0) for i, f in enumerate((np.min, np.max)))
        check_range(particles, low, high, n, lost=True)
        raise unknown_order(
            particles, tried, f"as far from their lattice points as from any others ({order.name})"
        )
    points = None
    if index is not None or order.name != AXES_IN_ORDER:
        points = order.point(np.arange(header.count) if index is None else index, n)
    in_order = points is None or np.array_equal(points, np.arange(header.count))
    sure = ids is not None or header.offset is not None  # who knows where it begins knows its order
    return Lattice(order.name, first, None if in_order else points, offset, sure)


def _first_of_sorted(particles: Particles) -> int | None:
    """The first id where ids count the rows one by one, as most files have them; None elsewhere."""
    from zeldo.particles.passes import over_slices

    first = int(particles.read("ids", 0, 1)[0])
    if not (first in (0, 1) or first >= len(particles) or not particles.header.whole):
        return None

    def counts_on(start: int, ids: np.ndarray) -> bool:
        after = first + start + len(ids)
        return bool(ids[-1] == after - 1) and np.array_equal(
            ids, np.arange(first + start, after, dtype=ids.dtype)
        )

    start, stop = next(particles.slices())  # ids in another order show it there
    if not counts_on(start, particles.read("ids", start, stop)):
        return None
    if not all(over_slices(particles, "ids", counts_on)):
        return None
    return first


def _counted(ids: np.ndarray, whole: bool, where: str | Path) -> tuple[np.ndarray, int]:
    """ids - first, (N,) int64, and the first id. Errors where one of the N ids from it on is missing or there twice."""
    count, low, high = len(ids), int(ids.min()), int(ids.max())
    first = low
    # ids that begin elsewhere follow those of another species
    if high - low + 1 != count or (low > 1 and whole and low < count):
        inside = {start: int(np.count_nonzero((ids >= start) & (ids < start + count))) for start in (1, 0)}
        first = max(inside, key=inside.__getitem__)
        if inside[first] < MOST * count:
            raise NoLatticeError(f"{where}: ids from {low} to {high} of {count} particles count no lattice")
    last = first + count - 1
    outside = (ids < first) | (ids > last)
    if outside.any():
        raise DamagedFileError(
            f"{where}: id {ids[np.argmax(outside)]} is out of range: "
            f"{count} particles have ids {first} to {last}, in lattice order; give a snapshot with such ids"
        )
    index = (ids - ids.dtype.type(first)).astype(np.int64)  # ids may be beyond 2^63
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
        spread = squares(d) / d.shape[1]
        results.append((float(spread.sum()), order, centre, spread))
    _, order, centre, spread = min(results, key=lambda result: result[0])
    if header.offset is not None:
        return order, header.offset, spread
    # the nearest half cell, which `displacement` corrects where its mean over all particles says otherwise
    cells = centre * n / header.box
    near = np.abs(cells) < 2 * np.sqrt(spread) * n / header.box
    offset = np.where(near & (np.sqrt(spread) * n / header.box > 0.2), 0.0, np.rint(2 * cells) / 2)
    return order, vector(offset), spread


def _from_points(x: np.ndarray, points: np.ndarray, n: int, box: float) -> np.ndarray:
    """Distances of particles from lattice points, (3, rows) Mpc/h."""
    line, k = np.divmod(points, n)
    i, j = np.divmod(line, n)
    return x - np.stack([i, j, k]) * (box / n)


def check_mass(mass: float, omega_m: float, header: Header, where: str | Path) -> None:
    """`DamagedFileError` where particles of this mass, 10^10 Msun/h, do not add up to omega_m in the box.

    Those of one species among several may fall short of it. A file of dark matter alone need not say that it is one.
    """
    expected = CRITICAL_DENSITY * omega_m * header.box**3 / header.count
    ratio = mass / expected
    baryons = known_parameters(header).get("omega_b", 0.0)
    shares = (1.0, 1.0 - baryons / omega_m)
    agrees = any(abs(ratio - share) < MASS_TOLERANCE for share in shares)
    if not (agrees or (not header.whole and 0 < ratio < 1)):
        raise DamagedFileError(
            f"{where}: a particle mass of {mass:g} 10^10 Msun/h is not the {expected:g} that "
            f"omega_m = {omega_m:g} gives in a box of {header.box:g} Mpc/h; give --length if its unit of lengths is "
            "another, or correct its header"
            + (
                ", or give omega_b too, if it is dark matter beside gas"
                if 0 < ratio < 1 and not baryons
                else ""
            )
        )


def _check_masses(particles: Particles) -> None:
    """Errors where masses differ, or contradict the cosmology; nothing where they are not known."""
    header, where = particles.header, particles.name
    mass = header.particle_mass
    if "masses" in particles.fields:
        mass = float(particles.read("masses", 0, 1)[0])
        for start, stop in particles.slices():
            if not np.allclose(particles.read("masses", start, stop), mass, rtol=1e-5, atol=0):
                raise InputError(
                    f"{where}: particles have different masses: zeldo reads lattices of equal ones; read them without a "
                    f"lattice by ids={NONE!r} (--ids {NONE})"
                )
    omega_m = known_parameters(header).get("omega_m")
    if mass is not None and omega_m is not None:
        check_mass(mass, omega_m, header, where)
