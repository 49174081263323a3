"""The cloud-in-cell paint of a displaced lattice on the CPU: a scattered add that never races.

The lattice is cut into C x C pencils along its last axis. A pencil adds to the mesh columns above itself and to those within
half a pencil around; pencils of one colour, every second in both directions, have no column in common and run in parallel,
the four colours one after the other. Particles that have left these columns are listed, and painted last by slabs of
mesh planes, all even ones in parallel, then all odd ones. The order of sums depends on the particles alone, so that the
bits are the same for any number of threads.

Particles in the order of the lattice are near each other on the mesh, too, so that caches serve them.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.compile import inlined, kernel
from zeldo.mesh.rows import AHEAD, locate, prefetch, u64, wrapped

PENCILS = (
    8,
    4,
)  # along an axis: the more, the better they fit caches and cores, the fewer, the farther particles may go
REACH = 2.5  # half a pencil over the rms displacement that asks for fewer pencils
SLABS = 16


def pencils_for(psi: np.ndarray, box: float) -> int:
    """Pencils along an axis, from the rms displacement of a sample."""
    every = max(1, psi.shape[1] // 32)
    rms = float(np.sqrt(np.mean(np.square(psi[:2, ::every, ::every, ::every], dtype=np.float64))))
    return next((c for c in PENCILS if box / (2 * c) > REACH * rms), PENCILS[-1])


def paint_into(out: np.ndarray, psi: np.ndarray, box: float, offset: float) -> None:
    """out (m, m, m) float32 becomes the density of the n^3 particles in units of its mean.

    Columns of out may be longer than m; what is beyond becomes zero.
    """
    n, m = psi.shape[1], out.shape[0]
    scale, weight = np.float32(m / box), np.float32((m / n) ** 3)
    pencils = pencils_for(psi, box)
    left, count = np.empty(n**3, np.int32), np.zeros((pencils, pencils), np.int64)
    _paint_pencils(psi, scale, np.float32(offset), weight, left, count, out)
    if count.any():
        _paint_left(psi, scale, np.float32(offset), weight, left, count, min(SLABS, m), out)


@inlined
def _add(rho, at, plane, column, cell, fx, fy, fz, weight):  # type: ignore[no-untyped-def]
    """Adds a particle to the eight mesh points around it."""
    one = np.float32(1)
    gx, gy, gz = (one - fx) * weight, one - fy, one - fz
    fx *= weight
    w00, w01, w10, w11 = gx * gy, gx * fy, fx * gy, fx * fy
    r01, r10 = at + column, at + plane
    r11 = r10 + column
    rho[u64(at)] += w00 * gz
    rho[u64(at + cell)] += w00 * fz
    rho[u64(r01)] += w01 * gz
    rho[u64(r01 + cell)] += w01 * fz
    rho[u64(r10)] += w10 * gz
    rho[u64(r10 + cell)] += w10 * fz
    rho[u64(r11)] += w11 * gz
    rho[u64(r11 + cell)] += w11 * fz


@inlined
def _start(a, b, n, pencils):  # type: ignore[no-untyped-def]
    """Where pencil (a, b) has its place in the list of what is left: pencils one after the other."""
    low, high = a * n // pencils, (a + 1) * n // pencils
    return (low * n + (high - low) * (b * n // pencils)) * n


@kernel(parallel=True)
def _paint_pencils(psi, scale, offset, weight, left, count, out):  # type: ignore[no-untyped-def]
    n, m, pencils = psi.shape[1], np.int32(out.shape[0]), count.shape[0]
    length, rho = np.int32(out.shape[2]), out.reshape(-1)
    for i in prange(m):
        out[i] = 0
    half, halo = pencils // 2, m // pencils // 2
    for colour in range(4):
        for pair in prange(half * half):
            a = 2 * (np.int64(pair) // half) + colour // 2  # prange counts in unsigned integers
            b = 2 * (np.int64(pair) % half) + colour % 2
            part, at = np.empty((3, n), np.float32), np.empty((4, n), np.int32)
            # the last of the own planes and columns is for the upper half of clouds
            region = (
                np.int32(a * m // pencils - halo),
                np.int32((a + 1) * m // pencils - a * m // pencils + 2 * halo - 1),
                np.int32(b * m // pencils - halo),
                np.int32((b + 1) * m // pencils - b * m // pencils + 2 * halo - 1),
            )
            start = _start(a, b, n, pencils)
            missed = 0
            for i in range(a * n // pencils, (a + 1) * n // pencils):
                for j in range(b * n // pencils, (b + 1) * n // pencils):
                    locate(psi, i, j, scale, offset, m, length, region, part, at)
                    for k in range(n):
                        prefetch(rho, at, k + AHEAD, np.int64(1))
                        if at[0, k] < 0:
                            left[start + missed] = (i * n + j) * n + k
                            missed += 1
                        else:
                            _add(
                                rho,
                                at[0, k],
                                at[1, k],
                                at[2, k],
                                at[3, k],
                                part[0, k],
                                part[1, k],
                                part[2, k],
                                weight,
                            )
            count[a, b] = missed


@kernel(parallel=True)
def _paint_left(psi, scale, offset, weight, left, count, slabs, out):  # type: ignore[no-untyped-def]
    n, m, pencils = np.int32(psi.shape[1]), np.int32(out.shape[0]), count.shape[0]
    fm = np.float32(m)
    cell, inverse, top = fm / np.float32(n), np.float32(1) / fm, m - np.int32(1)
    px, py, pz = psi[0].reshape(-1), psi[1].reshape(-1), psi[2].reshape(-1)
    length, rho = np.int32(out.shape[2]), out.reshape(-1)
    for parity in range(2):
        for pair in prange(slabs // 2):
            slab = 2 * np.int64(pair) + parity
            low, high = slab * m // slabs, (slab + 1) * m // slabs
            for a in range(pencils):
                for b in range(pencils):
                    start = _start(a, b, n, pencils)
                    for p in range(start, start + count[a, b]):
                        q = left[p]
                        row = q // n
                        i = row // n
                        x = wrapped(np.float32(i) * cell + offset + px[u64(q)] * scale, fm, inverse)
                        i0 = np.int32(x)
                        if i0 < low or i0 >= high:
                            continue
                        y = wrapped(np.float32(row - i * n) * cell + offset + py[u64(q)] * scale, fm, inverse)
                        z = wrapped(np.float32(q - row * n) * cell + offset + pz[u64(q)] * scale, fm, inverse)
                        j0, k0 = np.int32(y), np.int32(z)
                        _add(
                            rho,
                            (i0 * m + j0) * length + k0,
                            -top * m * length if i0 == top else m * length,
                            -top * length if j0 == top else length,
                            -top if k0 == top else np.int32(1),
                            x - np.float32(i0),
                            y - np.float32(j0),
                            z - np.float32(k0),
                            weight,
                        )
