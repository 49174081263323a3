"""Cubes that cover a periodic lattice, and windows around them: integer geometry only.

Cells are counted from 0 to n - 1 along each axis. A window may begin before 0, end after n and be longer than the
lattice, since it wraps around.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np

Field = TypeVar("Field")  # a numpy array or a torch tensor
Indices = tuple[np.ndarray, np.ndarray, np.ndarray]
Slices = tuple[slice, slice, slice]


def wrapped_cells(start: int, count: int, n: int) -> np.ndarray:
    """The cells start, ..., start + count - 1 of one axis, wrapped to [0, n).

    Returns
    -------
    (count,) integers.
    """
    return np.arange(start, start + count) % n


def window(origin: tuple[int, int, int], side: int, n: int, halo: int = 0) -> Indices:
    """The cells of a cube with a halo on each side, along each axis.

    Parameters
    ----------
    origin:
        The cube's first cell, halo not counted; any integers.
    side, halo:
        Cells of the cube along each axis, and of the halo on each side.

    Returns
    -------
    Three arrays of side + 2 halo integers in [0, n).
    """
    i, j, k = (wrapped_cells(start - halo, side + 2 * halo, n) for start in origin)
    return i, j, k


def take(field: Field, indices: Indices) -> Field:
    """The cells of a field (..., n, n, n), numpy or torch, at the indices along its last three axes, copied."""
    if isinstance(field, np.ndarray):
        part: Any = field
        for axis, index in zip((-3, -2, -1), indices, strict=True):
            begin, end = int(index[0]), int(index[0]) + len(index)
            # a view for now, where the window does not cross the edge
            if np.array_equal(index, np.arange(begin, end)):
                part = part[..., begin:end, *(slice(None),) * (-1 - axis)]
            else:
                part = np.take(part, index, axis)
        part = part.copy() if np.may_share_memory(part, field) else np.ascontiguousarray(part)
        return part
    import torch

    for axis, index in zip((-3, -2, -1), indices, strict=True):
        field = field.index_select(axis, torch.as_tensor(index, device=field.device))  # type: ignore[attr-defined]
    return field


def slabs(n: int, thickness: int) -> Iterator[tuple[int, int]]:
    """(first, end) of the pieces of [0, n), each of `thickness`, the last one narrower where it must be."""
    for first in range(0, n, thickness):
        yield first, min(first + thickness, n)


def tile_side(n: int, pieces: int, stride: int = 1) -> int:
    """The side of tiles, a multiple of the stride, of which at most `pieces` cover n cells."""
    return stride * -(-n // (pieces * stride))


def aligned_side(least: int, smallest: int, stride: int) -> int:
    """The first of smallest, smallest + stride, smallest + 2 stride, ... that is not below `least`."""
    return smallest + stride * max(0, -(-(least - smallest) // stride))


@dataclass(frozen=True)
class Tile:
    """A box of cells inside a lattice: `shape` cells from `origin` on, none of them wrapped around."""

    origin: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def inside(self) -> Slices:
        """The tile's slices of the lattice."""
        i, j, k = (slice(a, a + side) for a, side in zip(self.origin, self.shape, strict=True))
        return i, j, k

    @property
    def valid(self) -> Slices:
        """The tile's slices of a result that begins at its origin and may reach beyond its end."""
        i, j, k = (slice(side) for side in self.shape)
        return i, j, k


def cover(n: int, side: int) -> Iterator[Tile]:
    """Tiles that hold every cell of [0, n)^3 once, in the order of their origins.

    Origins are multiples of `side`; tiles at the end of the lattice are narrower where n is no multiple of it.
    """
    for ends in product(slabs(n, side), repeat=3):
        i, j, k = ((first, end - first) for first, end in ends)
        yield Tile((i[0], j[0], k[0]), (i[1], j[1], k[1]))
