"""The kernel of 2^3 convolutions of stride 2 and of their transposes, row by row of the coarser field."""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.compile import kernel
from zeldo.networks.vectors import FEW, MANY, WIDTH, multiplier

_many, _few = multiplier(MANY, 1, add=True), multiplier(FEW, 1, add=True)


@kernel()
def _gather(field, steps, b, x, y, finer, length, rows):  # type: ignore[no-untyped-def]
    """The numbers that a row of cells depends on, each in a row of its own: channels, or channels and voxels."""
    for row in range(len(rows)):
        if finer:
            first = b * steps[0] + row * steps[1] + x * steps[2] + y * steps[3]
            rows[row, :length] = field[first : first + length]
        else:
            c, i, j, k = row // 8, row // 4 % 2, row // 2 % 2, row % 2
            first = b * steps[0] + c * steps[1] + (2 * x + i) * steps[2] + (2 * y + j) * steps[3] + k
            for z in range(np.uint64(length)):
                rows[row, z] = field[np.uint64(first) + np.uint64(2) * z]


@kernel()
def _multiply(rows, weights, bias, made):  # type: ignore[no-untyped-def]
    """The sums of rows, with a bias."""
    groups, inputs, at_once = weights.shape
    row = made.shape[1]
    x, w, out = rows.reshape(-1), weights.reshape(-1), made.reshape(-1)
    for o in range(len(bias)):
        made[o] = bias[o]
    for group in range(groups):
        first_weight = group * inputs * at_once
        for z in range(0, row, WIDTH):
            to = group * at_once * row + z
            if at_once == MANY:
                _many(x, z, row, inputs, w, first_weight, out, to, row)
            else:
                _few(x, z, row, inputs, w, first_weight, out, to, row)


@kernel()
def _scatter(made, slope, b, x, y, finer, length, out):  # type: ignore[no-untyped-def]
    """A leaky ReLU of sums, put where they belong."""
    for o in range(out.shape[1]):
        if finer:
            for i in range(2):
                for j in range(2):
                    to, first = out[b, o, 2 * x + i, 2 * y + j], made[8 * o + 4 * i + 2 * j]
                    second = made[8 * o + 4 * i + 2 * j + 1]
                    for z in range(np.uint64(length)):
                        to[np.uint64(2) * z] = max(first[z], slope * first[z])
                        to[np.uint64(2) * z + np.uint64(1)] = max(second[z], slope * second[z])
        else:
            to, first = out[b, o, x, y], made[o]
            for z in range(np.uint64(length)):
                to[z] = max(first[z], slope * first[z])


@kernel(parallel=True)
def resample(field, steps, sides, finer, weights, bias, slope, out, shares):  # type: ignore[no-untyped-def]
    """A 2^3 convolution of stride 2 or its transpose, and a leaky ReLU.

    Parameters
    ----------
    field : ndarray
        float32, all numbers in one row.
    steps : ndarray, (5,) int64
        In this row, from one number to the next along (batch, channels, x, y, z); the last is 1.
    sides : ndarray, (3,) int64
        Cells of the coarser field.
    finer : bool
        Whether the result is the finer field.
    weights : ndarray, (groups, inputs, `MANY` or `FEW`) float32
        For all channels and voxels of the input and of the result.
    bias : ndarray, (outputs,) float32
        Of all channels and voxels of the result.
    slope : float32
        Of the leaky ReLU for negative numbers, at most 1, which changes nothing.
    out : ndarray, (batch, channels, x, y, z) float32
        Where the result is put.
    shares : int
        Into which the work is divided among threads.
    """
    x_side, y_side, length = sides
    count, row = len(out) * x_side * y_side, (length + WIDTH - 1) // WIDTH * WIDTH
    for share in prange(shares):
        rows = np.zeros((weights.shape[1], row), np.float32)
        made = np.zeros((weights.shape[0] * weights.shape[2], row), np.float32)
        for number in range(share * count // shares, (share + 1) * count // shares):
            b, place = divmod(np.int64(number), x_side * y_side)
            x, y = divmod(place, y_side)
            _gather(field, steps, b, x, y, finer, length, rows)
            _multiply(rows, weights, bias, made)
            _scatter(made, slope, b, x, y, finer, length, out)
