"""The smooth part of the force on a mesh: paint, transform, multiply by the Green's function, transform back, read.

The Green's function has the least square error for the window and its gradient (Hockney & Eastwood 1988,
section 8-3-3; Ballenegger, Cerda & Holm 2012, doi:10.1021/ct2001792). With the window W, the wanted force k S(k) / k^2
and sums over aliases k_a,

    G(k) = - W(k)^2 S(k)  /  (sum of W(k_a)^2  sum of k_a^2 W(k_a)^2),

where aliases of S are left out, since it is below 1e-2 there.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.force_split import ForceSplit
from zeldo.engines.p3m.kernels import remove_mean
from zeldo.engines.p3m.mesh_kernels import paint_cells, read_cells
from zeldo.mesh import fft
from zeldo.mesh.compile import kernel

WINDOW = 4  # sinc to this power: the cubic spline
ALIASES = 8  # on either side, in the sums: terms fall as the sixth power


class MeshForce:
    """The long-range force of `split` on an m^3 mesh, with its work space (8.5 m^3 bytes)."""

    def __init__(self, split: ForceSplit, m: int, cells: CellList):
        self.m, self.cells = m, cells
        self.green = green_function(split, m, cells.box)
        self.field = np.empty((m, m, m), np.float32)
        self.modes = np.empty((m, m, m // 2 + 1), np.complex64)

    def __call__(self, out: np.ndarray) -> np.ndarray:
        """Compute F at the particles of the cell list into out, (3, n, n, n) float32, Mpc/h."""
        read_cells(self.potential(), self.cells, out)
        # a clump narrower than a mesh cell pushes itself a little (aliases of the window): the box must not move
        remove_mean(out)
        return out

    def potential(self) -> np.ndarray:
        """phi with F = -grad phi, (m, m, m) float32, (Mpc/h)^2; the array is work space."""
        paint_cells(self.cells, self.field)
        fft.forward(self.field, self.modes)
        apply_octant(self.modes, self.green)
        return fft.inverse(self.modes, self.m, self.field, scratch=True)


def green_function(split: ForceSplit, m: int, box: float) -> np.ndarray:
    """G for |kx|, |ky|, |kz|, (m/2 + 1,) * 3 float32, (Mpc/h)^2, zero for the mean."""
    half = m // 2
    k = np.arange(half + 1) * (2 * np.pi / m)  # per mesh spacing
    images = k[:, None] + 2 * np.pi * np.arange(-ALIASES, ALIASES + 1)
    squares = np.sinc(images / (2 * np.pi)) ** (2 * WINDOW)
    window, total, second = squares[:, ALIASES], squares.sum(1), (squares * images**2).sum(1)
    whole = np.arange(3 * half**2 + 1)  # |k|^2 in units of the fundamental mode
    wanted = split.mesh_filter(np.sqrt(whole) * (2 * np.pi / box)) * (box / m) ** 2
    wanted[0] = 0
    out = np.empty((half + 1,) * 3, np.float32)
    _green(window / total**2, second / total, wanted, out)
    return out


@kernel(parallel=True)
def _green(window, second, wanted, out):  # type: ignore[no-untyped-def]
    size = window.size
    for i in prange(size):
        a = np.int64(i)
        for b in range(size):
            for c in range(size):
                k2 = second[a] + second[b] + second[c]
                if a + b + c == 0:
                    out[a, b, c] = 0
                else:
                    out[a, b, c] = -window[a] * window[b] * window[c] * wanted[a * a + b * b + c * c] / k2


@kernel(parallel=True)
def apply_octant(modes, green):  # type: ignore[no-untyped-def]
    """modes *= green in place, with green for non-negative wavenumbers."""
    m = modes.shape[0]
    for a in prange(m):
        i = min(np.int64(a), m - np.int64(a))  # prange counts in unsigned integers
        for b in range(m):
            j = min(b, m - b)
            for c in range(modes.shape[2]):
                modes[a, b, c] *= green[i, j, c]
