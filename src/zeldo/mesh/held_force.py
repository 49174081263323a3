"""A force that is read off its potential only where and when it is used, some planes of the lattice at a time.

At 512^3 particles the force is 1.6 GB and the gradient of its potential on the mesh 2.1 GB. Steps use the force of each
particle once, so neither is ever whole in memory. A few planes of the mesh are: those that the particles of some lattice
planes can reach, each computed once, in a ring of slots.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zeldo.mesh import fft
from zeldo.mesh import numba_kernels as kernels

if TYPE_CHECKING:
    from zeldo.mesh.numba_gravity import NumbaGravity

PLANES = 32  # of the lattice that are read together, and a sixteenth of it at least


def planes_together(n: int) -> int:
    """How many lattice planes of n^3 particles are read together."""
    return min(n, max(PLANES, n // 16, 2 * fft.threads()))


class HeldForce:
    """F at the particles of psi, known by the potential that the mesh holds.

    Parameters
    ----------
    mesh : NumbaGravity
        The mesh, which lends room.
    potential : ndarray, (m, m, m + 2)
        Of these particles.
    psi : ndarray, (3, n, n, n)
        Displacement, Mpc/h.
    offset : float
        Of the mesh, in its cells.

    Attributes
    ----------
    spent : bool
        Whether the particles are being moved, so that the potential is nobody's when that is done.
    """

    def __init__(self, mesh: NumbaGravity, potential: np.ndarray, psi: np.ndarray, offset: float):
        self.mesh, self.potential, self.psi, self.offset = mesh, potential, psi, offset
        self.spent = False

    def pieces(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The planes of the lattice in order, and F there, (3, planes, n, n), Mpc/h, which the next piece overwrites.

        The particles of a piece may be moved before the next one is asked for.
        """
        n = self.psi.shape[1]
        together = planes_together(n)
        pieces = [(first, min(first + together, n)) for first in range(0, n, together)]
        reach = [reach_of(self.psi[0, first:end], first, self.mesh.box / n) for first, end in pieces]
        ring = Ring(self.mesh, self.potential, self.offset, reach)
        room = np.empty((3, together, n, n), np.float32)
        for piece in pieces:
            yield slice(*piece), ring.force(self.psi, piece, room)

    def array(self, out: np.ndarray | None = None) -> np.ndarray:
        """F at all particles, (3, n, n, n)."""
        out = np.empty_like(self.psi) if out is None else out
        for planes, force in self.pieces():
            out[:, planes] = force
        return out


Reach = tuple[float, float]


def reach_of(x: np.ndarray, first: int, spacing: float) -> Reach:
    """The least and the largest x, not wrapped, of lattice planes from `first` on, Mpc/h; x (planes, n, n) of psi."""
    at, flat = np.arange(first, first + len(x)) * spacing, x.reshape(len(x), -1)
    return float((at + flat.min(1)).min()), float((at + flat.max(1)).max())


class Ring:
    """The planes of the gradient that the particles of some lattice planes need, which go around with these.

    Parameters
    ----------
    mesh : NumbaGravity
        It lends room.
    potential : ndarray, (m, m, m + 2)
    offset : float
        Of the mesh, in its cells.
    reaches : list
        `reach_of` each piece in the order in which `force` will be asked for them.
    """

    def __init__(
        self, mesh: NumbaGravity, potential: np.ndarray, offset: float, reaches: Sequence[Reach]
    ) -> None:
        self.mesh, self.potential, self.offset = mesh, potential, offset
        planes = [self._planes(*reach) for reach in reaches]
        ends = np.maximum.accumulate([end for _, end in planes])  # a ring only goes forward
        begins = np.minimum.accumulate([begin for begin, _ in planes][::-1])[::-1]
        self.slots = min(int(max(ends - begins)), mesh.m)
        if self.slots == mesh.m:
            begins, ends = np.zeros_like(begins), np.full_like(ends, mesh.m)
        self.gradient, self.done = mesh.ring(self.slots), int(begins[0])
        self.windows = iter(zip(begins.tolist(), ends.tolist(), strict=True))

    def force(self, psi: np.ndarray, piece: tuple[int, int], room: np.ndarray, held: int = 0) -> np.ndarray:
        """F at the particles of the next piece, (3, planes, n, n), in `room`; psi has the lattice from plane `held` on."""
        first, end = piece
        begin, needed = next(self.windows)
        if needed > self.done:
            missing = max(self.done, begin)
            kernels.gradient_planes(self.potential, self.mesh.box, missing, needed, self.gradient)
            self.done = needed
        if end - first < room.shape[1]:
            room = np.ascontiguousarray(room[:, : end - first])
        origin = begin % self.mesh.m, begin % self.slots
        return kernels.read_planes(self.gradient, psi, self.mesh.box, self.offset, piece, origin, room, held)

    def _planes(self, low: float, high: float) -> tuple[int, int]:
        """The planes of the mesh, begin to end, that clouds from low to high touch; any integers."""
        begin, end = (math.floor(x * self.mesh.m / self.mesh.box + self.offset) for x in (low, high))
        return begin - 1, end + 3  # rounding may move a particle by a plane
