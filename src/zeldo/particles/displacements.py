"""Displacements and velocities of a lattice, with a judgement whether they are those of a universe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zeldo.particles.id_orders import IdOrder, order_named, orders
from zeldo.particles.lattice_points import (
    RANDOM,
    Lattice,
    check_finite,
    check_range,
    lattice_side,
    unknown_order,
    vector,
)
from zeldo.particles.linear_theory import expected_displacement
from zeldo.particles.particles import Header, Particles, known_parameters

LARGEST = 3.0  # times the rms displacement of linear theory, which a box of few modes may leave
# half the mean square difference of neighbours over the variance, 1 for random points: some times that of linear theory;
# runs of eight codes from z = 127 to 0 have at most 1.1 times that
ROUGHEST = 2.0, 0.15
MOST_PLANES, POINTS = 8, 2**17  # of the lattice, whose differences of neighbours tell the roughness
SMALL = 16  # particles per side, below which a lattice has no statistics


def displacement(particles: Particles, lattice: Lattice) -> tuple[np.ndarray, Lattice]:
    """psi (3, n, n, n) float32 by minimal image, Mpc/h, and the lattice with the offset that it has.

    Raises `DamagedFileError` for values that are not finite or outside the box, and for particles that do not fill the
    box. It also does for displacements that are not those of a universe. A warning says where positions lie outside the
    box.
    """
    from zeldo.particles import placing
    from zeldo.particles.passes import over_slices

    header, where = particles.header, particles.name
    box, count = header.box, len(particles)
    n = lattice_side(count, where)
    cell = box / n
    # made as a field: numpy would keep the base of a reshaped array for whoever holds some planes
    field = np.empty((3, n, n, n), dtype=np.float32)
    psi = field.reshape(3, count)
    begin = np.array(lattice.offset) * cell

    def put(start: int, rows: np.ndarray) -> np.ndarray:
        kept = placing.extremes_and_sums(placing.place(rows, start, lattice.points, n, box, begin, psi))
        if not np.isfinite(kept).all():
            check_finite(rows, "positions", where, start)
        return kept

    kept = np.array(over_slices(particles, "positions", put))
    low, high = kept[:, placing.LOW].min(axis=0), kept[:, placing.HIGH].max(axis=0)
    sums, square_sums = kept[:, placing.SUM].sum(axis=0), kept[:, placing.SQUARES].sum(axis=0)
    mean = sums / count
    variance = square_sums / count - mean**2
    lost = bool(square_sums.max() / count > RANDOM * box**2 / 12)
    check_range(particles, low, high, n, lost)
    if lost:
        raise unknown_order(
            particles, _orders_tried(lattice, n), "as far from their lattice points as from any others"
        )
    lattice, shift = _centred(lattice, mean / cell, np.sqrt(variance) / cell, header)
    for along, correction in zip(psi, shift * cell, strict=True):
        if correction:
            along -= np.float32(correction)
    _check_universe(particles, lattice, field, float(np.sqrt(variance.mean())))
    return field, lattice


def _orders_tried(lattice: Lattice, n: int) -> list[IdOrder]:
    return list(orders(n)) if lattice.first is not None else [order_named(lattice.order, n)]


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
    return replace(lattice, offset=vector(offset)), shift


def _check_universe(particles: Particles, lattice: Lattice, psi: np.ndarray, rms: float) -> None:
    """`DamagedFileError` where displacements are larger or rougher than those of a universe, as of a wrong order."""
    header, n = particles.header, psi.shape[1]
    if lattice.sure or n < SMALL or not rms:
        return
    expected, smooth = expected_displacement(known_parameters(header), header.box, n, header.redshift)
    planes = psi[:, :: n // min(MOST_PLANES, max(2, POINTS // n**2))]
    steps = [np.diff(planes, axis=axis) for axis in (2, 3)]
    differences = float(np.mean([np.vdot(step, step) / step.size for step in steps]))
    roughness = differences / (2 * rms**2)
    if rms > LARGEST * expected or roughness > ROUGHEST[0] * smooth + ROUGHEST[1]:
        what = (
            f"displaced by {rms:.3g} Mpc/h along an axis with a roughness of {roughness:.2g}, where linear theory expects "
            f"{expected:.3g} and {smooth:.2g}"
        )
        raise unknown_order(particles, _orders_tried(lattice, n), what)


def velocity(particles: Particles, lattice: Lattice) -> np.ndarray | None:
    """(3, n, n, n) float32, km/s, None where there is none. `DamagedFileError` for values that are not finite."""
    from zeldo.particles import placing
    from zeldo.particles.passes import over_slices

    if "velocities" not in particles.fields:
        return None
    n = lattice_side(len(particles), particles.name)
    field = np.empty((3, n, n, n), dtype=np.float32)
    vel = field.reshape(3, -1)

    def put(start: int, rows: np.ndarray) -> None:
        if not placing.turn(rows, start, lattice.points, vel):
            check_finite(rows, "velocities", particles.name, start)

    over_slices(particles, "velocities", put)
    return field
