"""The kernel that rounds the channels of a field to eight-bit integers, in one pass over its cells."""

from __future__ import annotations

import numpy as np
from numba import prange, types
from numba.extending import overload

from zeldo.mesh.compile import kernel

LEVELS = 255  # steps between the ends of a channel's range
# Shifts before numbers are cut, by the parities of a cell: a convolution sums over all of them, so that small numbers are
# not all lost.
DITHER = ((np.array([0, 7, 6, 1, 5, 2, 3, 4]) + 0.5) / 8).reshape(2, 2, 2)
NEAREST = np.full((2, 2, 2), 0.5)


def round_to_integers(
    x: np.ndarray,
    per_step: np.ndarray,
    shifts: np.ndarray,
    out: np.ndarray,
    margin: int = 0,
    channel: int = 0,
) -> None:
    """x in steps, plus a shift, cut to an integer. What is outside 0 to `LEVELS` takes the nearer end.

    Parameters
    ----------
    x : ndarray, (batch, x, y, z, channels)
        float32, or the bits of bfloat16 as uint16.
    per_step : ndarray, (channels,) float32
        One over the step of each channel.
    shifts : ndarray, (2, 2, 2) float32
        By the parities of a cell of `out`: the integer that stands for zero, and `NEAREST` or `DITHER`.
    out : ndarray, (batch, x + 2 margin, y + 2 margin, z + 2 margin, channels or more) uint8
        Where the result is put.
    margin : int
        Cells of `out` on each side that stay as they are.
    channel : int
        Where the first channel is put.
    """
    _round(x, per_step, shifts, out, np.uint64(margin), np.uint64(channel))


def _number(stored):  # type: ignore[no-untyped-def]
    """float32 from what is stored: itself, or the bits of a bfloat16, which are the upper ones of a float32."""


@overload(_number, inline="always")
def _number_of(stored):  # type: ignore[no-untyped-def]
    if isinstance(stored, types.Integer):
        return lambda stored: np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)
    return lambda stored: stored


@kernel(parallel=True)
def _round(x, per_step, shifts, out, margin, channel):  # type: ignore[no-untyped-def]
    low, high, one = np.float32(0), np.float32(LEVELS + 0.5), np.uint64(1)
    for plane in prange(x.shape[0] * x.shape[1]):
        b, i = divmod(np.int64(plane), x.shape[1])
        to_i = np.uint64(i) + margin  # unsigned: Numba looks whether others are negative, in each cell
        for j in range(x.shape[2]):
            to_j = np.uint64(j) + margin
            for k in range(x.shape[3]):
                to_k = np.uint64(k) + margin
                shift = shifts[to_i & one, to_j & one, to_k & one]
                for c in range(x.shape[4]):
                    value = _number(x[b, i, j, k, c]) * per_step[c] + shift
                    out[b, to_i, to_j, to_k, np.uint64(c) + channel] = np.uint8(min(max(value, low), high))
