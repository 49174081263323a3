"""The kernel of convolutions by Winograd's transform, whose fields stay in the processor's cache between its steps."""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.compile import kernel
from zeldo.networks.vectors import SQUARE, WIDTH, multiplier, transpose

SIDE = 4  # cells that are made at once along x and along y
READ = SIDE + 2
LONGEST = 96  # cells along z that are made at once, at most
MANY, FEW = 6, 4  # channels that a product makes at once
PAD = 8  # numbers more in a row: rows that lie a power of two apart push each other out of the cache

_many, _few = multiplier(MANY), multiplier(FEW)
TWO, FOUR, FIVE, EIGHT = (np.float32(value) for value in (2, 4, 5, 8))


@kernel()
def _transform(d0, d1, d2, d3, d4, d5):  # type: ignore[no-untyped-def]
    """B^T d along rows, in place."""
    for z in range(len(d0)):
        x0, x1, x2, x3, x4, x5 = d0[z], d1[z], d2[z], d3[z], d4[z], d5[z]
        even, odd = x4 - FOUR * x2, x3 - FOUR * x1
        even2, odd2 = x4 - x2, TWO * (x3 - x1)
        d0[z] = FOUR * x0 - FIVE * x2 + x4
        d1[z] = even + odd
        d2[z] = even - odd
        d3[z] = even2 + odd2
        d4[z] = even2 - odd2
        d5[z] = FOUR * x1 - FIVE * x3 + x5


@kernel()
def _transform_back(d0, d1, d2, d3, d4, d5):  # type: ignore[no-untyped-def]
    """A^T m along rows, in place of the first four."""
    for z in range(len(d0)):
        x0, x1, x2, x3, x4, x5 = d0[z], d1[z], d2[z], d3[z], d4[z], d5[z]
        even, odd = x1 + x2, x1 - x2
        even2, odd2 = x3 + x4, x3 - x4
        d0[z] = x0 + even + even2
        d1[z] = odd + TWO * odd2
        d2[z] = even + FOUR * even2
        d3[z] = odd + EIGHT * odd2 + x5


@kernel()
def _turn(x, first, step, c_step, cells, channels, out, first_out, out_step):  # type: ignore[no-untyped-def]
    """out[c, z] = x[z, c], both in one row."""
    whole_cells = cells // SQUARE * SQUARE if c_step == 1 else 0
    whole = channels // SQUARE * SQUARE
    for c in range(0, whole, SQUARE):
        for z in range(0, whole_cells, SQUARE):
            to = first_out + c * out_step + z
            transpose(x, first + z * step + c, step, out, to, out_step)  # type: ignore[call-arg]
    for c in range(channels):
        start, end = np.uint64(first + c * c_step), np.uint64(first_out + c * out_step)
        for z in range(np.uint64(whole_cells if c < whole else 0), np.uint64(cells)):
            out[end + z] = x[start + z * np.uint64(step)]


@kernel()
def _gather(field, base, z_step, c_step, channels, side, first, cells, rows):  # type: ignore[no-untyped-def]
    """The channels of cells as rows along z, which begin with cell `first` and go on periodically."""
    done, to = 0, rows.reshape(-1)
    while done < cells:
        z = (first + done) % side
        count = min(cells - done, side - z)
        _turn(field, base + z * z_step, z_step, c_step, count, channels, to, done, rows.shape[1])
        done += count


@kernel()
def _read(fields, steps, channels, sides, margin, b, x0, y0, z0, v):  # type: ignore[no-untyped-def]
    """The rows that a tile of the result depends on, transformed."""
    for i in range(READ):
        x = (x0 + i - margin) % sides[0]  # without a margin, what is beyond the end is not used
        for j in range(READ):
            y = (y0 + j - margin) % sides[1]
            to = 0
            for part in range(2):
                step, count = steps[part], channels[part]
                if count:
                    base = b * step[0] + x * step[1] + y * step[2]
                    rows = v[READ * i + j, to:]
                    first, cells = z0 - margin, v.shape[2] - PAD + 2
                    _gather(fields[part], base, step[3], step[4], count, sides[2], first, cells, rows)
                    to += count
    for c in range(v.shape[1]):
        for j in range(READ):
            _transform(v[j, c], v[6 + j, c], v[12 + j, c], v[18 + j, c], v[24 + j, c], v[30 + j, c])
        for i in range(0, READ * READ, READ):
            _transform(v[i, c], v[i + 1, c], v[i + 2, c], v[i + 3, c], v[i + 4, c], v[i + 5, c])


@kernel()
def _multiply(v, weights, m):  # type: ignore[no-untyped-def]
    """The products of a tile and their sums over channels."""
    points, channels, read = v.shape
    outputs, row = m.shape[1:]
    groups, at_once = weights.shape[1], weights.shape[4]
    v_row, m_row, w_row = v.reshape(-1), m.reshape(-1), weights.reshape(-1)
    for point in range(points):
        for group in range(groups):
            first_weight = (point * groups + group) * channels * 3 * at_once
            for z in range(0, row - PAD, WIDTH):
                first = point * channels * read + z
                first_out = (point * outputs + group * at_once) * row + z
                if at_once == MANY:
                    _many(v_row, first, read, channels, w_row, first_weight, m_row, first_out, row)
                else:
                    _few(v_row, first, read, channels, w_row, first_weight, m_row, first_out, row)


@kernel()
def _finish(d0, d1, d2, d3, d4, d5, bias, slope):  # type: ignore[no-untyped-def]
    """As `_transform_back`, then a leaky ReLU of the sum with a bias."""
    for z in range(len(d0)):
        x0, x1, x2, x3, x4, x5 = d0[z], d1[z], d2[z], d3[z], d4[z], d5[z]
        even, odd = x1 + x2 + bias, x1 - x2 + bias
        even2, odd2 = x3 + x4, x3 - x4
        y0, y1, y2, y3 = x0 + even + even2, odd + TWO * odd2, even + FOUR * even2, odd + EIGHT * odd2 + x5
        d0[z], d1[z] = max(y0, slope * y0), max(y1, slope * y1)
        d2[z], d3[z] = max(y2, slope * y2), max(y3, slope * y3)


@kernel()
def _write(m, bias, slope, out, b, x, y, z):  # type: ignore[no-untyped-def]
    """The part of the result that begins with cell (x, y, z), from its products."""
    _, x_side, y_side, z_side, outputs = out.shape
    x_cells, y_cells, cells = min(SIDE, x_side - x), min(SIDE, y_side - y), min(m.shape[2] - PAD, z_side - z)
    for o in range(outputs):
        for j in range(READ):
            _transform_back(m[j, o], m[6 + j, o], m[12 + j, o], m[18 + j, o], m[24 + j, o], m[30 + j, o])
        for i in range(0, READ * SIDE, READ):
            _finish(m[i, o], m[i + 1, o], m[i + 2, o], m[i + 3, o], m[i + 4, o], m[i + 5, o], bias[o], slope)
    products, made = m.reshape(-1), out.reshape(-1)
    for i in range(x_cells):
        for j in range(y_cells):
            first = (READ * i + j) * m.shape[1] * m.shape[2]
            to = (((b * x_side + x + i) * y_side + y + j) * z_side + z) * outputs
            _turn(products, first, m.shape[2], 1, outputs, cells, made, to, outputs)


@kernel(parallel=True)
def convolve(fields, steps, channels, sides, margin, weights, bias, slope, out, shares):  # type: ignore[no-untyped-def]
    """A 3^3 convolution of the channels of two fields, and a leaky ReLU: Winograd's F(4, 3) along x and y.

    Parameters
    ----------
    fields : (ndarray, ndarray)
        float32, all numbers of each in one row.
    steps : ndarray, (2, 5) int64
        In these rows, from one number to the next along (batch, x, y, z, channels).
    channels : ndarray, (2,) int64
        Of each; 0 for one that is not there.
    sides : ndarray, (3,) int64
        Cells of both.
    margin : int
        Cells by which they are continued periodically before their first ones.
    weights : ndarray, (36, groups, channels, 3, `MANY` or `FEW`) float32
        As `winograd.transformed` makes them.
    bias : ndarray, (outputs,) float32
    slope : float32
        Of the leaky ReLU for negative numbers, at most 1, which changes nothing.
    out : ndarray, (batch, x, y, z, outputs) float32
        Where the result is put.
    shares : int
        Into which the work is divided among threads.
    """
    batch, x_side, y_side, z_side, _ = out.shape
    y_tiles = (y_side + SIDE - 1) // SIDE
    tiles = (x_side + SIDE - 1) // SIDE * y_tiles
    pieces = (z_side + LONGEST - 1) // LONGEST
    length = ((z_side + pieces - 1) // pieces + WIDTH - 1) // WIDTH * WIDTH
    points = READ * READ
    for share in prange(shares):
        v = np.zeros((points, weights.shape[2], length + PAD), np.float32)
        m = np.zeros((points, weights.shape[1] * weights.shape[4], length + PAD), np.float32)
        for number in range(share * batch * tiles // shares, (share + 1) * batch * tiles // shares):
            b, tile = divmod(np.int64(number), tiles)
            x, y = SIDE * (tile // y_tiles), SIDE * (tile % y_tiles)
            for z in range(0, z_side, length):
                _read(fields, steps, channels, sides, margin, b, x, y, z, v)
                _multiply(v, weights, m)
                _write(m, bias, slope, out, b, x, y, z)
