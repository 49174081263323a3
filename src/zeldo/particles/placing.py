"""Kernels that put rows of a file where they belong on the lattice, in one pass over each slice."""

from __future__ import annotations

import numpy as np

from zeldo.mesh.compile import kernel

BLOCK = 512  # rows that stay in the fastest cache
LOW, HIGH, SUM, SQUARES = range(4)


def extremes_and_sums(kept: np.ndarray) -> np.ndarray:
    """What `place` has collected, (4, 3): LOW, HIGH, SUM and SQUARES along each axis."""
    return np.stack([kept[LOW].min(1), kept[HIGH].max(1), kept[SUM].sum(1), kept[SQUARES].sum(1)])


@kernel(fastmath=False)
def place(x, first, points, n, box, begin, psi):  # type: ignore[no-untyped-def]
    """Displacements by minimal image of positions x (rows, 3), Mpc/h, into psi (3, n^3).

    Row r is particle first + r, of the lattice point points[first + r], or of the point of its number where `points`
    is empty. `begin` is where the lattice begins, Mpc/h. Returns the smallest and largest positions, and the sums of
    displacements and of their squares, which are not finite where a position is not: (4, 3, BLOCK), a column for each
    row of a block, so that no sum waits for another.
    """
    cell, per_box = box / n, 1 / box
    kept = np.zeros((4, 3, BLOCK))
    kept[LOW], kept[HIGH] = np.inf, -np.inf
    at, corner, d = np.empty((3, BLOCK)), np.empty((3, BLOCK)), np.empty((3, BLOCK))
    for start in range(0, x.shape[0], BLOCK):
        rows = min(BLOCK, x.shape[0] - start)
        _corners(first + start, rows, points, n, cell, corner)
        for row in range(rows):
            at[0, row] = x[start + row, 0]
            at[1, row] = x[start + row, 1]
            at[2, row] = x[start + row, 2]
        for axis in range(3):  # loops of one thing each, which become vector instructions
            origin = begin[axis]
            for row in range(rows):
                shift = at[axis, row] - corner[axis, row] - origin
                d[axis, row] = shift - np.rint(shift * per_box) * box
            for row in range(rows):
                kept[LOW, axis, row] = min(kept[LOW, axis, row], at[axis, row])
            for row in range(rows):
                kept[HIGH, axis, row] = max(kept[HIGH, axis, row], at[axis, row])
            for row in range(rows):
                kept[SUM, axis, row] += d[axis, row]
            for row in range(rows):
                kept[SQUARES, axis, row] += d[axis, row] * d[axis, row]
            if points.size:
                for row in range(rows):
                    psi[axis, points[first + start + row]] = d[axis, row]
            else:
                for row in range(rows):
                    psi[axis, first + start + row] = d[axis, row]
    return kept


@kernel(fastmath=False)
def _corners(first, rows, points, n, cell, corner):  # type: ignore[no-untyped-def]
    """Where the lattice points of some rows are, from the lattice's beginning on."""
    if points.size:
        for row in range(rows):
            point = points[first + row]
            line = point // n
            i = line // n
            corner[0, row] = i * cell
            corner[1, row] = (line - i * n) * cell
            corner[2, row] = (point - line * n) * cell
        return
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


@kernel(fastmath=False)
def turn(v, first, points, out):  # type: ignore[no-untyped-def]
    """Rows of vectors (rows, 3) to out (3, n^3), as in `place`. Returns whether all are finite."""
    part, zeros = np.empty((3, BLOCK), out.dtype), np.zeros(BLOCK, out.dtype)
    for start in range(0, v.shape[0], BLOCK):
        rows = min(BLOCK, v.shape[0] - start)
        for row in range(rows):
            part[0, row] = v[start + row, 0]
            part[1, row] = v[start + row, 1]
            part[2, row] = v[start + row, 2]
        for axis in range(3):
            for row in range(rows):  # zero times what is not finite is no number
                zeros[row] += np.float32(0) * part[axis, row]
            if points.size:
                for row in range(rows):
                    out[axis, points[first + start + row]] = part[axis, row]
            else:
                for row in range(rows):
                    out[axis, first + start + row] = part[axis, row]
    return zeros.sum() == 0
