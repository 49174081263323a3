"""From particles as files hold them to displacements on the lattice, with every check on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.errors import AGAIN, DamagedFileError, InputError

MASS_TOLERANCE = 2e-3


def lattice_side(count: int, where: str | Path) -> int:
    """n where count = n^3, else `InputError`."""
    n = round(count ** (1 / 3))
    if count <= 0 or n**3 != count:
        raise InputError(
            f"{where} has {count} particles: zeldo reads full lattices of n^3; give a complete snapshot"
        )
    return n


def rows_by_id(ids: np.ndarray, where: str | Path) -> np.ndarray | None:
    """The row of each id from 1 to N, or None where the rows are in that order already.

    ids: (N,) whole numbers. Raises `DamagedFileError` where one is missing, double or out of range.
    """
    count = len(ids)
    if ids.dtype.kind not in "iu":
        raise DamagedFileError(f"{where}: ids are {ids.dtype}, not whole numbers; {AGAIN}")
    if np.array_equal(ids, np.arange(1, count + 1, dtype=ids.dtype)):
        return None
    outside = (ids < 1) | (ids > count)
    if outside.any():
        raise DamagedFileError(
            f"{where}: id {ids[np.argmax(outside)]} is out of range: "
            f"{count} particles have ids 1 to {count}, in lattice order; give a snapshot with such ids"
        )
    index = ids.astype(np.int64) - 1
    times = np.bincount(index, minlength=count)
    if (times != 1).any():
        double, missing = int(np.argmax(times > 1)) + 1, int(np.argmin(times)) + 1
        raise DamagedFileError(
            f"{where}: id {missing} is missing and id {double} is there {times[double - 1]} times; {AGAIN}"
        )
    rows = np.empty(count, dtype=np.int64)
    rows[index] = np.arange(count)
    return rows


def displacement(pos: np.ndarray, box: float, where: str | Path) -> np.ndarray:
    """psi (3, n, n, n) float32 by minimal image, Mpc/h, of positions (n^3, 3) in lattice order.

    Raises `DamagedFileError` for values that are not finite or out of the box, and for a box that the
    particles do not fill.
    """
    n = lattice_side(len(pos), where)
    check_finite(pos, "positions", where)
    low, high = pos.min(axis=0), pos.max(axis=0)
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
    psi = np.empty((3, n, n, n), dtype=np.float32)
    lattice = np.arange(n) * (box / n)
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = n
        d = pos[:, axis].astype(np.float64).reshape(n, n, n) - lattice.reshape(shape)
        d -= box * np.rint(d / box)
        psi[axis] = d
    return psi


def on_lattice(vel: np.ndarray, count: int, where: str | Path) -> np.ndarray:
    """(3, n, n, n) float32 of velocities (n^3, 3). `DamagedFileError` for what is not."""
    if vel.shape != (count, 3) or vel.dtype.kind != "f":
        raise DamagedFileError(
            f"{where}: velocities are {vel.dtype} of shape {vel.shape}, not ({count}, 3); {AGAIN}"
        )
    check_finite(vel, "velocities", where)
    n = lattice_side(count, where)
    return np.ascontiguousarray(vel.T, dtype=np.float32).reshape(3, n, n, n)


def check_finite(values: np.ndarray, what: str, where: str | Path) -> None:
    """`DamagedFileError` where one of the values is NaN or infinite."""
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        raise DamagedFileError(
            f"{where}: {int(bad.sum())} of the {what} are not finite, the first in row {row}; {AGAIN}"
        )


def check_mass(mass: float, omega_m: float, box: float, count: int, where: str | Path) -> None:
    """`DamagedFileError` where the particle mass, 10^10 Msun/h, does not make up omega_m in the box."""
    expected = CRITICAL_DENSITY * omega_m * box**3 / count
    if not abs(mass / expected - 1) < MASS_TOLERANCE:
        raise DamagedFileError(
            f"{where}: a particle mass of {mass:g} 10^10 Msun/h is not the {expected:g} that "
            f"omega_m = {omega_m:g} gives in a box of {box:g} Mpc/h; {AGAIN}, or correct its header"
        )
