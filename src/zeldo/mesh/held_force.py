"""A force that is read off its potential only where and when it is used, some planes of the lattice at a time.

At 512^3 particles the force is 1.6 GB and the gradient of its potential on the mesh 2.1 GB. Steps use the force of each
particle once, so neither is ever whole in memory. A few planes of the mesh are: those that the particles of some lattice
planes can reach, each computed once, in a ring of slots.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        mesh, n = self.mesh, self.psi.shape[1]
        together = planes_together(n)
        pieces = [(first, min(first + together, n)) for first in range(0, n, together)]
        reach = [self._reach(*piece) for piece in pieces]
        ends = np.maximum.accumulate([end for _, end in reach])  # a ring only goes forward
        begins = np.minimum.accumulate([begin for begin, _ in reach][::-1])[::-1]
        slots = min(int(max(ends - begins)), mesh.m)
        if slots == mesh.m:
            begins, ends = np.zeros_like(begins), np.full_like(ends, mesh.m)
        ring, done = mesh.ring(slots), int(begins[0])
        force = np.empty((3, min(n, pieces[0][1]), n, n), np.float32)
        for (first, end), begin, needed in zip(pieces, begins, ends, strict=True):
            if needed > done:
                kernels.gradient_planes(self.potential, mesh.box, done, int(needed), ring)
                done = int(needed)
            origin = int(begin) % mesh.m, int(begin) % slots
            room = force if end - first == force.shape[1] else np.ascontiguousarray(force[:, : end - first])
            yield (
                slice(first, end),
                kernels.read_planes(ring, self.psi, mesh.box, self.offset, (first, end), origin, room),
            )

    def array(self, out: np.ndarray | None = None) -> np.ndarray:
        """F at all particles, (3, n, n, n)."""
        out = np.empty_like(self.psi) if out is None else out
        for planes, force in self.pieces():
            out[:, planes] = force
        return out

    def _reach(self, first: int, end: int) -> tuple[int, int]:
        """The planes of the mesh, begin to end, that the clouds of lattice planes touch; any integers."""
        mesh, n = self.mesh, self.psi.shape[1]
        x = self.psi[0, first:end].reshape(end - first, -1)
        at = np.arange(first, end) * (mesh.m / n) + self.offset
        scale = mesh.m / mesh.box
        low, high = (at + x.min(1) * scale).min(), (at + x.max(1) * scale).max()
        return int(np.floor(low)) - 1, int(np.floor(high)) + 3  # rounding may move a particle by a plane
