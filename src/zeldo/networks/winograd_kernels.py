"""The kernel of convolutions by Winograd's transform, whose fields stay in the processor's cache between its steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from zeldo.mesh.compile import kernel
from zeldo.mesh.rows import prefetch_line
from zeldo.networks.vectors import (
    FEW,
    LANES,
    LINE,
    MADE,
    MANY,
    READ,
    WIDTH,
    multiplier,
    transform,
    transform_back,
)

LONGEST = 128  # cells along z that are made at once, at most
# bytes: the products of larger squares are made for all groups at once, or each group would read them from afar again
CACHE = 1 << 19
POINTS, CELLS = READ * READ, MADE * MADE  # of a square before and after the products

_many, _few = multiplier(MANY, 3), multiplier(FEW, 3)
_add_many, _add_few = multiplier(MANY, 1, add=True), multiplier(FEW, 1, add=True)


class Squares(NamedTuple):
    """Squares of rows along z, for each channel: that of channel c and point p begins with number c row + p step."""

    numbers: Any
    row: Any
    step: Any


class Part(NamedTuple):
    """A field that goes on periodically, with its numbers in one row, in steps along (batch, channels, x, y, z)."""

    numbers: Any
    steps: Any
    channels: Any
    sides: Any


@kernel()
def _squares(channels, row, points):  # type: ignore[no-untyped-def]
    """Zeros. Between points lies an odd number of lines, so that they do not push each other out of the cache."""
    lines = (channels * row + LINE - 1) // LINE
    step = LINE * (lines + 1 - lines % 2)
    return Squares(np.zeros(points * step, np.float32), row, step)


@kernel()
def _find(part, b, x, y, side, rows):  # type: ignore[no-untyped-def]
    """Where the rows of a square of side^2 begin."""
    for i in range(side):
        along_x = b * part.steps[0] + (x + i) % part.sides[0] * part.steps[2]
        for j in range(side):
            rows[side * i + j] = along_x + (y + j) % part.sides[1] * part.steps[3]


@kernel()
def _read(part, rows, z, end, taken, v, first):  # type: ignore[no-untyped-def]
    """The squares of a field from cell z to end, transformed."""
    side = part.sides[2]
    for c in range(part.channels):
        channel, next_channel = c * part.steps[1], part.steps[1]
        for k in range(0, end - z, LANES):
            begin, to = (z + k) % side, (first + c) * v.row + k
            if begin + LANES <= side:
                transform(part.numbers, rows, channel + begin, next_channel, v.numbers, to, v.step)  # type: ignore[call-arg]
                continue
            for p in range(POINTS):
                for i in range(LANES):
                    taken[LANES * p + i] = part.numbers[rows[p] + channel + (begin + i) % side]
            transform(taken, LANES * np.arange(POINTS), 0, 0, v.numbers, to, v.step)  # type: ignore[call-arg]


@kernel()
def _multiply(v, lead, weights, group, last, cells, m):  # type: ignore[no-untyped-def]
    """The products of squares and their sums over channels, for some groups of the channels that are made."""
    groups, channels, at_once = weights.shape[1], weights.shape[2], weights.shape[4]
    w = weights.reshape(-1)
    for point in range(POINTS):
        for here in range(group, last):
            kernels = (point * groups + here) * channels * 3 * at_once
            made = point * m.step + (here - group) * at_once * m.row
            for z in range(0, cells, WIDTH):
                at, to = point * v.step + lead + z, made + z
                if at_once == MANY:
                    _many(v.numbers, at, v.row, channels, w, kernels, m.numbers, to, m.row)
                else:
                    _few(v.numbers, at, v.row, channels, w, kernels, m.numbers, to, m.row)


@kernel()
def _add(part, rows, z, cells, taken, kernels, before, s):  # type: ignore[no-untyped-def]
    """The 1^3 convolution of a field, added to what is there, for all channels that are made."""
    groups, inputs, at_once = kernels.shape
    w, side = kernels.reshape(-1), part.sides[2]
    for q in range(CELLS):
        ahead = rows[min(q + 1, CELLS - 1)] - rows[q]
        for c in range(part.channels):
            done, first = 0, rows[q] + c * part.steps[1]
            while done < cells:
                begin = (z + done) % side
                count = min(cells - done, side - begin)
                for i in range(0, count, LINE):
                    prefetch_line(part.numbers, first + begin + i + ahead)  # type: ignore[call-arg]
                at, to = np.uint64(first + begin), np.uint64(c * s.row + done)
                for i in range(np.uint64(count)):
                    taken[to + i] = part.numbers[at + i]
                done += count
        for group in range(groups):
            kernel_first = (group * inputs + before) * at_once
            for k in range(0, cells, WIDTH):
                to = q * s.step + group * at_once * s.row + k
                if at_once == MANY:
                    _add_many(taken, k, s.row, part.channels, w, kernel_first, s.numbers, to, s.row)
                else:
                    _add_few(taken, k, s.row, part.channels, w, kernel_first, s.numbers, to, s.row)


@kernel()
def _write(m, first, s, first_beside, slope, out, b, o, x, y, z, rows, taken):  # type: ignore[no-untyped-def]
    """One channel of a part of the result."""
    _, outputs, x_side, y_side, z_side = out.shape
    x_cells, y_cells = min(MADE, x_side - x), min(MADE, y_side - y)
    made, channel = out.reshape(-1), x_side * y_side * z_side
    for q in range(CELLS):
        rows[q] = (((b * outputs + o) * x_side + x + q // MADE) * y_side + y + q % MADE) * z_side
    for k in range(0, min(m.row, z_side - z), LANES):
        at, beside = first + k, first_beside + k
        if x_cells == y_cells == MADE and z + k + LANES <= z_side:
            transform_back(
                m.numbers, at, m.step, s.numbers, beside, s.step, slope, made, rows, z + k, channel
            )  # type: ignore[call-arg]
            continue
        places = LANES * np.arange(CELLS)
        transform_back(m.numbers, at, m.step, s.numbers, beside, s.step, slope, taken, places, 0, 0)  # type: ignore[call-arg]
        for i in range(x_cells):
            for j in range(y_cells):
                q = MADE * i + j
                for cell in range(min(LANES, z_side - z - k)):
                    made[rows[q] + z + k + cell] = taken[LANES * q + cell]


@kernel()
def _part(numbers, shapes, i):  # type: ignore[no-untyped-def]
    """Field i of `convolve`."""
    return Part(numbers[i], shapes[i, 0], shapes[i, 1, 1], shapes[i, 1, 2:])


@kernel()
def _share(numbers, shapes, margin, weights, shift, kernels, bias, slope, out, start, end):  # type: ignore[no-untyped-def]
    """Some squares of the result."""
    _, outputs, x_side, y_side, z_side = out.shape
    groups, inputs, at_once = weights.shape[1], weights.shape[2], weights.shape[4]
    y_squares = (y_side + MADE - 1) // MADE
    squares = (x_side + MADE - 1) // MADE * y_squares
    length = min(LONGEST, (z_side + WIDTH - 1) // WIDTH * WIDTH)
    lead = LANES if margin else 0  # cells that are read before z, as registers of sides like 64 hold them
    v = _squares(inputs, length + 2 * LANES, POINTS)
    together = groups if 4 * v.numbers.size > CACHE else 1
    m = _squares(together * at_once, length, POINTS)
    s = _squares(groups * at_once, length, CELLS)
    rows, cell_rows = np.zeros(POINTS, np.int64), np.zeros(CELLS, np.int64)
    taken = np.zeros(max(POINTS * LANES, length * kernels.shape[1]), np.float32)
    for number in range(start, end):
        b, square = divmod(number, squares)
        x, y = MADE * (square // y_squares), MADE * (square % y_squares)
        for z in range(0, z_side, length):
            cells = min(length, (z_side - z + WIDTH - 1) // WIDTH * WIDTH)
            channel = 0
            for i in range(2):
                part = _part(numbers, shapes, i)
                if part.channels:
                    _find(part, b, x - margin, y - margin, READ, rows)
                    _read(part, rows, z - lead, z + cells + 2 - margin, taken, v, channel)
                    channel += part.channels
            for q in range(CELLS):
                for o in range(outputs):
                    s.numbers[q * s.step + o * s.row : q * s.step + (o + 1) * s.row] = bias[o]
            channel = 0
            for i in range(2, 4):
                part = _part(numbers, shapes, i)
                if part.channels:
                    _find(part, b, x + shift, y + shift, MADE, cell_rows)
                    _add(part, cell_rows, z + shift, cells, taken, kernels, channel, s)
                    channel += part.channels
            for group in range(0, groups, together):
                last = min(group + together, groups)
                _multiply(v, lead - margin, weights, group, last, cells, m)
                for o in range(group * at_once, min(last * at_once, outputs)):
                    first = (o - group * at_once) * m.row
                    _write(m, first, s, o * s.row, slope, out, b, o, x, y, z, cell_rows, taken)


@kernel(parallel=True)
def convolve(numbers, shapes, margin, weights, shift, kernels, bias, slope, out, shares):  # type: ignore[no-untyped-def]
    """A 3^3 convolution of the channels of two fields by Winograd's F(4, 3) along x and y, and a leaky ReLU.

    Parameters
    ----------
    numbers : tuple of four ndarray
        The two fields, and two more whose 1^3 convolution is added, float32, each in one row.
    shapes : ndarray, (4, 2, 5) int64
        Of each field, the steps in its row along (batch, channels, x, y, z), of which the last is 1, and its numbers along
        these axes. A field of no channels is not there.
    margin : int
        Cells by which the two are continued periodically before their first ones.
    weights : ndarray, (36, groups, channels, 3, `MANY` or `FEW`) float32
        As `winograd.transformed` makes them.
    shift : int
        The cell of the other two that belongs to the first one of the result, along each axis.
    kernels : ndarray, (groups, channels, `MANY` or `FEW`) float32
        Of the 1^3 convolution.
    bias : ndarray, (outputs,) float32
    slope : float32
        Of the leaky ReLU for negative numbers, at most 1, which changes nothing.
    out : ndarray, (batch, outputs, x, y, z) float32
        Where the result is put.
    shares : int
        Into which the work is divided among threads.
    """
    batch, _, x_side, y_side, _ = out.shape
    squares = batch * ((x_side + MADE - 1) // MADE) * ((y_side + MADE - 1) // MADE)
    for share in prange(shares):
        start = np.int64(share) * squares // shares
        end = (np.int64(share) + 1) * squares // shares
        _share(numbers, shapes, margin, weights, shift, kernels, bias, slope, out, start, end)
