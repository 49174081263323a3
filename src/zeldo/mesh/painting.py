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
from zeldo.mesh.rows import AHEAD, index_like, locate_kept, prefetch, u64, wrapped

# along an axis: the more, the better they fit caches and cores, the fewer, the farther particles may go
PENCILS = (8, 4)
REACH = 2.5  # half a pencil over the rms displacement that asks for fewer pencils
SLABS = 16


def pencils_for(psi: np.ndarray, box: float) -> int:
    """Pencils along an axis, from the rms displacement of a sample."""
    rows, every = (max(1, side // 32) for side in psi.shape[1:3])
    rms = float(np.sqrt(np.mean(np.square(psi[:2, ::rows, ::every, ::every], dtype=np.float64))))
    return next((c for c in PENCILS if box / (2 * c) > REACH * rms), PENCILS[-1])


def paint_into(out: np.ndarray, psi: np.ndarray, box: float, offset: float) -> None:
    """out (m, m, m) float32 becomes the density of the n^3 particles in units of its mean.

    Columns of out may be longer than m; what is beyond becomes zero.
    """
    clear(out)
    pencils = pencils_for(psi, box)
    _add_particles(out, psi, 0, box, offset, (pencils, pencils))


def add_planes(out: np.ndarray, psi: np.ndarray, first: int, box: float, offset: float) -> None:
    """The same for the planes of the lattice from `first` on, psi (3, planes, n, n), added to what is there."""
    _add_particles(out, psi, first, box, offset, (1, pencils_for(psi, box)))


def _add_particles(
    out: np.ndarray, psi: np.ndarray, first: int, box: float, offset: float, pencils: tuple[int, int]
) -> None:
    n, m = psi.shape[2], out.shape[0]
    scale, weight = np.float32(m / box), np.float32((m / n) ** 3)
    index = index_like(max(out.size, psi[0].size))  # of mesh points, and of particles
    left, count = np.empty(psi[0].size, index.dtype), np.zeros(pencils, np.int64)
    _paint_pencils(psi, first, scale, np.float32(offset), weight, left, count, out)
    if count.any():
        _paint_left(psi, first, scale, np.float32(offset), weight, left, count, min(SLABS, m), out)


@kernel(parallel=True)
def clear(out):  # type: ignore[no-untyped-def]
    """A mesh without particles."""
    for i in prange(out.shape[0]):
        out[i] = 0


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
def _start(a, b, planes, n, count):  # type: ignore[no-untyped-def]
    """Where pencil (a, b) has its place in the list of what is left: pencils one after the other."""
    low, high = a * planes // count.shape[0], (a + 1) * planes // count.shape[0]
    return (low * n + (high - low) * (b * n // count.shape[1])) * n


@kernel(parallel=True)
def _paint_pencils(psi, first, scale, offset, weight, left, count, out):  # type: ignore[no-untyped-def]
    planes, n, m = psi.shape[1], psi.shape[2], np.int32(out.shape[0])
    rows, pencils = count.shape
    length, rho = np.int32(out.shape[2]), out.reshape(-1)
    half, halo = pencils // 2, m // pencils // 2
    several = 2 if rows > 1 else 1  # a single row of pencils may reach every plane
    for colour in range(2 * several):
        for pair in prange(rows // several * half):
            a = several * (np.int64(pair) // half) + colour // 2  # prange counts in unsigned integers
            b = 2 * (np.int64(pair) % half) + colour % 2
            part, at = np.empty((3, n), np.float32), np.empty((4, n), left.dtype)
            # the last of the own planes and columns is for the upper half of clouds
            region = (
                np.int32(a * m // rows - halo) if rows > 1 else np.int32(0),
                np.int32((a + 1) * m // rows - a * m // rows + 2 * halo - 1) if rows > 1 else m,
                np.int32(b * m // pencils - halo),
                np.int32((b + 1) * m // pencils - b * m // pencils + 2 * halo - 1),
            )
            kept = (region[0] + m if region[0] < 0 else region[0], m)
            start = _start(a, b, planes, n, count)
            missed = 0
            for i in range(a * planes // rows, (a + 1) * planes // rows):
                for j in range(b * n // pencils, (b + 1) * n // pencils):
                    locate_kept(psi, i, first + i, j, scale, offset, m, length, region, kept, part, at)
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
def _paint_left(psi, first, scale, offset, weight, left, count, slabs, out):  # type: ignore[no-untyped-def]
    planes, n, m = np.int32(psi.shape[1]), np.int32(psi.shape[2]), np.int32(out.shape[0])
    fm = np.float32(m)
    cell, inverse, top = fm / np.float32(n), np.float32(1) / fm, m - np.int32(1)
    px, py, pz = psi[0].reshape(-1), psi[1].reshape(-1), psi[2].reshape(-1)
    length, rho = np.int32(out.shape[2]), out.reshape(-1)
    for parity in range(2):
        for pair in prange(slabs // 2):
            slab = 2 * np.int64(pair) + parity
            low, high = slab * m // slabs, (slab + 1) * m // slabs
            for a in range(count.shape[0]):
                for b in range(count.shape[1]):
                    start = _start(a, b, planes, n, count)
                    for p in range(start, start + count[a, b]):
                        q = left[p]
                        row = q // n
                        i = row // n
                        x = wrapped(np.float32(first + i) * cell + offset + px[u64(q)] * scale, fm, inverse)
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
