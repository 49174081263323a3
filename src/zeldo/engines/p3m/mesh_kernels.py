"""Painting and reading with the cubic spline window (four points a side), for particles listed by cells.

The window falls as k^-4, where cloud-in-cell falls as k^-2, so particles near their lattice points alias far less
(docs/notes/p3m.md). The force is the gradient of the window itself.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from zeldo.engines.p3m.cells import CellList
from zeldo.mesh.compile import inlined, kernel


def paint_cells(cells: CellList, field: np.ndarray) -> None:
    """Paint the density in units of its mean into field, (m, m, m) float32. Cells must be four mesh points wide or more."""
    m = field.shape[0]
    if m < 4 * cells.count:
        raise ValueError(
            f"{cells.count} cells on {m} mesh points: columns of one colour would write into each other"
        )
    weight = np.float32((m / cells.n) ** 3)
    _paint(cells.position, cells.start, cells.count, cells.side, m / cells.count / cells.side, weight,
           get_num_threads(), field)  # fmt: skip


def read_cells(phi: np.ndarray, cells: CellList, out: np.ndarray) -> None:
    """Read -grad phi at the particles into out, (3, n, n, n) float32."""
    m = phi.shape[0]
    _read(cells.position, cells.order, cells.start, cells.count, cells.side, m / cells.count / cells.side,
          np.float32(-m / cells.box), phi, get_num_threads(), out.reshape(3, -1))  # fmt: skip


@inlined
def _window(f):  # type: ignore[no-untyped-def]
    """Weights of the points -1, 0, 1, 2 for a particle at 0 <= f < 1."""
    g = np.float32(1) - f
    sixth, four, half = np.float32(1 / 6), np.float32(4), np.float32(0.5)
    return (
        sixth * g * g * g,
        sixth * four - f * f * (np.float32(1) - half * f),
        sixth * four - g * g * (np.float32(1) - half * g),
        sixth * f * f * f,
    )


@inlined
def _slope(f):  # type: ignore[no-untyped-def]
    """Derivatives of the weights."""
    g = np.float32(1) - f
    half, two, three = np.float32(0.5), np.float32(2), np.float32(1.5)
    return -half * g * g, f * (three * f - two), -g * (three * g - two), half * f * f


@inlined
def _points(x, m):  # type: ignore[no-untyped-def]
    """The four points about a position 0 <= x <= m of the periodic mesh, and its distance from the second."""
    i = int(x)
    a = (i - 1) % m
    b = a + 1 if a + 1 < m else 0
    c = b + 1 if b + 1 < m else 0
    d = c + 1 if c + 1 < m else 0
    return (a, b, c, d), np.float32(x - i)


@kernel()
def deal(start, cells, columns, bounds):  # type: ignore[no-untyped-def]
    """Divide the columns into stretches with about as many particles each: stretch s is bounds[s] to bounds[s + 1].

    Numba's own loops give each thread the same number of columns, and clusters make some threads wait for others.
    """
    total = 0
    for c in columns:
        total += start[(c + 1) * cells] - start[c * cells]
    stretches, done, s = bounds.size - 1, 0, 1
    for t in range(columns.size):
        c = columns[t]
        half = (start[(c + 1) * cells] - start[c * cells]) / 2
        while s < stretches and done + half >= total * s / stretches:
            bounds[s] = t
            s += 1
        done += 2 * half
    bounds[0] = 0
    bounds[s:] = columns.size


@kernel(parallel=True)
def _paint(position, start, cells, side, to_mesh, weight, threads, out):  # type: ignore[no-untyped-def]
    m = out.shape[0]
    for i in prange(m):
        out[i] = 0
    # columns of cells write into their neighbours: every other column along both axes at a time, the last of an odd
    # number alone. So there are enough of them for many threads, and sums go in one order for any number of threads
    even = cells - cells % 2
    chosen = np.empty(((cells + 1) // 2) ** 2, np.int64)
    bounds = np.empty(threads + 1, np.int64)
    for colour in range(9):
        across, along = colour // 3, colour % 3
        rows = even // 2 if across < 2 else cells % 2
        columns = even // 2 if along < 2 else cells % 2
        for t in range(rows * columns):
            a = 2 * (t // columns) + across if across < 2 else cells - 1
            b = 2 * (t % columns) + along if along < 2 else cells - 1
            chosen[t] = a * cells + b
        deal(start, cells, chosen[: rows * columns], bounds)
        for thread in prange(threads):
            for column in chosen[bounds[thread] : bounds[thread + 1]]:
                _paint_column(position, start, cells, column, side, to_mesh, weight, out)


@kernel()
def _paint_column(position, start, cells, column, side, to_mesh, weight, out):  # type: ignore[no-untyped-def]
    m = out.shape[0]
    x0, y0 = column // cells * side, column % cells * side
    for level in range(cells):
        c = column * cells + level
        z0 = level * side
        for p in range(start[c], start[c + 1]):
            ix, fx = _points((x0 + position[0, p]) * to_mesh, m)
            iy, fy = _points((y0 + position[1, p]) * to_mesh, m)
            iz, fz = _points((z0 + position[2, p]) * to_mesh, m)
            wx, wy, wz = _window(fx), _window(fy), _window(fz)
            for u in range(4):
                for v in range(4):
                    w = weight * wx[u] * wy[v]
                    row = out[ix[u], iy[v]]
                    row[iz[0]] += w * wz[0]
                    row[iz[1]] += w * wz[1]
                    row[iz[2]] += w * wz[2]
                    row[iz[3]] += w * wz[3]


@kernel(parallel=True)
def _read(position, order, start, cells, side, to_mesh, scale, phi, threads, out):  # type: ignore[no-untyped-def]
    bounds = np.empty(threads + 1, np.int64)
    deal(start, cells, np.arange(cells * cells), bounds)
    for thread in prange(threads):
        for column in range(bounds[thread], bounds[thread + 1]):
            _read_column(position, order, start, cells, column, side, to_mesh, scale, phi, out)


@kernel()
def _read_column(position, order, start, cells, column, side, to_mesh, scale, phi, out):  # type: ignore[no-untyped-def]
    m = phi.shape[0]
    x0, y0 = column // cells * side, column % cells * side
    for level in range(cells):
        c = column * cells + level
        z0 = level * side
        for p in range(start[c], start[c + 1]):
            ix, fx = _points((x0 + position[0, p]) * to_mesh, m)
            iy, fy = _points((y0 + position[1, p]) * to_mesh, m)
            iz, fz = _points((z0 + position[2, p]) * to_mesh, m)
            wx, wy, wz = _window(fx), _window(fy), _window(fz)
            sx, sy, sz = _slope(fx), _slope(fy), _slope(fz)
            gx = gy = gz = np.float32(0)
            for a in range(4):
                value = across = up = np.float32(0)
                for b in range(4):
                    row = phi[ix[a], iy[b]]
                    r0, r1, r2, r3 = row[iz[0]], row[iz[1]], row[iz[2]], row[iz[3]]
                    v = wz[0] * r0 + wz[1] * r1 + wz[2] * r2 + wz[3] * r3
                    value += wy[b] * v
                    across += sy[b] * v
                    up += wy[b] * (sz[0] * r0 + sz[1] * r1 + sz[2] * r2 + sz[3] * r3)
                gx += sx[a] * value
                gy += wx[a] * across
                gz += wx[a] * up
            q = order[p]
            out[0, q] = gx * scale
            out[1, q] = gy * scale
            out[2, q] = gz * scale
