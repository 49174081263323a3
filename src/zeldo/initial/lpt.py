"""Lagrangian perturbation theory: the displacements that grow from a linear density field.

psi = D1 psi_lin + D2 grad phi2 with lap phi = delta_lin, psi_lin = -grad phi and
lap phi2 = sum_{i<j} (phi_ii phi_jj - phi_ij^2)   (Bouchet et al. 1995, arXiv:astro-ph/9406013).
"""

from __future__ import annotations

import numpy as np

from zeldo.initial.conditions import InitialConditions
from zeldo.mesh import fft

MIXED = ((0, 1), (0, 2), (1, 2))


def linear_displacement(ics: InitialConditions) -> np.ndarray:
    """psi_lin today, (3, n, n, n) float32, Mpc/h."""
    return _gradient(_potential(ics.delta_lin, ics.box), ics.box, -1)


def second_order_displacement(ics: InitialConditions) -> np.ndarray:
    """grad phi2 today, (3, n, n, n) float32, Mpc/h: what D2 multiplies.

    The products are taken on the lattice itself, as 2LPT codes of the field do.
    """
    n = ics.n
    phi = _potential(ics.delta_lin, ics.box)
    k = fft.wavenumbers(n, ics.box)

    def hessian(pair: tuple[int, int], out: np.ndarray) -> np.ndarray:
        return fft.inverse(phi * (-k[pair[0]] * k[pair[1]]).astype(np.float32), n, out=out, scratch=True)

    xx, yy, other = (np.empty((n, n, n), np.float32) for _ in range(3))
    hessian((0, 0), xx)
    hessian((1, 1), yy)
    source = xx * yy
    xx += yy
    source += xx * hessian((2, 2), other)
    for pair in MIXED:
        hessian(pair, other)
        source -= np.square(other, out=other)
    return _gradient(_potential(source, ics.box), ics.box, +1)


def _potential(field: np.ndarray, box: float) -> np.ndarray:
    """Modes of lap^-1 field, Nyquist planes cleared."""
    n = field.shape[0]
    modes = fft.zero_nyquist(fft.forward(field))
    kx, ky, kz = fft.wavenumbers(n, box)
    k2 = (kx**2 + ky**2 + kz**2).astype(np.float32)
    k2[0, 0, 0] = np.inf
    modes /= -k2
    return modes


def _gradient(phi: np.ndarray, box: float, sign: int) -> np.ndarray:
    """sign * grad phi on the lattice, (3, n, n, n)."""
    n = phi.shape[0]
    out = np.empty((3, n, n, n), np.float32)
    for axis, k in enumerate(fft.wavenumbers(n, box)):
        fft.inverse(phi * (sign * 1j * k).astype(np.complex64), n, out=out[axis], scratch=True)
    return out
