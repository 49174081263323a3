"""Lagrangian perturbation theory: the displacements that grow from a linear density field.

psi = D1 psi_lin + D2 grad phi2 with lap phi = delta_lin, psi_lin = -grad phi and
lap phi2 = sum_{i<j} (phi_ii phi_jj - phi_ij^2)   (Bouchet et al. 1995, arXiv:astro-ph/9406013).
"""

from __future__ import annotations

import numpy as np

from zeldo.initial.conditions import InitialConditions
from zeldo.mesh import fft
from zeldo.mesh.gravity import mode_factors

MIXED = ((0, 1), (0, 2), (1, 2))


def linear_displacement(ics: InitialConditions) -> np.ndarray:
    """psi_lin today, (3, n, n, n) float32, Mpc/h."""
    return _minus_gradient(_potential(ics.delta_lin, ics.box), ics.box)


def second_order_displacement(ics: InitialConditions) -> np.ndarray:
    """grad phi2 today, (3, n, n, n) float32, Mpc/h: what D2 multiplies.

    The products are taken on the lattice itself, as 2LPT codes of the field do.
    """
    from zeldo.mesh.numba_kernels import derive

    n = ics.n
    k, _ = mode_factors(n, ics.box, 0)
    phi = _potential(ics.delta_lin, ics.box)
    first, second = np.empty_like(phi), np.empty_like(phi)

    def hessian(i: int, j: int, out: np.ndarray) -> np.ndarray:
        derive(phi, k, i, first)
        derive(first, k, j, second)
        return fft.inverse(second, n, out=out, scratch=True)

    xx, yy, other = (np.empty((n, n, n), np.float32) for _ in range(3))
    hessian(0, 0, xx)
    hessian(1, 1, yy)
    source = xx * yy
    xx += yy
    source += xx * hessian(2, 2, other)
    for i, j in MIXED:
        hessian(i, j, other)
        source -= np.square(other, out=other)
    return _minus_gradient(-_potential(source, ics.box), ics.box)


def _potential(field: np.ndarray, box: float) -> np.ndarray:
    """Modes of lap^-1 field, Nyquist planes cleared."""
    from zeldo.mesh.numba_kernels import apply_green

    modes = fft.forward(field)
    apply_green(modes, *mode_factors(field.shape[0], box, 0))
    return modes


def _minus_gradient(phi: np.ndarray, box: float) -> np.ndarray:
    """-grad phi on the lattice, (3, n, n, n)."""
    from zeldo.mesh.numba_kernels import derive

    n = phi.shape[0]
    k, _ = mode_factors(n, box, 0)
    out, work = np.empty((3, n, n, n), np.float32), np.empty_like(phi)
    for axis in range(3):
        derive(phi, k, axis, work)
        fft.inverse(work, n, out=out[axis], scratch=True)
    return out
