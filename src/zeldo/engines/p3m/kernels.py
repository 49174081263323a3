"""Small loops over the particles of P3M. All fields are (3, n, n, n) float32."""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.compile import kernel

PARTS = 1024  # pieces of a sum: their number, and so the rounding, does not depend on the threads


def advance(
    p: np.ndarray, psi: np.ndarray, near: np.ndarray, far: np.ndarray, k1: float, k2: float, drift: float
) -> None:
    """p += k1 near + k2 far, then psi += drift p, in place."""
    if k2 == 0:
        _advance_near(*_flat(p, psi, near), np.float32(k1), np.float32(drift))
    else:
        _advance(*_flat(p, psi, near, far), np.float32(k1), np.float32(k2), np.float32(drift))


def mean_fourth_power(force: np.ndarray) -> float:
    """The mean of (fx^2 + fy^2 + fz^2)^2 over the particles."""
    sums = np.empty(PARTS)
    _fourth_powers(force.reshape(3, -1), sums)
    return float(sums.sum()) / (force.size / 3)


def remove_mean(force: np.ndarray) -> None:
    """Subtract the mean over the particles, in place."""
    flat = force.reshape(3, -1)
    sums = np.empty((3, PARTS))
    _sums(flat, sums)
    _subtract(flat, (sums.sum(1) / flat.shape[1]).astype(np.float32))


def _flat(*fields: np.ndarray) -> list[np.ndarray]:
    return [x.reshape(-1) for x in fields]


@kernel(parallel=True)
def _advance(p, psi, near, far, k1, k2, drift):  # type: ignore[no-untyped-def]
    for i in prange(p.size):
        v = p[i] + k1 * near[i] + k2 * far[i]
        p[i] = v
        psi[i] += drift * v


@kernel(parallel=True)
def _advance_near(p, psi, near, k1, drift):  # type: ignore[no-untyped-def]
    for i in prange(p.size):
        v = p[i] + k1 * near[i]
        p[i] = v
        psi[i] += drift * v


@kernel(parallel=True)
def _fourth_powers(force, sums):  # type: ignore[no-untyped-def]
    particles = force.shape[1]
    for part in prange(sums.size):
        first = np.int64(part) * particles // sums.size
        last = (np.int64(part) + 1) * particles // sums.size
        total = 0.0
        for i in range(first, last):
            square = (
                np.float64(force[0, i]) ** 2 + np.float64(force[1, i]) ** 2 + np.float64(force[2, i]) ** 2
            )
            total += square * square
        sums[part] = total


@kernel(parallel=True)
def _sums(force, sums):  # type: ignore[no-untyped-def]
    particles, parts = force.shape[1], sums.shape[1]
    for part in prange(parts):
        first = np.int64(part) * particles // parts
        last = (np.int64(part) + 1) * particles // parts
        for axis in range(3):
            total = 0.0
            for i in range(first, last):
                total += np.float64(force[axis, i])
            sums[axis, part] = total


@kernel(parallel=True)
def _subtract(force, mean):  # type: ignore[no-untyped-def]
    for i in prange(force.shape[1]):
        for axis in range(3):
            force[axis, i] -= mean[axis]
