"""Kernels that put rows of a file where they belong on the lattice, in one pass over each slice.

Their inner loops run over views from zero on, do one thing each, and become vector instructions. With an offset in the
index, Numba would ask at every element whether it counts from the end.
"""

from __future__ import annotations

import numpy as np

from zeldo.mesh.compile import kernel

BLOCK = 64  # rows, few enough that all that is kept of them stays in the fastest cache
LOW, HIGH, SUM, SQUARES = range(4)


def extremes_and_sums(kept: np.ndarray) -> np.ndarray:
    """What `place` has collected, (4, 3): LOW, HIGH, SUM and SQUARES along each axis."""
    return np.stack([kept[LOW].min(1), kept[HIGH].max(1), kept[SUM].sum(1), kept[SQUARES].sum(1)])


@kernel(fastmath=False)
def place(x, first, points, n, box, begin, psi):  # type: ignore[no-untyped-def]
    """Displacements by minimal image of positions x (rows, 3), Mpc/h, into psi (3, n^3).

    Row r is particle first + r, of the lattice point points[first + r]. Where `points` is None, for which Numba compiles
    a kernel of its own, it is of the point of its number. `begin` is where the lattice begins, Mpc/h. Returns the
    smallest and largest positions, and the sums of displacements and of their squares, which are not finite where a
    position is not: (4, 3, BLOCK), a column for each row of a block, so that no sum waits for another.
    """
    cell, per_box = box / n, 1 / box
    kept = np.zeros((4, 3, BLOCK))
    kept[LOW], kept[HIGH] = np.inf, -np.inf
    corner, at, d = np.empty((3, BLOCK)), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, x.shape[0], BLOCK):
        block = x[start : start + BLOCK]
        rows, begins = len(block), first + start
        _corners(begins, rows, points, n, cell, corner)
        for axis in range(3):
            along, origin = corner[axis], begin[axis]
            low, high, total, squares = (
                kept[LOW, axis],
                kept[HIGH, axis],
                kept[SUM, axis],
                kept[SQUARES, axis],
            )
            for row in range(rows):
                at[row] = block[row, axis]
            for row in range(rows):
                low[row] = at[row] if at[row] < low[row] else low[row]
                high[row] = at[row] if at[row] > high[row] else high[row]
            for row in range(rows):
                shift = at[row] - along[row] - origin
                d[row] = shift - np.rint(shift * per_box) * box
            for row in range(rows):
                total[row] += d[row]
                squares[row] += d[row] * d[row]
            if points is None:
                there = psi[axis, begins : begins + rows]
                for row in range(rows):
                    there[row] = d[row]
            else:
                for row in range(rows):
                    psi[axis, points[begins + row]] = d[row]
    return kept


@kernel(fastmath=False)
def _corners(first, rows, points, n, cell, corner):  # type: ignore[no-untyped-def]
    """Where the lattice points of some rows are, from the lattice's beginning on."""
    if points is None:
        line = first // n
        k = first - line * n
        row = 0
        while row < rows:
            stop = min(rows, row + n - k)
            x, y = (line // n) * cell, (line % n) * cell
            for r in range(row, stop):
                corner[0, r] = x
                corner[1, r] = y
                corner[2, r] = (k + r - row) * cell
            row, k, line = stop, 0, line + 1
    else:
        for row in range(rows):
            point = points[first + row]
            line = point // n
            i = line // n
            corner[0, row] = i * cell
            corner[1, row] = (line - i * n) * cell
            corner[2, row] = (point - line * n) * cell


@kernel(fastmath=False)
def turn(v, first, points, out):  # type: ignore[no-untyped-def]
    """Rows of vectors (rows, 3) to out (3, n^3), as in `place`. Returns whether all are finite."""
    part, zeros = np.empty(BLOCK, out.dtype), np.zeros(BLOCK, out.dtype)
    for start in range(0, v.shape[0], BLOCK):
        block = v[start : start + BLOCK]
        rows, begins = len(block), first + start
        for axis in range(3):
            for row in range(rows):
                part[row] = block[row, axis]
            for row in range(rows):  # zero times what is not finite is no number
                zeros[row] += np.float32(0) * part[row]
            if points is None:
                there = out[axis, begins : begins + rows]
                for row in range(rows):
                    there[row] = part[row]
            else:
                for row in range(rows):
                    out[axis, points[begins + row]] = part[row]
    return zeros.sum() == 0
