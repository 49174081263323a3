"""The particles of a displaced lattice, listed by the cubic cells of a periodic box, for both halves of P3M.

Coordinates are float32 relative to the particle's own cell, so their rounding does not depend on the size of the box.
The list is a stable counting sort: within a cell, particles are in Lagrangian order for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from zeldo.errors import InputError
from zeldo.mesh.compile import inlined, kernel

BLOCKS = 64  # blocks of cells in the counting sort


class CellList:
    """n^3 particles in a box, listed by cells.

    Parameters
    ----------
    n : int
        Particles per side.
    box : float
        Side of the box, Mpc/h.
    radius : float
        The least length of a cell, Mpc/h.

    Attributes
    ----------
    count : int
        Cells per side.
    side : float
        Length of a cell in units of radius.
    start : ndarray, (count^3 + 1,)
        First particle of each cell, with z varying fastest.
    order : ndarray, (n^3,)
        Lagrangian row of each particle.
    position : ndarray, (3, n^3 + 8)
        float32, in units of radius, relative to the cell's corner; eight more, so that full vectors can be read past the
        end.

    Raises
    ------
    InputError
        Where fewer than three cells fit.
    """

    def __init__(self, n: int, box: float, radius: float):
        self.n, self.box, self.radius = n, box, radius
        self.count = int(box / radius * (1 + 1e-6))
        if self.count < 3:
            raise InputError(
                f"the pair force reaches {radius:.3g} Mpc/h, more than a third of the box of {box:g}: "
                "give more particles, a finer mesh or a shorter reach"
            )
        self.side = box / radius / self.count
        self.start = np.zeros(self.count**3 + 1, np.int64)
        self.order = np.empty(n**3, np.int32 if n < 1290 else np.int64)
        self.position = np.zeros((3, n**3 + 8), np.float32)
        self._key = np.empty(n**3, np.int32 if self.count**3 < 2**31 else np.int64)
        self._counts = np.empty((0, 0), self.order.dtype)  # from counts to places in the order

    def sort(self, psi: np.ndarray) -> None:
        """List the particles displaced by psi, (3, n, n, n) float32, Mpc/h."""
        threads = get_num_threads()
        if len(self._counts) != threads:
            self._counts = np.empty((threads, self.count**3), self.order.dtype)
        _sort(psi.reshape(3, -1), self.n, self.n / self.box, self.count, self.side,
              self._counts, self._key, self.order, self.start, self.position)  # fmt: skip


@inlined
def _cell_coordinate(psi, axis, p, n, per_box, to_cells, cells):  # type: ignore[no-untyped-def]
    """The particle's coordinate in cells, in [0, cells]."""
    q = p // (n * n) if axis == 0 else (p // n) % n if axis == 1 else p % n
    x = (q + np.float64(psi[axis, p]) * per_box) * to_cells
    return x - cells * np.floor(x / cells)


@kernel(parallel=True)
def _sort(psi, n, per_box, cells, side, counts, key, order, start, position):  # type: ignore[no-untyped-def]
    threads, total = counts.shape
    particles = psi.shape[1]
    to_cells = cells / n
    bounds = np.arange(threads + 1) * particles // threads
    for t in prange(threads):
        counts[t] = 0
        for p in range(bounds[t], bounds[t + 1]):
            c = 0
            for axis in range(3):
                x = _cell_coordinate(psi, axis, p, n, per_box, to_cells, cells)
                c = c * cells + min(int(x), cells - 1)
            key[p] = c
            counts[t, c] += 1
    # counts become places: cell by cell, within a cell thread by thread; blocks of cells run in parallel
    blocks = np.arange(BLOCKS + 1) * total // BLOCKS
    before = np.zeros(BLOCKS + 1, np.int64)
    for b in prange(BLOCKS):
        for t in range(threads):
            for c in range(blocks[b], blocks[b + 1]):
                before[b + 1] += counts[t, c]
    for b in range(BLOCKS):
        before[b + 1] += before[b]
    for b in prange(BLOCKS):
        at = before[b]
        for c in range(blocks[b], blocks[b + 1]):
            start[c] = at
            for t in range(threads):
                members = counts[t, c]
                counts[t, c] = at
                at += members
    start[total] = particles
    for t in prange(threads):
        for p in range(bounds[t], bounds[t + 1]):
            c = key[p]
            s = counts[t, c]
            counts[t, c] += 1
            order[s] = p
            for axis in range(3):
                x = _cell_coordinate(psi, axis, p, n, per_box, to_cells, cells)
                position[axis, s] = (x - min(int(x), cells - 1)) * side
