"""Where particles come from: the lattice of an order of ids, and the errors of particles that are none."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError, ZeldoWarning
from zeldo.particles.id_orders import NONE, IdOrder
from zeldo.particles.particles import Particles

RANDOM = 0.8  # of the mean square distance to random points, per axis: beyond it, ids carry no information
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


def lattice_side(count: int, where: str | Path) -> int:
    """n where count = n^3, else `NoLatticeError`."""
    n = round(count ** (1 / 3))
    if count <= 0 or n**3 != count:
        raise NoLatticeError(
            f"{where} has {count} particles: zeldo reads full lattices of n^3 as snapshots; give a complete one"
        )
    return n


class UnknownOrderError(DamagedFileError):
    """Particles whose ids count no lattice in any order that is known."""


def unknown_order(particles: Particles, tried: list[IdOrder], what: str) -> UnknownOrderError:
    names = ", ".join(order.name for order in tried)
    return UnknownOrderError(
        f"{particles.name}: particles are {what}: their ids count no lattice in the orders tried ({names}); give the "
        f"right one by ids (--ids), or read them without a lattice by ids={NONE!r} (--ids {NONE})"
    )


def check_range(particles: Particles, low: np.ndarray, high: np.ndarray, n: int, lost: bool = False) -> None:
    """Errors for positions that are not those of the box, a warning for those that stick out as unwrapped ones do.

    Where the lattice is lost, what sticks out is the reason.
    """
    where, box = particles.name, particles.header.box
    outside = low.min() < -1e-6 * box or high.max() > box * (1 + 1e-6)
    if low.min() < -box or high.max() > 2 * box or (lost and outside):
        raise DamagedFileError(
            f"{where}: positions from {low.min():g} to {high.max():g} Mpc/h leave the box of "
            f"{box:g} Mpc/h that the header gives; {AGAIN}, or correct its box (--box, --length)"
        )
    # no universe leaves a slab of 5 % of the box empty, nor one of three lattice planes
    if (high - low).min() < box * (1 - max(0.05, 3 / n)):
        raise DamagedFileError(
            f"{where}: positions reach {(high - low).min():g} Mpc/h across only, yet the header gives "
            f"a box of {box:g} Mpc/h; {AGAIN}, or correct its box (--box, --length)"
        )
    if outside:
        warnings.warn(
            f"{where}: positions from {low.min():g} to {high.max():g} Mpc/h leave the box of {box:g} Mpc/h and are wrapped",
            ZeldoWarning,
            stacklevel=4,
        )


def check_finite(values: np.ndarray, quantity: str, where: str | Path, start: int = 0) -> None:
    """`DamagedFileError` where a value is NaN or infinite; `start` is the number of the first row."""
    bad = ~np.isfinite(values)
    if bad.any():
        row = start + int(np.argmax(bad.any(axis=1)))
        raise DamagedFileError(
            f"{where}: {int(bad.sum())} of the {quantity} are not finite, the first in row {row}; {AGAIN}"
        )


def vector(values: np.ndarray) -> Vector:
    first, second, third = (float(value) + 0.0 for value in values)  # no -0
    return first, second, third


def squares(d: np.ndarray) -> np.ndarray:
    """Sums of the squares along each axis, (3,). BLAS would start its threads for each plane."""
    return np.einsum("ij,ij->i", d, d)
