"""Where the particles of one row of the lattice sit on the mesh: the loop that painting and reading share.

It is vector code: positions, wrapped cells and offsets of the next cells go through small buffers; the scattered accesses to
the mesh, which cannot be vector code, then read nothing but these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from zeldo.mesh.compile import inlined

# indices are cast to unsigned at the access: signed ones would be tested for Python's negative indices
u64 = np.uint64


def index_like(points: int) -> np.ndarray:
    """An empty array of the type of flat indices on a mesh. Those of 32 bits, where they do, make faster vector code."""
    return np.empty(0, np.int32 if points < 2**31 else np.int64)


AHEAD = 16  # particles whose mesh points are asked for before it is their turn: caches cannot guess them


def ask_for(builder: Any, place: Any, *, to_write: bool = False) -> None:
    """Writes down that the cache line of a place in memory is asked for; no place is wrong."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    form = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    call = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0i8")
    keep, data = number(3), number(1)
    builder.call(call, [builder.bitcast(place, byte), number(int(to_write)), keep, data])


@intrinsic
def prefetch_line(_, array, index):  # type: ignore[no-untyped-def]
    """Asks for the cache line of array[index]; no index is wrong."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        ask_for(builder, builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, index), generate


@inlined
def prefetch(mesh, at, k, width):  # type: ignore[no-untyped-def]
    """Asks for the four columns around particle k of a row that `locate` has seen, or around its last.

    width: numbers at a mesh point.
    """
    k = min(k, at.shape[1] - 1)
    r = np.int64(at[0, k])
    for index in (r, r + at[2, k], r + at[1, k], r + at[1, k] + at[2, k]):
        prefetch_line(mesh, width * index)  # type: ignore


@inlined
def wrapped(x, fm, inverse):  # type: ignore[no-untyped-def]
    """Position in cells, [0, m), without a branch so that loops over it become vector code."""
    x -= fm * np.floor(x * inverse)
    x = x if x > np.float32(-1) else np.float32(0)  # of numbers so large that nothing is left of them
    return x if x < fm else np.float32(0)


@inlined
def locate(psi, i, j, scale, offset, m, length, region, part, at):  # type: ignore[no-untyped-def]
    """`locate_kept` on a mesh that has all its planes in memory."""
    first = region[0] + m if region[0] < 0 else region[0]
    locate_kept(psi, i, i, j, scale, offset, m, length, region, (first, m), part, at)


@inlined
def locate_kept(psi, plane_held, i, j, scale, offset, m, length, region, kept, part, at):  # type: ignore[no-untyped-def]
    """The particles (i, j, :) of the lattice on an m^3 mesh whose columns are `length` numbers long, m or padded.

    plane_held: where psi has plane i of the lattice.
    region: (first plane, planes, first column, columns) of the mesh that the caller takes care of, int32, the firsts
    in (-m, m).
    kept: (the slot of the region's first plane, slots) of a mesh that has not all planes in memory; (the first plane, m)
    where it has.
    part: (3, n) float32 becomes the positions inside their cells.
    at: (4, n), of the type of `index_like`, becomes the flat index of each cell, or -1 if it is not the caller's. Its other
    rows become the steps from there to the next cell along each axis.
    """
    n = psi.shape[3]
    zero, top, fm = np.int32(0), m - np.int32(1), np.float32(m)
    cell, inverse = fm / np.float32(n), np.float32(1) / fm
    plane, column = m * length, length
    last = kept[1] - np.int32(1)
    plane_back, column_back = -last * plane, -top * column
    base_x, base_y = np.float32(i) * cell + offset, np.float32(j) * cell + offset
    for k in range(n):
        x = wrapped(base_x + psi[0, plane_held, j, k] * scale, fm, inverse)
        y = wrapped(base_y + psi[1, plane_held, j, k] * scale, fm, inverse)
        z = wrapped(np.float32(k) * cell + offset + psi[2, plane_held, j, k] * scale, fm, inverse)
        i0, j0, k0 = np.int32(x), np.int32(y), np.int32(z)
        part[0, k], part[1, k], part[2, k] = x - np.float32(i0), y - np.float32(j0), z - np.float32(k0)
        di, dj = i0 - region[0], j0 - region[2]
        di = di + m if di < zero else di
        dj = dj + m if dj < zero else dj
        di = di - m if di >= m else di
        dj = dj - m if dj >= m else dj
        mine = (di < region[1]) & (dj < region[3])
        slot = di + kept[0]
        slot = slot - kept[1] if slot > last else slot
        at[0, k] = slot * plane + j0 * column + k0 if mine else np.int32(-1)
        at[1, k] = plane_back if slot == last else plane
        at[2, k] = column_back if j0 == top else column
        at[3, k] = -top if k0 == top else np.int32(1)
