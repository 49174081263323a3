"""Mesh kernels for the CPU: parallel, float32, the same bits for any number of threads.

Particles are those of an n^3 lattice displaced by psi (3, n, n, n) in Mpc/h; a mesh has m^3 points at
(i, j, k) box / m, m even.
The interpolation is cloud-in-cell (Hockney & Eastwood 1988). torch_kernels holds the same functions for any device.

The paint is a scattered add. Particles are listed by stripes of mesh planes first (a stable counting sort of
indices); a stripe writes its own planes and the next one's first, so all even stripes run in parallel, then all
odd ones.

Indices are int32 in flat arrays and cast to unsigned at the access: signed ones would be tested for Python's
negative indices.
Positions go through small buffers so that their arithmetic is vectorised; the accesses cannot be.

`offset` moves the particles by a fraction of a mesh cell along the diagonal, the same as moving the mesh the other way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from zeldo.errors import InputError

STRIPES = 64
BUFFER = 256
MAX_MESH = 1290  # flat int32 indices

_parallel: dict[str, Any] = {"parallel": True, "fastmath": True, "cache": True, "nogil": True}
_u = np.uint32


def check_mesh(m: int) -> int:
    """m where a mesh of m^3 is possible, else `InputError`."""
    if m < 4 or m % 2 or m > MAX_MESH:
        raise InputError(
            f"a mesh of {m} points per side is not possible: give an even number from 4 to {MAX_MESH}"
        )
    return m


def paint(
    psi: np.ndarray, m: int, box: float, out: np.ndarray | None = None, offset: float = 0.0
) -> np.ndarray:
    """Density of the particles in units of its mean, (m, m, m) float32; delta = paint - 1."""
    n = psi.shape[1]
    out = np.empty((m, m, m), np.float32) if out is None else out
    stripes = min(STRIPES, check_mesh(m))
    order = np.empty(n**3, np.int32)
    starts = np.empty((n, stripes), np.int64)
    scale, offset = np.float32(m / box), np.float32(offset)
    stripe_of = (np.arange(m) * stripes // m).astype(np.uint8)
    _list_by_stripes(psi[0], m, scale, offset, order, starts, stripe_of, np.empty((n, n, n), np.uint8))
    _paint(psi, scale, offset, np.float32((m / n) ** 3), order, starts, stripe_of, out)
    return out


def read(
    field: np.ndarray, psi: np.ndarray, box: float, out: np.ndarray | None = None, offset: float = 0.0
) -> np.ndarray:
    """The field (m, m, m) at the particles, (n, n, n) float32."""
    out = np.empty(psi.shape[1:], np.float32) if out is None else out
    _read(field, psi, np.float32(check_mesh(field.shape[0]) / box), np.float32(offset), out)
    return out


def read_gradient(
    phi: np.ndarray,
    psi: np.ndarray,
    box: float,
    out: np.ndarray | None = None,
    work: np.ndarray | None = None,
    offset: float = 0.0,
) -> np.ndarray:
    """-grad phi at the particles, (3, n, n, n) float32: the fourth-order centred difference, then cloud-in-cell.

    work: (m, m, m, 4) float32, room for the gradient on the mesh.
    """
    m = check_mesh(phi.shape[0])
    out = np.empty_like(psi) if out is None else out
    work = np.empty((m, m, m, 4), np.float32) if work is None else work
    _minus_gradient(phi, np.float32(m / box / 12), work)
    _read_vector(work, psi, np.float32(m / box), np.float32(offset), out)
    return out


def apply_green(modes: np.ndarray, k: np.ndarray, window: np.ndarray) -> None:
    """modes *= -w(kx) w(ky) w(kz) / |k|^2 in place; the mean mode becomes zero.

    modes (m, m, m // 2 + 1) complex64; k and window (m,) float32 of one axis, in the order of fftfreq.
    """
    _apply_green(modes, np.square(k), window)


def derive(modes: np.ndarray, k: np.ndarray, axis: int, out: np.ndarray) -> None:
    """out = -i k modes along an axis: the modes of minus the derivative."""
    shape = [1, 1, 1]
    shape[axis] = -1
    along = np.broadcast_to(k[: modes.shape[axis]].reshape(shape), modes.shape)
    _derive(modes, along, out)


def combine(out: np.ndarray, *terms: tuple[float, np.ndarray]) -> None:
    """out = sum of factor x array over two to four terms, in one pass; out may be one of the arrays.

    All float32 and contiguous.
    """
    factors = [np.float32(factor) for factor, _ in terms]
    arrays = [array.reshape(-1) for _, array in terms]
    _COMBINE[len(terms)](out.reshape(-1), *factors, *arrays)


@njit(inline="always")
def _cell(base, displacement, scale, fm, inverse):  # type: ignore[no-untyped-def]
    """Position in cells, [0, m), without a branch so that loops over it become vector code."""
    x = base + displacement * scale
    x -= fm * np.floor(x * inverse)
    return x if x < fm else np.float32(0)


@njit(inline="always")
def _next(i, m):  # type: ignore[no-untyped-def]
    return i + np.int32(1) if i + np.int32(1) < m else np.int32(0)


@njit(**_parallel)
def _list_by_stripes(psi_x, m, scale, offset, order, starts, stripe_of, label):  # type: ignore[no-untyped-def]
    n, stripes = starts.shape
    fm = np.float32(m)
    cell, inverse = fm / np.float32(n), np.float32(1) / fm
    for i in prange(n):
        base = np.float32(i) * cell + offset
        for j in range(n):
            for k in range(n):
                plane = np.int32(_cell(base, psi_x[i, j, k], scale, fm, inverse))
                label[i, j, k] = stripe_of[plane]
        for s in range(stripes):
            starts[i, s] = 0
        for j in range(n):
            for k in range(n):
                starts[i, np.int64(label[i, j, k])] += 1
    total = 0
    for s in range(stripes):
        for i in range(n):
            count = starts[i, s]
            starts[i, s] = total
            total += count
    for i in prange(n):
        at = starts[i].copy()
        for j in range(n):
            for k in range(n):
                s = np.int64(label[i, j, k])
                order[at[s]] = (i * n + j) * n + k
                at[s] += 1


@njit(**_parallel)
def _paint(psi, scale, offset, weight, order, starts, stripe_of, out):  # type: ignore[no-untyped-def]
    stripes = starts.shape[1]
    n, m = np.int32(starts.shape[0]), np.int32(out.shape[0])
    one, fm = np.float32(1), np.float32(m)
    cell, inverse = fm / np.float32(n), one / fm
    px, py, pz = psi[0].reshape(-1), psi[1].reshape(-1), psi[2].reshape(-1)
    rho = out.reshape(-1)
    for i in prange(m):
        out[i] = 0
    for parity in range(2):
        for half in prange(stripes // 2):
            s = 2 * half + parity
            low = np.int32(np.searchsorted(stripe_of, s, side="left"))
            high = np.int32(np.searchsorted(stripe_of, s, side="right")) - np.int32(1)
            end = starts[0, s + 1] if s + 1 < stripes else order.size
            xs, ys, zs = (
                np.empty(BUFFER, np.float32),
                np.empty(BUFFER, np.float32),
                np.empty(BUFFER, np.float32),
            )
            for first in range(starts[0, s], end, BUFFER):
                count = min(BUFFER, end - first)
                for c in range(count):
                    q = np.int32(order[first + c])
                    row = q // n
                    i = row // n
                    xs[c] = _cell(np.float32(i) * cell + offset, px[_u(q)], scale, fm, inverse)
                    ys[c] = _cell(np.float32(row - i * n) * cell + offset, py[_u(q)], scale, fm, inverse)
                    zs[c] = _cell(np.float32(q - row * n) * cell + offset, pz[_u(q)], scale, fm, inverse)
                for c in range(count):
                    # what the compiler rounds otherwise here than in the list must not leave the stripe
                    i0 = min(max(np.int32(xs[c]), low), high)
                    j0, k0 = np.int32(ys[c]), np.int32(zs[c])
                    fx, fy, fz = xs[c] - np.float32(i0), ys[c] - np.float32(j0), zs[c] - np.float32(k0)
                    i1, j1, k1 = _next(i0, m), _next(j0, m), _next(k0, m)
                    gx, gy, gz = (one - fx) * weight, one - fy, one - fz
                    fx *= weight
                    r00, r01, r10, r11 = (
                        (i0 * m + j0) * m,
                        (i0 * m + j1) * m,
                        (i1 * m + j0) * m,
                        (i1 * m + j1) * m,
                    )
                    rho[_u(r00 + k0)] += gx * gy * gz
                    rho[_u(r00 + k1)] += gx * gy * fz
                    rho[_u(r01 + k0)] += gx * fy * gz
                    rho[_u(r01 + k1)] += gx * fy * fz
                    rho[_u(r10 + k0)] += fx * gy * gz
                    rho[_u(r10 + k1)] += fx * gy * fz
                    rho[_u(r11 + k0)] += fx * fy * gz
                    rho[_u(r11 + k1)] += fx * fy * fz


@njit(**_parallel)
def _read(field, psi, scale, offset, out):  # type: ignore[no-untyped-def]
    n, m = out.shape[0], np.int32(field.shape[0])
    one, fm = np.float32(1), np.float32(m)
    cell, inverse = fm / np.float32(n), one / fm
    f = field.reshape(-1)
    for i in prange(n):
        xs, ys, zs = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
        for j in range(n):
            for k in range(n):
                xs[k] = _cell(np.float32(i) * cell + offset, psi[0, i, j, k], scale, fm, inverse)
                ys[k] = _cell(np.float32(j) * cell + offset, psi[1, i, j, k], scale, fm, inverse)
                zs[k] = _cell(np.float32(k) * cell + offset, psi[2, i, j, k], scale, fm, inverse)
            for k in range(n):
                i0, j0, k0 = np.int32(xs[k]), np.int32(ys[k]), np.int32(zs[k])
                fx, fy, fz = xs[k] - np.float32(i0), ys[k] - np.float32(j0), zs[k] - np.float32(k0)
                i1, j1, k1 = _next(i0, m), _next(j0, m), _next(k0, m)
                gx, gy = one - fx, one - fy
                r00, r01, r10, r11 = (
                    (i0 * m + j0) * m,
                    (i0 * m + j1) * m,
                    (i1 * m + j0) * m,
                    (i1 * m + j1) * m,
                )
                low = gx * (gy * f[_u(r00 + k0)] + fy * f[_u(r01 + k0)])
                low += fx * (gy * f[_u(r10 + k0)] + fy * f[_u(r11 + k0)])
                high = gx * (gy * f[_u(r00 + k1)] + fy * f[_u(r01 + k1)])
                high += fx * (gy * f[_u(r10 + k1)] + fy * f[_u(r11 + k1)])
                out[i, j, k] = (one - fz) * low + fz * high


@njit(**_parallel)
def _minus_gradient(phi, norm, out):  # type: ignore[no-untyped-def]
    m = phi.shape[0]
    eight, zero = np.float32(8), np.float32(0)
    for i in prange(m):
        for j in range(m):
            x1, x2, xa, xb = (
                phi[(i + 1) % m, j],
                phi[(i + 2) % m, j],
                phi[(i - 1) % m, j],
                phi[(i - 2) % m, j],
            )
            y1, y2, ya, yb = (
                phi[i, (j + 1) % m],
                phi[i, (j + 2) % m],
                phi[i, (j - 1) % m],
                phi[i, (j - 2) % m],
            )
            z, o = phi[i, j], out[i, j]
            for k in range(m):
                o[k, 0] = norm * ((x2[k] - xb[k]) - eight * (x1[k] - xa[k]))
                o[k, 1] = norm * ((y2[k] - yb[k]) - eight * (y1[k] - ya[k]))
                o[k, 3] = zero
            for k in range(2, m - 2):
                o[k, 2] = norm * ((z[k + 2] - z[k - 2]) - eight * (z[k + 1] - z[k - 1]))
            for k in (0, 1, m - 2, m - 1):
                o[k, 2] = norm * (
                    (z[(k + 2) % m] - z[(k - 2) % m]) - eight * (z[(k + 1) % m] - z[(k - 1) % m])
                )


@njit(inline="always")
def _add(s, w, g, b):  # type: ignore[no-untyped-def]
    """s + w times vector b of g; g comes in fours so that a corner never straddles more cache lines than it must."""
    at = np.uint64(4) * np.uint64(b)
    return s[0] + w * g[at], s[1] + w * g[at + np.uint64(1)], s[2] + w * g[at + np.uint64(2)]


@njit(**_parallel)
def _read_vector(field, psi, scale, offset, out):  # type: ignore[no-untyped-def]
    n, m = out.shape[1], np.int32(field.shape[0])
    one, zero, fm = np.float32(1), np.float32(0), np.float32(m)
    cell, inverse = fm / np.float32(n), one / fm
    g = field.reshape(-1)
    for i in prange(n):
        xs, ys, zs = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
        for j in range(n):
            for k in range(n):
                xs[k] = _cell(np.float32(i) * cell + offset, psi[0, i, j, k], scale, fm, inverse)
                ys[k] = _cell(np.float32(j) * cell + offset, psi[1, i, j, k], scale, fm, inverse)
                zs[k] = _cell(np.float32(k) * cell + offset, psi[2, i, j, k], scale, fm, inverse)
            for k in range(n):
                i0, j0, k0 = np.int32(xs[k]), np.int32(ys[k]), np.int32(zs[k])
                fx, fy, fz = xs[k] - np.float32(i0), ys[k] - np.float32(j0), zs[k] - np.float32(k0)
                i1, j1, k1 = _next(i0, m), _next(j0, m), _next(k0, m)
                gx, gy, gz = one - fx, one - fy, one - fz
                r00, r01, r10, r11 = (
                    (i0 * m + j0) * m,
                    (i0 * m + j1) * m,
                    (i1 * m + j0) * m,
                    (i1 * m + j1) * m,
                )
                s = _add((zero, zero, zero), gx * gy * gz, g, r00 + k0)
                s = _add(s, gx * gy * fz, g, r00 + k1)
                s = _add(s, gx * fy * gz, g, r01 + k0)
                s = _add(s, gx * fy * fz, g, r01 + k1)
                s = _add(s, fx * gy * gz, g, r10 + k0)
                s = _add(s, fx * gy * fz, g, r10 + k1)
                s = _add(s, fx * fy * gz, g, r11 + k0)
                s = _add(s, fx * fy * fz, g, r11 + k1)
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = s


@njit(**_parallel)
def _apply_green(modes, k2, window):  # type: ignore[no-untyped-def]
    m = modes.shape[0]
    for i in prange(m):
        for j in range(m):
            transverse = k2[i] + k2[j]
            factor = -window[i] * window[j]
            for k in range(modes.shape[2]):
                total = transverse + k2[k]
                modes[i, j, k] *= factor * window[k] / total if total > 0 else np.float32(0)


@njit(**_parallel)
def _derive(modes, k, out):  # type: ignore[no-untyped-def]
    for i in prange(modes.shape[0]):
        for j in range(modes.shape[1]):
            for l in range(modes.shape[2]):
                z = modes[i, j, l]
                out[i, j, l] = complex(k[i, j, l] * z.imag, -k[i, j, l] * z.real)


@njit(**_parallel)
def _combine2(out, a, b, x, y):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = a * x[p] + b * y[p]


@njit(**_parallel)
def _combine3(out, a, b, c, x, y, z):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = a * x[p] + b * y[p] + c * z[p]


@njit(**_parallel)
def _combine4(out, a, b, c, d, x, y, z, w):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = a * x[p] + b * y[p] + c * z[p] + d * w[p]


_COMBINE = {2: _combine2, 3: _combine3, 4: _combine4}
