"""Lagrangian perturbation theory in three meshes of memory, with its displacements on disk, some planes at a time.

Of a displacement -grad phi, two fields are kept: phi and its derivative along x, both as a function of x and of the
wavenumbers along y and z. Any planes of the displacement follow from the same planes of these, by transforms in planes.
That takes two thirds of the displacement's space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from zeldo.mesh import fft
from zeldo.mesh.modes import mode_factors

Write = Callable[[str, np.ndarray], None]  # a name, and modes (n, n, n // 2 + 1) that depend on x, ky and kz
ORDERS = ("first", "second")
PARTS = ("phi", "along_x")


def write_potentials(delta: list[np.ndarray], box: float, write: Write) -> None:
    """Write phi and its derivative along x, of psi_lin ("first") and of grad phi2 ("second").

    Parameters
    ----------
    delta : list of one ndarray
        The linear density field, (n, n, n) float32. It is taken out of the list, so that it may be let go.
    box : float
        Mpc/h.
    write : callable
        Called with "first.phi" and so on, and the field; it may be overwritten afterwards.
    """
    from zeldo.mesh.numba_kernels import add_square, apply_green, derive, derive_twice

    field = delta.pop()
    n = field.shape[0]
    k, window = mode_factors(n, box, 0)
    phi = fft.forward(field)
    second = np.zeros_like(phi)  # its padding must hold numbers
    source = fft.real_view(second)
    # sum_{i<j} (phi_ii phi_jj - phi_ij^2) = (delta^2 - sum_ij phi_ij^2) / 2, a mesh at a time
    source[:, :, :n] = field
    del field
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
        write(f"{order}.along_x", fft.inverse_first(work))
        write(f"{order}.phi", fft.inverse_first(modes))


def displacement_of_planes(phi: np.ndarray, along_x: np.ndarray, box: float) -> np.ndarray:
    """The displacement on some planes of the lattice.

    Parameters
    ----------
    phi, along_x : ndarray
        What `write_potentials` wrote, (planes, n, n // 2 + 1) complex64. The second is destroyed.
    box : float
        Mpc/h.

    Returns
    -------
    ndarray
        (3, planes, n, n) float32, Mpc/h.
    """
    from zeldo.mesh.numba_kernels import derive

    planes, n = phi.shape[:2]
    k = mode_factors(n, box, 0)[0]
    out = np.empty((3, planes, n, n), np.float32)
    fft.inverse(along_x, n, out[0], scratch=True, axes=(1, 2))
    for axis in (1, 2):
        derive(phi, k, axis, along_x)
        fft.inverse(along_x, n, out[axis], scratch=True, axes=(1, 2))
    return out


def names() -> Iterator[str]:
    """What `write_potentials` writes."""
    for order in ORDERS:
        for part in PARTS:
            yield f"{order}.{part}"
