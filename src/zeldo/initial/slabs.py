"""Lagrangian perturbation theory in three meshes of memory, with its displacements on disk, some planes at a time.

Of a displacement -grad phi, two fields are in memory: phi and its derivative along x, both as a function of x and of the
wavenumbers along y and z. Any planes of the displacement follow from the same planes of these, by transforms in planes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from zeldo.mesh import fft
from zeldo.mesh.modes import mode_factors

Planes = Callable[[int, int], np.ndarray]
Write = Callable[[str, Planes], None]
ORDERS = ("first", "second")


def write_displacements(delta: list[np.ndarray], box: float, write: Write) -> None:
    """Write psi_lin ("first") and grad phi2 ("second"), the displacements of 2LPT.

    Parameters
    ----------
    delta : list of one ndarray
        The linear density field, (n, n, n) float32. It is taken out of the list, so that it may be let go.
    box : float
        Mpc/h.
    write : callable
        Called with the name, and a function that gives the planes first to end of the displacement, (3, end - first, n, n)
        float32, each of them once.
    """
    from zeldo.mesh.numba_kernels import add_square, apply_green, derive, derive_twice

    field = delta.pop()
    n = field.shape[0]
    k, window = mode_factors(n, box, 0)
    phi = fft.forward(field)
    del field
    # no derivative has them: delta^2 must not either
    phi[0, 0, 0] = phi[n // 2] = phi[:, n // 2] = phi[:, :, n // 2] = 0
    second = phi.copy()
    source = fft.real_view(second)
    # sum_{i<j} (phi_ii phi_jj - phi_ij^2) = (delta^2 - sum_ij phi_ij^2) / 2, a mesh at a time
    fft.inverse(second, n, source[:, :, :n], scratch=True)
    source[:, :, n:] = 0  # its padding must hold numbers
    np.square(source, out=source)
    source *= np.float32(-0.5)
    apply_green(phi, k, window)
    work = np.empty_like(phi)
    values = fft.real_view(work)
    for i in range(3):
        for j in range(i, 3):
            derive_twice(phi, k, i, j, work)
            fft.inverse(work, n, values[:, :, :n], scratch=True)
            values[:, :, n:] = 0
            add_square(values, 0.5 if i == j else 1.0, source)
    fft.forward(source[:, :, :n], second)
    apply_green(second, k, window)
    for order, modes in (("second", second), ("first", phi)):
        derive(modes, k, 0, work)
        write(order, partial(_planes, fft.inverse_first(modes), fft.inverse_first(work), box))


def _planes(phi: np.ndarray, along_x: np.ndarray, box: float, first: int, end: int) -> np.ndarray:
    """The displacement on planes of the lattice, whose along_x is destroyed."""
    from zeldo.mesh.numba_kernels import derive

    phi, along_x = phi[first:end], along_x[first:end]
    planes, n = phi.shape[:2]
    k = mode_factors(n, box, 0)[0]
    out = np.empty((3, planes, n, n), np.float32)
    fft.inverse(along_x, n, out[0], scratch=True, axes=(1, 2))
    for axis in (1, 2):
        derive(phi, k, axis, along_x)
        fft.inverse(along_x, n, out[axis], scratch=True, axes=(1, 2))
    return out
