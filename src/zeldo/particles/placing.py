"""Kernels that put rows of a file where they belong on the lattice, in one pass over each slice.

Their inner loops run over the numbers of a block as they lie in the file, x, y, z and x again, do one thing each, and
become vector instructions. Only what is stored is taken apart into components, all three in one loop.
"""

from __future__ import annotations

import numpy as np

from zeldo.mesh.compile import kernel

BLOCK = 64  # rows, few enough that all that is kept of them stays in the fastest cache
LOW, HIGH, SUM, SQUARES = range(4)


def extremes_and_sums(kept: np.ndarray) -> np.ndarray:
    """What `place` has collected, (4, 3): LOW, HIGH, SUM and SQUARES along each axis."""
    low, high, total, squares = np.ascontiguousarray(kept.reshape(4, -1, 3).transpose(0, 2, 1))
    return np.stack([low.min(1), high.max(1), total.sum(1), squares.sum(1)])


@kernel(fastmath=False)
def place(x, first, points, n, box, begin, psi):  # type: ignore[no-untyped-def]
    """Displacements by minimal image of positions x (rows, 3), Mpc/h, into psi (3, n^3).

    Row r is particle first + r, of the lattice point points[first + r]. Where `points` is None, for which Numba compiles
    a kernel of its own, it is of the point of its number. `begin` is where the lattice begins, Mpc/h. Returns the
    smallest and largest positions, and the sums of displacements and of their squares, which are not finite where a
    position is not: (4, 3 BLOCK), a column for each number of a block, so that no sum waits for another.
    """
    cell, per_box, width = box / n, 1 / box, 3 * BLOCK
    lows, highs = np.full(width, np.inf, x.dtype), np.full(width, -np.inf, x.dtype)
    total, squares = np.zeros(width), np.zeros(width)
    corner, origin, d = np.empty(width), np.empty(width), np.empty(width)
    stored = np.empty(width, psi.dtype)
    for value in range(width):
        origin[value] = begin[value % 3]
    for start in range(0, x.shape[0], BLOCK):
        block = x[start : start + BLOCK].reshape(-1)
        values, begins = len(block), first + start
        _corners(begins, values // 3, points, n, cell, corner)
        for i in range(values):
            lows[i] = block[i] if block[i] < lows[i] else lows[i]
            highs[i] = block[i] if block[i] > highs[i] else highs[i]
        for i in range(values):
            shift = np.float64(block[i]) - corner[i] - origin[i]
            d[i] = shift - np.rint(shift * per_box) * box
        for i in range(values):
            total[i] += d[i]
            squares[i] += d[i] * d[i]
        for i in range(values):
            stored[i] = d[i]
        _take_apart(stored, values // 3, begins, points, psi)
    kept = np.empty((4, width))
    kept[LOW], kept[HIGH], kept[SUM], kept[SQUARES] = lows, highs, total, squares
    return kept


@kernel(fastmath=False)
def turn(v, first, points, out):  # type: ignore[no-untyped-def]
    """Rows of vectors (rows, 3) to out (3, n^3), as in `place`. Returns whether all are finite."""
    stored, zeros = np.empty(3 * BLOCK, out.dtype), np.zeros(3 * BLOCK, out.dtype)
    for start in range(0, v.shape[0], BLOCK):
        block = v[start : start + BLOCK].reshape(-1)
        values = len(block)
        for i in range(values):
            stored[i] = block[i]
        for i in range(values):  # zero times what is not finite is no number
            zeros[i] += np.float32(0) * stored[i]
        _take_apart(stored, values // 3, first + start, points, out)
    return zeros.sum() == 0


@kernel(fastmath=False)
def _take_apart(stored, rows, begins, points, out):  # type: ignore[no-untyped-def]
    """Numbers of rows, x, y, z and x again, to the three components, from particle `begins` on."""
    if points is None:
        x, y, z = (
            out[0, begins : begins + rows],
            out[1, begins : begins + rows],
            out[2, begins : begins + rows],
        )
        for row in range(rows):
            x[row] = stored[3 * row]
            y[row] = stored[3 * row + 1]
            z[row] = stored[3 * row + 2]
    else:
        for row in range(rows):
            point = points[begins + row]
            out[0, point] = stored[3 * row]
            out[1, point] = stored[3 * row + 1]
            out[2, point] = stored[3 * row + 2]


@kernel(fastmath=False)
def _corners(first, rows, points, n, cell, corner):  # type: ignore[no-untyped-def]
    """Where the lattice points of some rows are, from the lattice's beginning on: x, y, z and x again."""
    if points is None:
        line = first // n
        k = first - line * n
        row = 0
        while row < rows:
            stop = min(rows, row + n - k)
            x, y = (line // n) * cell, (line % n) * cell
            for r in range(row, stop):
                corner[3 * r] = x
                corner[3 * r + 1] = y
                corner[3 * r + 2] = (k + r - row) * cell
            row, k, line = stop, 0, line + 1
    else:
        for row in range(rows):
            point = points[first + row]
            line = point // n
            i = line // n
            corner[3 * row] = i * cell
            corner[3 * row + 1] = (line - i * n) * cell
            corner[3 * row + 2] = (point - line * n) * cell
