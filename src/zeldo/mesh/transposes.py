"""The transposes of painting and reading on the CPU: vectors spread to a mesh, and slopes of mesh fields at particles.

The kernels of painting.py and reading.py interpolate; these are what the chain rule makes of them. Vectors lie on meshes
of shape (m, m, m + 1, 4) as `reading.minus_gradient` makes them; only spreading leaves the padded column m alone.
Spreading is free of races in the same way as painting, with the same pencils and slabs.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.compile import inlined, kernel
from zeldo.mesh.painting import SLABS, _start, pencils_for
from zeldo.mesh.rows import AHEAD, index_like, locate, prefetch, u64, wrapped


def spread_into(out: np.ndarray, weights: np.ndarray, psi: np.ndarray, box: float, offset: float) -> None:
    """The transpose of `read_vector`: out (m, m, m + 1, 4) becomes the sums of weights (3, n, n, n) times clouds."""
    n, m = psi.shape[1], out.shape[0]
    pencils = pencils_for(psi, box)
    index = index_like(max(out[..., 0].size, n**3))  # of mesh points, and of particles
    left, count = np.empty(n**3, index.dtype), np.zeros((pencils, pencils), np.int64)
    scale = np.float32(m / box)
    _spread_pencils(psi, weights, scale, np.float32(offset), left, count, out)
    if count.any():
        _spread_left(psi, weights, scale, np.float32(offset), left, count, min(SLABS, m), out)


@inlined
def _add(g, weights, i, j, k, at, plane, column, cell, fx, fy, fz):  # type: ignore[no-untyped-def]
    """Adds a particle's vector to the eight mesh points around it."""
    one, four = np.float32(1), np.int64(4)
    gx, gy, gz = one - fx, one - fy, one - fz
    x, y, z = weights[0, i, j, k], weights[1, i, j, k], weights[2, i, j, k]
    r00 = np.int64(at)
    r01, r10 = r00 + column, r00 + plane
    for start, share in ((r00, gx * gy), (r01, gx * fy), (r10, fx * gy), (r10 + column, fx * fy)):
        low, high, p, q = share * gz, share * fz, four * start, four * (start + cell)
        g[u64(p)] += low * x
        g[u64(p + 1)] += low * y
        g[u64(p + 2)] += low * z
        g[u64(q)] += high * x
        g[u64(q + 1)] += high * y
        g[u64(q + 2)] += high * z


@kernel(parallel=True)
def _spread_pencils(psi, weights, scale, offset, left, count, out):  # type: ignore[no-untyped-def]
    n, m, pencils = psi.shape[1], np.int32(out.shape[0]), count.shape[0]
    g, four = out.reshape(-1), np.int64(4)
    for i in prange(m):
        out[i] = 0
    half, halo = pencils // 2, m // pencils // 2
    for colour in range(4):
        for pair in prange(half * half):
            a = 2 * (np.int64(pair) // half) + colour // 2  # prange counts in unsigned integers
            b = 2 * (np.int64(pair) % half) + colour % 2
            part, at = np.empty((3, n), np.float32), np.empty((4, n), left.dtype)
            region = (
                np.int32(a * m // pencils - halo),
                np.int32((a + 1) * m // pencils - a * m // pencils + 2 * halo - 1),
                np.int32(b * m // pencils - halo),
                np.int32((b + 1) * m // pencils - b * m // pencils + 2 * halo - 1),
            )
            start = _start(a, b, n, n, count)
            missed = 0
            for i in range(a * n // pencils, (a + 1) * n // pencils):
                for j in range(b * n // pencils, (b + 1) * n // pencils):
                    locate(psi, i, j, scale, offset, m, m + np.int32(1), region, part, at)
                    for k in range(n):
                        prefetch(g, at, k + AHEAD, four)
                        if at[0, k] < 0:
                            left[start + missed] = (i * n + j) * n + k
                            missed += 1
                        else:
                            _add(
                                g,
                                weights,
                                i,
                                j,
                                k,
                                at[0, k],
                                at[1, k],
                                at[2, k],
                                at[3, k],
                                part[0, k],
                                part[1, k],
                                part[2, k],
                            )
            count[a, b] = missed


@kernel(parallel=True)
def _spread_left(psi, weights, scale, offset, left, count, slabs, out):  # type: ignore[no-untyped-def]
    n, m, pencils = np.int32(psi.shape[1]), np.int32(out.shape[0]), count.shape[0]
    fm = np.float32(m)
    cell, inverse, top = fm / np.float32(n), np.float32(1) / fm, m - np.int32(1)
    length = m + np.int32(1)
    g = out.reshape(-1)
    for parity in range(2):
        for pair in prange(slabs // 2):
            slab = 2 * np.int64(pair) + parity
            low, high = slab * m // slabs, (slab + 1) * m // slabs
            for a in range(pencils):
                for b in range(pencils):
                    start = _start(a, b, n, n, count)
                    for p in range(start, start + count[a, b]):
                        q = left[p]
                        row = q // n
                        i = row // n
                        j, k = row - i * n, q - row * n
                        x = wrapped(np.float32(i) * cell + offset + psi[0, i, j, k] * scale, fm, inverse)
                        i0 = np.int32(x)
                        if i0 < low or i0 >= high:
                            continue
                        y = wrapped(np.float32(j) * cell + offset + psi[1, i, j, k] * scale, fm, inverse)
                        z = wrapped(np.float32(k) * cell + offset + psi[2, i, j, k] * scale, fm, inverse)
                        j0, k0 = np.int32(y), np.int32(z)
                        _add(
                            g,
                            weights,
                            i,
                            j,
                            k,
                            (i0 * m + j0) * length + k0,
                            -top * m * length if i0 == top else m * length,
                            -top * length if j0 == top else length,
                            -top if k0 == top else np.int32(1),
                            x - np.float32(i0),
                            y - np.float32(j0),
                            z - np.float32(k0),
                        )


@inlined
def _slopes(c, fx, fy, fz, scale):  # type: ignore[no-untyped-def]
    """The gradient of the interpolation between eight values, 000, 001, 010 to 111."""
    one = np.float32(1)
    gx, gy, gz = one - fx, one - fy, one - fz
    x = gy * (gz * (c[4] - c[0]) + fz * (c[5] - c[1])) + fy * (gz * (c[6] - c[2]) + fz * (c[7] - c[3]))
    y = gx * (gz * (c[2] - c[0]) + fz * (c[3] - c[1])) + fx * (gz * (c[6] - c[4]) + fz * (c[7] - c[5]))
    z = gx * (gy * (c[1] - c[0]) + fy * (c[3] - c[2])) + fx * (gy * (c[5] - c[4]) + fy * (c[7] - c[6]))
    return x * scale, y * scale, z * scale


@kernel(parallel=True)
def read_slopes(field, psi, scale, offset, factor, index, out):  # type: ignore[no-untyped-def]
    """out (3, n, n, n) += factor times the change of the field (m, m, m) at the particles with each coordinate."""
    n, m = psi.shape[1], np.int32(field.shape[0])
    whole = (np.int32(0), m, np.int32(0), m)
    f, weight = field.reshape(-1), scale * factor
    for i in prange(n):
        part, at = np.empty((3, n), np.float32), np.empty((4, n), index.dtype)
        for j in range(n):
            locate(psi, i, j, scale, offset, m, m, whole, part, at)
            for k in range(n):
                prefetch(f, at, k + AHEAD, np.int64(1))
                r00, up = at[0, k], at[3, k]
                r01, r10 = r00 + at[2, k], r00 + at[1, k]
                r11 = r10 + at[2, k]
                c = (
                    f[u64(r00)],
                    f[u64(r00 + up)],
                    f[u64(r01)],
                    f[u64(r01 + up)],
                    f[u64(r10)],
                    f[u64(r10 + up)],
                    f[u64(r11)],
                    f[u64(r11 + up)],
                )
                x, y, z = _slopes(c, part[0, k], part[1, k], part[2, k], weight)
                out[0, i, j, k] += x
                out[1, i, j, k] += y
                out[2, i, j, k] += z


@kernel(parallel=True)
def read_vector_slopes(field, weights, psi, scale, offset, index, value, out):  # type: ignore[no-untyped-def]
    """value becomes the field at the particles, out the change of weights . value with each coordinate; (3, n, n, n)."""
    n, m = psi.shape[1], np.int32(field.shape[0])
    one, four, whole = np.float32(1), np.int64(4), (np.int32(0), m, np.int32(0), m)
    g = field.reshape(-1)
    for i in prange(n):
        part, at = np.empty((3, n), np.float32), np.empty((4, n), index.dtype)
        for j in range(n):
            locate(psi, i, j, scale, offset, m, m + np.int32(1), whole, part, at)
            for k in range(n):
                prefetch(g, at, k + AHEAD, four)
                fx, fy, fz = part[0, k], part[1, k], part[2, k]
                gx, gy, gz = one - fx, one - fy, one - fz
                u, v, w = weights[0, i, j, k], weights[1, i, j, k], weights[2, i, j, k]
                r00 = np.int64(at[0, k])
                r01, r10 = r00 + at[2, k], r00 + at[1, k]
                p0, p1, p2, p3 = four * r00, four * r01, four * r10, four * (r10 + at[2, k])
                x = y = z = np.float32(0)
                c = (
                    u * g[u64(p0)] + v * g[u64(p0 + 1)] + w * g[u64(p0 + 2)],
                    u * g[u64(p0 + 4)] + v * g[u64(p0 + 5)] + w * g[u64(p0 + 6)],
                    u * g[u64(p1)] + v * g[u64(p1 + 1)] + w * g[u64(p1 + 2)],
                    u * g[u64(p1 + 4)] + v * g[u64(p1 + 5)] + w * g[u64(p1 + 6)],
                    u * g[u64(p2)] + v * g[u64(p2 + 1)] + w * g[u64(p2 + 2)],
                    u * g[u64(p2 + 4)] + v * g[u64(p2 + 5)] + w * g[u64(p2 + 6)],
                    u * g[u64(p3)] + v * g[u64(p3 + 1)] + w * g[u64(p3 + 2)],
                    u * g[u64(p3 + 4)] + v * g[u64(p3 + 5)] + w * g[u64(p3 + 6)],
                )
                for p, share in ((p0, gx * gy), (p1, gx * fy), (p2, fx * gy), (p3, fx * fy)):
                    low, high = share * gz, share * fz
                    x += low * g[u64(p)] + high * g[u64(p + 4)]
                    y += low * g[u64(p + 1)] + high * g[u64(p + 5)]
                    z += low * g[u64(p + 2)] + high * g[u64(p + 6)]
                value[0, i, j, k], value[1, i, j, k], value[2, i, j, k] = x, y, z
                x, y, z = _slopes(c, fx, fy, fz, scale)
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = x, y, z


@kernel(parallel=True)
def gradient_transposed(field, norm, out):  # type: ignore[no-untyped-def]
    """The transpose of `reading.minus_gradient`: out (m, m, m) is the divergence of the field by the same differences."""
    m = out.shape[0]
    eight = np.float32(8)
    for i in prange(m):
        x1, x2, xa, xb = field[(i + 1) % m], field[(i + 2) % m], field[(i - 1) % m], field[(i - 2) % m]
        for j in range(m):
            y1, y2, ya, yb = (
                field[i, (j + 1) % m],
                field[i, (j + 2) % m],
                field[i, (j - 1) % m],
                field[i, (j - 2) % m],
            )
            z = field[i, j]
            for k in range(m):
                total = eight * (x1[j, k, 0] - xa[j, k, 0]) - (x2[j, k, 0] - xb[j, k, 0])
                total += eight * (y1[k, 1] - ya[k, 1]) - (y2[k, 1] - yb[k, 1])
                total += eight * (z[(k + 1) % m, 2] - z[(k - 1) % m, 2])
                total -= z[(k + 2) % m, 2] - z[(k - 2) % m, 2]
                out[i, j, k] = norm * total
