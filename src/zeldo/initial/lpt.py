"""Lagrangian perturbation theory: the displacements that grow from a linear density field.

To second order (Bouchet et al. 1995, arXiv:astro-ph/9406013):

    psi = D1 psi_lin + D2 grad phi2
    lap phi = delta_lin        psi_lin = -grad phi        lap phi2 = sum_{i<j} (phi_ii phi_jj - phi_ij^2)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.scalars import Scalar, scalar
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.gradients import Gradient, spectral
from zeldo.mesh import fft
from zeldo.mesh.modes import mode_factors, spectral_gradient

DIAGONAL, MIXED = ((0, 0), (1, 1), (2, 2)), ((0, 1), (0, 2), (1, 2))


def linear_displacement(ics: InitialConditions, amplitudes: np.ndarray | None = None) -> np.ndarray:
    """The linear displacement today, psi_lin, with delta_lin = -div psi_lin.

    Parameters
    ----------
    ics : InitialConditions
        They give the linear density and the box.
    amplitudes : ndarray, optional
        A table from `zeldo.initial.lattice.amplitudes` that multiplies the linear density.

    Returns
    -------
    ndarray, (3, n, n, n)
        float32, Mpc/h.
    """
    return _minus_gradient(_potential(ics.delta_lin, ics.box, amplitudes), ics.box)


def displacements(
    ics: InitialConditions, amplitudes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """psi_lin and grad phi2 today, which D1 and D2 multiply, (3, n, n, n) float32 each, Mpc/h.

    The products of second order are taken on the lattice itself, as 2LPT codes of the field do. `amplitudes` as for
    `linear_displacement`.
    """
    phi = _potential(ics.delta_lin, ics.box, amplitudes)
    second = _second_order(phi, ics.box)
    return _minus_gradient(phi, ics.box), second


def lpt_factors(cosmology: Cosmology, a: float, order: int = 2) -> list[tuple[Scalar, Scalar]]:
    """What the displacements today are multiplied by at a scale factor.

    Parameters
    ----------
    cosmology : Cosmology
        It gives the growth and the expansion.
    a : float
        Scale factor.
    order : {1, 2}
        Zel'dovich, or second order too.

    Returns
    -------
    list of (float, float)
        For each order D, and 100 a E f D in km/s per Mpc/h: the displacement's and the velocity's factor.
    """
    grow = growth(cosmology)
    unit = 100 * a * scalar(expansion(cosmology, a))
    terms = ((grow.d1, grow.f1), (grow.d2, grow.f2))[:order]
    return [(scalar(d(a)), scalar(unit * f(a) * d(a))) for d, f in terms]


def lpt_state(
    ics: InitialConditions, a: float, order: int = 2, *, fields: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Displacement and velocity at a scale factor by Lagrangian perturbation theory.

    Parameters
    ----------
    ics : InitialConditions
        The linear field.
    a : float
        Scale factor.
    order : {1, 2}
        Zel'dovich 1970, or second order (Bouchet et al. 1995, arXiv:astro-ph/9406013).
    fields : sequence of ndarray, optional
        What `displacements` gave for `ics`, where it is at hand.

    Returns
    -------
    psi, vel : ndarray
        (3, n, n, n) float32 each, Mpc/h and peculiar km/s, new arrays.
    """
    if fields is None:
        fields = displacements(ics) if order > 1 else (linear_displacement(ics),)
    factors = lpt_factors(ics.cosmology, a, order)
    (d, v), first = factors[0], fields[0]
    psi, vel = np.float32(d) * first, np.float32(v) * first
    for (d, v), field in zip(factors[1:], fields[1:], strict=False):
        psi += np.float32(d) * field
        vel += np.float32(v) * field
    return psi, vel


def _potential(field: np.ndarray, box: float, amplitudes: np.ndarray | None = None) -> np.ndarray:
    """Modes of lap^-1 field, Nyquist planes cleared."""
    from zeldo.mesh.numba_kernels import apply_green, apply_table

    modes = fft.forward(field)
    if amplitudes is not None:
        apply_table(modes, amplitudes)
    apply_green(modes, *mode_factors(field.shape[0], box, 0))
    return modes


def _minus_gradient(phi: np.ndarray, box: float, out: np.ndarray | None = None) -> np.ndarray:
    """-grad phi on the lattice, (3, n, n, n); the modes of phi are destroyed."""
    n = phi.shape[0]
    out = np.empty((3, n, n, n), np.float32) if out is None else out
    for _ in spectral_gradient(phi, mode_factors(n, box, 0)[0], np.empty_like(phi), out):
        pass
    return out


def minus_source(delta: np.ndarray, box: float, gradient: Gradient = spectral) -> np.ndarray:
    """-lap phi2 of a linear density field, (n, n, n) float32, with second derivatives by a gradient of a code."""
    n = delta.shape[0]
    return _minus_source(_potential(delta, box), box, np.empty((3, n, n, n), np.float32), gradient)


def _second_order(phi: np.ndarray, box: float) -> np.ndarray:
    """grad phi2 on the lattice from the modes of phi."""
    out = np.empty((3, *3 * [phi.shape[0]]), np.float32)
    return _minus_gradient(_potential(_minus_source(phi, box, out), box), box, out)


def _minus_source(phi: np.ndarray, box: float, out: np.ndarray, gradient: Gradient = spectral) -> np.ndarray:
    """-lap phi2 on the lattice from the modes of phi; `out` is room for three fields."""
    from zeldo.mesh.numba_kernels import add_squares, derive_twice, minus_minors

    n = phi.shape[0]
    k = gradient(mode_factors(n, box, 0)[0], box / n)
    source, work = np.empty((n, n, n), np.float32), np.empty_like(phi)
    for pairs, collect in ((DIAGONAL, minus_minors), (MIXED, add_squares)):
        for field, (i, j) in zip(out, pairs, strict=True):
            derive_twice(phi, k, i, j, work)
            fft.inverse(work, n, out=field, scratch=True)
        collect(out, source)
    return source
