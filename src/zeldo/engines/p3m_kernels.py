"""Small loops over particles that steppers share."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


def advance(
    p: np.ndarray, psi: np.ndarray, near: np.ndarray, far: np.ndarray, k1: float, k2: float, drift: float
) -> None:
    """p += k1 near + k2 far, then psi += drift p, in place; all (3, n, n, n) float32."""
    flat = [x.reshape(-1) for x in (p, psi, near, far)]
    _advance(*flat, np.float32(k1), np.float32(k2), np.float32(drift))


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _advance(p, psi, near, far, k1, k2, drift):  # type: ignore[no-untyped-def]
    for i in prange(p.size):
        v = p[i] + k1 * near[i] + k2 * far[i]
        p[i] = v
        psi[i] += drift * v
