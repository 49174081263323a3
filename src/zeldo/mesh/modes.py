"""Factors of Fourier modes that mesh forces and perturbation theory share, and the gradient by ik."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from zeldo.mesh import fft


def mode_factors(
    m: int, box: float, deconvolution: float, dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """k (h/Mpc) and the factor of the window along one axis, (m,) each, in the order of fftfreq.

    The factor clears Nyquist, where a derivative has no sign.
    """
    nu = np.fft.fftfreq(m)
    return (nu * (2 * np.pi * m / box)).astype(dtype), window_factors(m, deconvolution, dtype)


def window_factors(m: int, deconvolution: float, dtype: type = np.float32) -> np.ndarray:
    """Cloud-in-cell's window along one axis to the power -deconvolution, (m,), in the order of fftfreq; 0 at Nyquist."""
    window = np.sinc(np.fft.fftfreq(m)) ** (-2 * deconvolution)
    window[m // 2] = 0
    return window.astype(dtype)


def spectral_gradient(
    modes: np.ndarray, k: np.ndarray, work: np.ndarray, fields: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """The three components of minus the gradient on the mesh, one after the other in `fields` (one array will do).

    modes: of the field, destroyed; k of one axis; work: room for as many modes.
    """
    from zeldo.mesh.numba_kernels import derive

    m = modes.shape[0]
    for axis, field in enumerate(fields):
        if axis == 1:
            fft.inverse_first(modes)  # the first axis is the same for the second and the third component
        derive(modes, k, axis, work)
        yield fft.inverse(work, m, field, scratch=True, axes=(1, 2) if axis else (0, 1, 2))
