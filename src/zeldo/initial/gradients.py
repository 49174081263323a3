"""Gradients by which codes displace particles, as factors of modes, and the field behind displacements made with them.

FastPM takes differences of four points where others take ik (its kernels 1_4, gadget, eastwood and naive).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zeldo.mesh import fft

Gradient = Callable[[np.ndarray, float], np.ndarray]
BETTER = 0.1  # of what ik leaves unexplained: what differences may leave where a field was made with them


def spectral(k: np.ndarray, cell: float) -> np.ndarray:
    """k itself."""
    return k


def four_points(k: np.ndarray, cell: float) -> np.ndarray:
    """(8 sin kh - sin 2kh) / 6h: 2/3 of the neighbours' difference less 1/12 of that of the next ones, over h."""
    return (8 * np.sin(k * cell) - np.sin(2 * k * cell)) / (6 * cell)


def source_of(
    field: np.ndarray, box: float, gradient: Gradient = spectral, *, guess: bool = False
) -> tuple[np.ndarray, Gradient]:
    """The density whose displacement comes nearest to a vector field on the lattice, and the gradient of it.

    With ik it is minus the divergence. Modes with Nyquist components are cleared.

    Parameters
    ----------
    field : ndarray
        (3, n, n, n), Mpc/h.
    box : float
        Mpc/h.
    gradient : callable
        Of the code: k in h/Mpc and the spacing of points in Mpc/h to the factor of i.
    guess : bool
        Take `four_points` where it explains the field far better than `gradient` does.

    Returns
    -------
    density : ndarray
        (n, n, n) float32.
    gradient : callable
        The one that was taken.
    """
    n = field.shape[1]
    choices = [gradient, four_points] if guess else [gradient]
    waves = fft.wavenumbers(n, box)
    sums = [np.zeros((n, n, n // 2 + 1), np.complex64) for _ in choices]
    whole = 0.0
    for component, k in zip(field, waves, strict=True):
        modes = fft.zero_nyquist(fft.forward(np.ascontiguousarray(component)))
        whole += float(np.vdot(modes, modes).real) if guess else 0.0
        for total, choice in zip(sums, choices, strict=True):
            total += modes * (-1j * choice(k, box / n)).astype(np.complex64)
    if guess:
        left = [
            whole - _explained(total, waves, box, choice) for total, choice in zip(sums, choices, strict=True)
        ]
        taken = int(left[1] < BETTER * left[0])
    else:
        taken = 0
    total, chosen = sums[taken], choices[taken]
    if chosen is not spectral:
        total *= _squares(waves) / np.maximum(_squares([chosen(k, box / n) for k in waves]), 1e-30)
    return fft.inverse(fft.zero_nyquist(total), n, scratch=True), chosen


def _squares(factors) -> np.ndarray:  # type: ignore[no-untyped-def]
    squares: np.ndarray = sum(np.square(factor, dtype=np.float32) for factor in factors)
    return squares


def _explained(total: np.ndarray, waves, box: float, gradient: Gradient) -> float:  # type: ignore[no-untyped-def]
    """The part of the field's square, summed over half of the modes, that lies along a gradient."""
    n = total.shape[0]
    along = np.maximum(_squares([gradient(k, box / n) for k in waves]), 1e-30)
    power = np.square(total.real) + np.square(total.imag)
    return float(np.sum(power / along, dtype=np.float64))
