"""The kernel that rounds the channels of a field to eight-bit integers, in one pass over its cells."""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.compile import kernel

LEVELS = 255  # steps between the ends of a channel's range
BLOCK = 4096  # cells that a thread rounds at a time


def round_to_integers(x: np.ndarray, per_step: np.ndarray, zero: np.float32, out: np.ndarray) -> None:
    """x in steps, counted from the integer that stands for zero. What is outside 0 to `LEVELS` takes the nearer end.

    Parameters
    ----------
    x : ndarray, (cells, channels)
        float32, or the bits of bfloat16 as uint16.
    per_step : ndarray, (channels,) float32
        One over the step of each channel.
    zero : float32
    out : ndarray, (cells, channels) uint8
        Where the result is put.
    """
    (_round_halves if x.dtype == np.uint16 else _round_floats)(x, per_step, zero, out)


@kernel(parallel=True)
def _round_floats(x, per_step, zero, out):  # type: ignore[no-untyped-def]
    low, high, half = np.float32(0), np.float32(LEVELS), np.float32(0.5)
    for block in prange(-(-len(x) // BLOCK)):
        for cell in range(block * BLOCK, min(len(x), (block + 1) * BLOCK)):
            for c in range(x.shape[1]):
                out[cell, c] = np.uint8(min(max(x[cell, c] * per_step[c] + zero, low), high) + half)


@kernel(parallel=True)
def _round_halves(x, per_step, zero, out):  # type: ignore[no-untyped-def]
    low, high, half = np.float32(0), np.float32(LEVELS), np.float32(0.5)
    for block in prange(-(-len(x) // BLOCK)):
        for cell in range(block * BLOCK, min(len(x), (block + 1) * BLOCK)):
            for c in range(x.shape[1]):
                # the bits of a bfloat16 are the upper ones of the float32
                value = np.uint32(np.uint32(x[cell, c]) << np.uint32(16)).view(np.float32)
                out[cell, c] = np.uint8(min(max(value * per_step[c] + zero, low), high) + half)
