"""The cloud-in-cell interpolation of mesh fields to a displaced lattice on the CPU, and a gradient to be read."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from zeldo.mesh.compile import kernel
from zeldo.mesh.rows import AHEAD, locate_kept, prefetch, u64


@kernel(parallel=True)
def read_scalar(field, psi, first, scale, offset, index, out):  # type: ignore[no-untyped-def]
    """out (planes, n, n) becomes the field (m, m, m) at the particles of the lattice's planes from `first` on.

    Columns of the field may be longer than m. index: `rows.index_like` the field.
    """
    planes, n, m = out.shape[0], out.shape[1], np.int32(field.shape[0])
    one, whole = np.float32(1), (np.int32(0), m, np.int32(0), m)
    length, f = np.int32(field.shape[2]), field.reshape(-1)
    kept = (np.int32(0), m)
    for plane in prange(planes):
        i = np.int64(plane)  # prange counts in unsigned integers
        part, at = np.empty((3, n), np.float32), np.empty((4, n), index.dtype)
        for j in range(n):
            locate_kept(psi, i, first + i, j, scale, offset, m, length, whole, kept, part, at)
            for k in range(n):
                prefetch(f, at, k + AHEAD, np.int64(1))
                fx, fy, fz = part[0, k], part[1, k], part[2, k]
                gx, gy = one - fx, one - fy
                w00, w01, w10, w11 = gx * gy, gx * fy, fx * gy, fx * fy
                r00, up = at[0, k], at[3, k]
                r01, r10 = r00 + at[2, k], r00 + at[1, k]
                r11 = r10 + at[2, k]
                low = w00 * f[u64(r00)] + w01 * f[u64(r01)] + w10 * f[u64(r10)] + w11 * f[u64(r11)]
                high = w00 * f[u64(r00 + up)] + w01 * f[u64(r01 + up)]
                high += w10 * f[u64(r10 + up)] + w11 * f[u64(r11 + up)]
                out[i, j, k] = (one - fz) * low + fz * high


@intrinsic
def _corners(_, field, starts, weights, low, high):  # type: ignore[no-untyped-def]
    """Three float32: the weighted sum of eight vectors of four.

    field: flat float32; starts: four int64 indices, a vector and the next one above it lie there, eight numbers in a row;
    weights: of the four; low, high: of the lower and the upper vector. Four loads of eight numbers, where the compiler finds
    twenty-four of one.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        field, starts, weights, low, high = arguments
        data = context.make_array(signature.args[0])(context, builder, field).data
        lane = ir.IntType(32)

        def vector(width):  # type: ignore[no-untyped-def]
            return ir.VectorType(ir.FloatType(), width)

        def choose(x, lanes):  # type: ignore[no-untyped-def]
            return builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(lane, len(lanes)), lanes))

        def times(x, factor, width):  # type: ignore[no-untyped-def]
            one = builder.insert_element(ir.Constant(vector(width), ir.Undefined), factor, lane(0))
            return builder.fmul(x, choose(one, width * [0]), flags=("fast",))

        total = ir.Constant(vector(8), 8 * [0.0])
        for corner in range(4):
            place = builder.gep(data, [builder.extract_value(starts, corner)])
            pair = builder.load(builder.bitcast(place, vector(8).as_pointer()), align=4)
            term = times(pair, builder.extract_value(weights, corner), 8)
            total = builder.fadd(total, term, flags=("fast",))
        lower, upper = times(choose(total, [0, 1, 2, 3]), low, 4), times(choose(total, [4, 5, 6, 7]), high, 4)
        result = builder.fadd(lower, upper, flags=("fast",))
        components = [builder.extract_element(result, lane(c)) for c in range(3)]
        return context.make_tuple(builder, signature.return_type, components)

    return types.UniTuple(types.float32, 3)(field, starts, weights, low, high), generate


@kernel(parallel=True)
def read_vector(field, psi, held, scale, offset, planes, origin, index, out):  # type: ignore[no-untyped-def]
    """out (3, planes, n, n) becomes three of the field's four components at the particles of some lattice planes.

    field: (slots, m, m + 1, 4), the last of each column the first again; plane p of the mesh is in slot p mod slots.
    psi: (3, planes held, n, n), from lattice plane `held` on. planes: (first, end) of the lattice.
    origin: the first plane of the mesh that is there, and its slot. index: `rows.index_like` the places of the field.
    """
    n, m, slots = psi.shape[2], np.int32(field.shape[1]), np.int32(field.shape[0])
    one, four = np.float32(1), np.int64(4)
    region, kept = (np.int32(origin[0]), slots, np.int32(0), m), (np.int32(origin[1]), slots)
    g = field.reshape(-1)
    first = planes[0]
    for plane in prange(planes[1] - first):
        i = first + np.int64(plane)  # prange counts in unsigned integers
        part, at = np.empty((3, n), np.float32), np.empty((4, n), index.dtype)
        for j in range(n):
            locate_kept(psi, i - held, i, j, scale, offset, m, m + np.int32(1), region, kept, part, at)
            for k in range(n):
                prefetch(g, at, k + AHEAD, four)
                fx, fy, fz = part[0, k], part[1, k], part[2, k]
                gx, gy = one - fx, one - fy
                r00 = at[0, k]
                r01, r10 = r00 + at[2, k], r00 + at[1, k]
                starts = four * r00, four * r01, four * r10, four * (r10 + at[2, k])
                weights = gx * gy, gx * fy, fx * gy, fx * fy
                x, y, z = _corners(g, starts, weights, one - fz, fz)  # type: ignore
                out[0, plane, j, k], out[1, plane, j, k], out[2, plane, j, k] = x, y, z


@kernel(parallel=True)
def minus_gradient(phi, norm, first, end, out):  # type: ignore[no-untyped-def]
    """-grad phi by the centred difference of fourth order, norm = 1 / (12 h), on planes of the mesh.

    phi (m, m, m), whose columns may be longer than m. Planes first to end, any integers, go where `read_vector` looks for
    them, in slot p mod slots of out.
    """
    m, slots = phi.shape[0], out.shape[0]
    eight, zero = np.float32(8), np.float32(0)
    for count in prange(end - first):
        p = first + np.int64(count)
        i, slot = p % m, p % slots
        x1, x2, xa, xb = phi[(i + 1) % m], phi[(i + 2) % m], phi[(i - 1) % m], phi[(i - 2) % m]
        for j in range(m):
            y1, y2, ya, yb = (j + 1) % m, (j + 2) % m, (j - 1) % m, (j - 2) % m
            f, z, o = phi[i], phi[i, j], out[slot, j]
            for k in range(m):
                o[k, 0] = norm * ((x2[j, k] - xb[j, k]) - eight * (x1[j, k] - xa[j, k]))
                o[k, 1] = norm * ((f[y2, k] - f[yb, k]) - eight * (f[y1, k] - f[ya, k]))
                o[k, 3] = zero
            for k in range(2, m - 2):
                o[k, 2] = norm * ((z[k + 2] - z[k - 2]) - eight * (z[k + 1] - z[k - 1]))
            for k in (0, 1, m - 2, m - 1):
                o[k, 2] = norm * (
                    (z[(k + 2) % m] - z[(k - 2) % m]) - eight * (z[(k + 1) % m] - z[(k - 1) % m])
                )
            o[m] = o[0]
