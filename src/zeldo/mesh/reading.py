"""The cloud-in-cell interpolation of mesh fields to a displaced lattice on the CPU, and a gradient to be read."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zeldo.mesh.rows import PARALLEL, locate, u64


@njit(**PARALLEL)
def read_scalar(field, psi, scale, offset, out):  # type: ignore[no-untyped-def]
    """out (n, n, n) becomes the field (m, m, m) at the particles."""
    n, m = out.shape[0], np.int32(field.shape[0])
    one, whole = np.float32(1), (np.int32(0), m, np.int32(0), m)
    f = field.reshape(-1)
    for i in prange(n):
        part, at = np.empty((3, n), np.float32), np.empty((4, n), np.int32)
        for j in range(n):
            locate(psi, i, j, scale, offset, m, whole, part, at)
            for k in range(n):
                fx, fy, fz = part[0, k], part[1, k], part[2, k]
                gx, gy = one - fx, one - fy
                w00, w01, w10, w11 = gx * gy, gx * fy, fx * gy, fx * fy
                r00, up = at[0, k], at[3, k]
                r01, r10 = r00 + at[2, k], r00 + at[1, k]
                r11 = r10 + at[2, k]
                low = w00 * f[u64(r00)] + w01 * f[u64(r01)] + w10 * f[u64(r10)] + w11 * f[u64(r11)]
                high = w00 * f[u64(r00 + up)] + w01 * f[u64(r01 + up)]
                high += w10 * f[u64(r10 + up)] + w11 * f[u64(r11 + up)]
                out[i, j, k] = (one - fz) * low + fz * high


@njit(inline="always")
def _add(s, w, g, b):  # type: ignore[no-untyped-def]
    """s + w times vector b of g; g comes in fours so that a corner never straddles more cache lines than it must."""
    at = u64(4) * u64(b)
    return s[0] + w * g[at], s[1] + w * g[at + u64(1)], s[2] + w * g[at + u64(2)]


@njit(**PARALLEL)
def read_vector(field, psi, scale, offset, out):  # type: ignore[no-untyped-def]
    """out (3, n, n, n) becomes the first three of the field's four components (m, m, m, 4) at the particles."""
    n, m = out.shape[1], np.int32(field.shape[0])
    one, zero, whole = np.float32(1), np.float32(0), (np.int32(0), m, np.int32(0), m)
    g = field.reshape(-1)
    for i in prange(n):
        part, at = np.empty((3, n), np.float32), np.empty((4, n), np.int32)
        for j in range(n):
            locate(psi, i, j, scale, offset, m, whole, part, at)
            for k in range(n):
                fx, fy, fz = part[0, k], part[1, k], part[2, k]
                gx, gy, gz = one - fx, one - fy, one - fz
                w00, w01, w10, w11 = gx * gy, gx * fy, fx * gy, fx * fy
                r00, up = at[0, k], at[3, k]
                r01, r10 = r00 + at[2, k], r00 + at[1, k]
                r11 = r10 + at[2, k]
                s = _add((zero, zero, zero), w00 * gz, g, r00)
                s = _add(s, w00 * fz, g, r00 + up)
                s = _add(s, w01 * gz, g, r01)
                s = _add(s, w01 * fz, g, r01 + up)
                s = _add(s, w10 * gz, g, r10)
                s = _add(s, w10 * fz, g, r10 + up)
                s = _add(s, w11 * gz, g, r11)
                s = _add(s, w11 * fz, g, r11 + up)
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = s


@njit(**PARALLEL)
def minus_gradient(phi, norm, out):  # type: ignore[no-untyped-def]
    """out (m, m, m, 4) becomes -grad phi by the centred difference of fourth order, norm = 1 / (12 h), and a zero."""
    m = phi.shape[0]
    eight, zero = np.float32(8), np.float32(0)
    for i in prange(m):
        x1, x2, xa, xb = phi[(i + 1) % m], phi[(i + 2) % m], phi[(i - 1) % m], phi[(i - 2) % m]
        for j in range(m):
            y1, y2, ya, yb = (j + 1) % m, (j + 2) % m, (j - 1) % m, (j - 2) % m
            f, z, o = phi[i], phi[i, j], out[i, j]
            for k in range(m):
                o[k, 0] = norm * ((x2[j, k] - xb[j, k]) - eight * (x1[j, k] - xa[j, k]))
                o[k, 1] = norm * ((f[y2, k] - f[yb, k]) - eight * (f[y1, k] - f[ya, k]))
                o[k, 3] = zero
            for k in range(2, m - 2):
                o[k, 2] = norm * ((z[k + 2] - z[k - 2]) - eight * (z[k + 1] - z[k - 1]))
            for k in (0, 1, m - 2, m - 1):
                o[k, 2] = norm * (
                    (z[(k + 2) % m] - z[(k - 2) % m]) - eight * (z[(k + 1) % m] - z[(k - 1) % m])
                )
