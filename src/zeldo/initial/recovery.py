"""The linear density field of initial conditions that are given as displaced particles.

psi = D1 psi_lin + D2 grad phi2 is solved for delta_lin = -div psi_lin by iteration: the second order of the last estimate
is taken off the displacement. Velocities, whose second order has another factor, tell first from second order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.initial.gradients import Gradient, source_of, spectral
from zeldo.initial.lpt import lpt_factors, minus_source
from zeldo.mesh import fft

TOLERANCE = 3e-6  # of the rms: two estimates that differ less are one in float32
MAX_ITERATIONS = 30
LARGEST = 1.0  # rms density contrast of linear theory at the redshift: beyond it, orbits cross
UNLIKE = 0.1  # of the velocity's rms: what may be left beside that of Lagrangian perturbation theory


@dataclass(frozen=True, eq=False)
class Recovered:
    """A linear field recovered from particles.

    Parameters
    ----------
    delta_lin : ndarray
        (n, n, n) float32, today.
    order : {1, 2}
        Of the Lagrangian perturbation theory that made them.
    residual : float or None
        What of the velocity that theory leaves unexplained, of its rms; None without velocities.
    gradient : callable
        By which the code displaced them, of `zeldo.initial.gradients`.
    """

    delta_lin: np.ndarray
    order: int
    residual: float | None
    gradient: Gradient = spectral


def recover_linear_field(
    psi: np.ndarray,
    vel: np.ndarray | None,
    box: float,
    cosmology: Cosmology,
    redshift: float,
    order: int | None = None,
    *,
    differences: bool = False,
) -> Recovered:
    """The linear density field today behind particles displaced by Lagrangian perturbation theory.

    Parameters
    ----------
    psi : ndarray
        (3, n, n, n) displacement from the lattice, Mpc/h.
    vel : ndarray, optional
        (3, n, n, n) peculiar velocity, km/s. It tells the order and proves that these are initial conditions.
    box : float
        Mpc/h.
    cosmology : Cosmology
        It gives the growth.
    redshift : float
        Of the particles.
    order : {1, 2}, optional
        1 for Zel'dovich, 2 for second order. Where absent, the velocities say it; without them it is 2.
    differences : bool
        Whether the code may have taken finite differences in place of gradients, as FastPM does. The displacement says
        whether it has.

    Returns
    -------
    Recovered

    Raises
    ------
    InputError
        For particles that are no initial conditions, and an order that is not known.
    """
    if order not in (None, 1, 2):
        raise InputError(f"order = {order!r} is not allowed: give 1 for Zel'dovich or 2 for second order")
    a = 1 / (1 + redshift)
    (d1, v1), (d2, v2) = lpt_factors(cosmology, a)
    divergence, gradient = source_of(psi, box, guess=differences)
    first = divergence / np.float32(d1)
    if d1 * first.std() > LARGEST:
        raise InputError(
            f"particles at z = {redshift:g} with a density contrast of {d1 * first.std():.2g} rms are not initial "
            f"conditions: give a snapshot of an earlier time, where linear theory has at most {LARGEST:g}"
        )
    motion = None if vel is None else source_of(vel, box, gradient)[0]
    if order is None:
        order = 2 if motion is None else _order(divergence, motion, (d1, v1, d2, v2), box, gradient)
    delta = first if order == 1 else _without_second_order(first, d2 / d1, box, gradient)
    residual = None
    if motion is not None:
        expected = np.float32(v1) * delta
        if order == 2:
            expected += np.float32(v2) * _second(delta, box, gradient)
        left, whole = float((motion - expected).std()), float(motion.std())
        residual = left / whole if whole else float(left > 0)
        if not residual < UNLIKE:
            raise InputError(
                f"particles at z = {redshift:g} do not move as Lagrangian perturbation theory has it ({residual:.0%} of "
                "the velocity is left): give initial conditions, or the cosmology of the run if its file does not"
            )
    return Recovered(delta, order, residual, gradient)


def shifted(field: np.ndarray, offset: tuple[float, float, float]) -> np.ndarray:
    """A field without Nyquist planes, given at lattice points + offset, at the lattice points themselves.

    Parameters
    ----------
    field : ndarray
        (n, n, n) float32.
    offset : (float, float, float)
        In cells.
    """
    if not any(offset):
        return field
    n = field.shape[0]
    modes = fft.forward(field)
    for k, cells in zip(fft.wavenumbers(n), offset, strict=True):
        modes *= np.exp(-2j * np.pi / n * k * cells).astype(np.complex64)
    return fft.inverse(fft.zero_nyquist(modes), n, scratch=True)


def _order(
    divergence: np.ndarray,
    motion: np.ndarray,
    factors: tuple[float, float, float, float],
    box: float,
    gradient: Gradient,
) -> int:
    """1 or 2: whether displacement and velocity differ by the second order."""
    d1, v1, d2, v2 = factors
    delta = divergence / np.float32(d1)
    second = _second(delta, box, gradient)
    # what velocities of first order would leave nothing of
    left = motion / np.float32(v1) - delta
    expected = np.float32(v2 / v1 - d2 / d1) * second
    # velocities in units that are a little off leave a share of delta, which is taken out
    basis = np.stack([expected.ravel(), delta.ravel()]).astype(np.float64)
    share = np.linalg.lstsq(basis @ basis.T, basis @ left.ravel().astype(np.float64), rcond=None)[0]
    return 2 if share[0] > 0.5 else 1


def _without_second_order(first: np.ndarray, ratio: float, box: float, gradient: Gradient) -> np.ndarray:
    """delta with delta + ratio (-lap phi2[delta]) = first."""
    delta, scale = first, float(first.std())
    for _ in range(MAX_ITERATIONS):
        better = first - np.float32(ratio) * _second(delta, box, gradient)
        change = float((better - delta).std())
        delta = better
        if change <= TOLERANCE * scale:
            return delta
        if not change < 10 * scale:
            break
    raise InputError(
        "particles from which no second order can be taken off are not initial conditions (estimates of the field still "
        f"differ by {change / scale:.1g} of it): give a snapshot of an earlier time"
    )


def _second(delta: np.ndarray, box: float, gradient: Gradient) -> np.ndarray:
    """-lap phi2 as displacements have it: without mean and Nyquist planes."""
    modes = fft.zero_nyquist(fft.forward(minus_source(delta, box, gradient)))
    modes[0, 0, 0] = 0
    return fft.inverse(modes, delta.shape[0], scratch=True)
