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
    squares,
    unknown_order,
    vector,
)
from zeldo.particles.linear_theory import expected_displacement
from zeldo.particles.particles import Header, Particles

LARGEST = 3.0  # times the rms displacement of linear theory, which a box of few modes may leave
# half the mean square difference of neighbours over the variance, 1 for random points: some times that of linear theory;
# runs of eight codes from z = 127 to 0 have at most 1.1 times that
ROUGHEST = 2.0, 0.15
SMALL = 16  # particles per side, below which a lattice has no statistics


def displacement(particles: Particles, lattice: Lattice) -> tuple[np.ndarray, Lattice]:
    """psi (3, n, n, n) float32 by minimal image, Mpc/h, and the lattice with the offset that it has.

    Raises `DamagedFileError` for values that are not finite or outside the box, and for particles that do not fill the
    box. It also does for displacements that are not those of a universe. A warning says where positions lie outside the
    box.
    """
    header, where = particles.header, particles.name
    box, count = header.box, len(particles)
    n = lattice_side(count, where)
    cell = box / n
    start_of_cells = np.array(lattice.offset) * cell
    psi = np.empty((3, count), dtype=np.float32)
    low, high, square_sums, sums = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3), np.zeros(3)
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
        square_sums += squares(x)
        sums += x.sum(axis=1)
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
    field = psi.reshape(3, n, n, n)
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
        raise unknown_order(particles, _orders_tried(lattice, n), what)


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
