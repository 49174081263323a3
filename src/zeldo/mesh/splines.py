"""Painting by piecewise cubic splines on the CPU, for statistics: 64 mesh points a particle, few aliases.

Each particle becomes a cloud of four cells' width along each axis, whose Fourier transform is sinc(k / m)^4 (PCS;
Sefusatti et al. 2016, arXiv:1512.07295). torch_splines holds the same for any device.

Particles are listed by slabs of mesh planes. A cloud reaches into the next slab but no farther, so that all even slabs
are painted in parallel, then all odd ones. The order of sums depends on the particles alone: the bits are the same for
any number of threads.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from zeldo.errors import InputError
from zeldo.mesh.compile import inlined, kernel

POWER = 4  # of sinc in the window along each axis
_PLANES = 4  # the thinnest slab: a cloud's planes are in it and in the next
_SLABS = 64  # at most
_BATCH = 128  # particles whose weights are found at a time


def paint(particles: np.ndarray, m: int, box: float, offset: float = 0.0) -> np.ndarray:
    """Density of particles in units of its mean.

    Parameters
    ----------
    particles : (3, n, n, n) displacements from the lattice, or (N, 3) positions anywhere; Mpc/h, float.
    m : mesh points per side, even, from 4 on.
    box : side, Mpc/h.
    offset : the particles are moved by this fraction of a mesh cell along the diagonal.

    Returns
    -------
    (m, m, m) float32 view of a wider array, mean 1.

    Raises
    ------
    InputError
        For another shape of the particles or a mesh that is not possible.
    """
    if m < 4 or m % 2:
        raise InputError(f"a mesh of {m} points per side is not possible: give an even number from 4 on")
    lattice = particles.ndim == 4 and particles.shape == (3, *3 * [particles.shape[1]])
    if not lattice and not (particles.ndim == 2 and particles.shape[1] == 3 and len(particles)):
        raise InputError(f"particles have shape {particles.shape}: give (3, n, n, n) or (N, 3)")
    if not box > 0:
        raise InputError(f"box = {box!r} is not allowed: give the side in Mpc/h, above 0")
    n = particles.shape[1] if lattice else 0
    x = particles.reshape(3, -1) if lattice else particles.T
    x = np.ascontiguousarray(x, None if x.dtype in (np.float32, np.float64) else np.float64)
    slabs = max(1, min(_SLABS, m // _PLANES) // 2 * 2)
    slab = np.empty(x.shape[1], np.uint8)
    offset -= 1  # to the lowest of a cloud's four mesh points
    _find_slabs(x[0], n, m, m / box, offset, slabs, slab)
    order, ends = _sort(slab, slabs)
    out = np.empty((m, m, m + POWER - 1), np.float32)
    _paint(x, n, m / box, offset, np.float32(m**3 / x.shape[1]), order, ends, out)
    return out[:, :, :m]


@inlined
def _cell(x, at, scale, offset, m):  # type: ignore[no-untyped-def]
    """Cell in [0, m) and fraction of it, along one axis, of a displacement from a lattice point.

    What is no finite number is in cell 0 with a fraction that is none either.
    """
    u = at + np.float64(x) * scale + offset
    u -= m * np.floor(u / m)
    if u >= m:
        u = 0.0
    cell = np.int64(u) if u > 0 else 0
    return cell, np.float32(u - cell)


# exact: numbers that are none must stay so, and reach no index
@kernel(parallel=True, fastmath=False)
def _find_slabs(x, n, m, scale, offset, slabs, slab):  # type: ignore[no-untyped-def]
    cell = m / n if n else 0.0
    per = max(1, n * n)
    for p in prange(x.size):
        plane, _ = _cell(x[p], (p // per) * cell, scale, offset, m)
        slab[p] = ((plane + 1) * slabs - 1) // m  # the slab from s m // slabs on holds it


@kernel()
def _sort(slab, slabs):  # type: ignore[no-untyped-def]
    """Particles by slab, in their order within each, and where each slab ends."""
    starts = np.zeros(slabs + 1, np.int64)
    for p in range(slab.size):
        starts[slab[p] + 1] += 1
    starts = np.cumsum(starts)
    ends, order = starts[:-1].copy(), np.empty(slab.size, np.int64)
    for p in range(slab.size):
        order[ends[slab[p]]] = p
        ends[slab[p]] += 1
    return order, ends


@intrinsic
def _add_four(_, array, index, share, z0, z1, z2, z3):  # type: ignore[no-untyped-def]
    """array[index : index + 4] += share * (z0, z1, z2, z3), float32; no index is tested."""
    real = types.float32

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        four = ir.VectorType(ir.FloatType(), 4)

        def vector(numbers):  # type: ignore[no-untyped-def]
            made = ir.Constant(four, ir.Undefined)
            for place, number in enumerate(numbers):
                made = builder.insert_element(made, number, ir.Constant(ir.IntType(32), place))
            return made

        place = builder.bitcast(builder.gep(data, [arguments[1]]), four.as_pointer())
        product = builder.fmul(vector(4 * [arguments[2]]), vector(arguments[3:]))
        builder.store(builder.fadd(builder.load(place, align=4), product), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, real, real, real, real, real), generate


@inlined
def _weights(u, m, unit, first, weights, count):  # type: ignore[no-untyped-def]
    """The lowest of four mesh points around each place along one axis, and the cubic spline there, times `unit`.

    Places come in cells and are wrapped to [0, m). What is no finite number is in cell 0 with weights that are none either.
    """
    sixth = unit / np.float32(6)
    for q in range(count):
        x = u[q]
        x -= m * np.floor(x / m)
        x = 0.0 if x >= m else x
        cell = np.int32(x) if x > 0 else np.int32(0)
        f = np.float32(x - cell)
        g = np.float32(1) - f
        f2, g2 = f * f, g * g
        first[q] = cell
        weights[0, q] = sixth * g2 * g
        weights[1, q] = sixth * (np.float32(4) - np.float32(3) * f2 * (g + np.float32(1)))
        weights[2, q] = sixth * (np.float32(4) - np.float32(3) * g2 * (f + np.float32(1)))
        weights[3, q] = sixth * f2 * f


@kernel(parallel=True, fastmath=False)
def _paint(x, n, scale, offset, weight, order, ends, out):  # type: ignore[no-untyped-def]
    m, slabs = out.shape[0], ends.size
    cell, side = m / n if n else 0.0, np.float64(m)
    length, density = out.shape[2], out.reshape(-1)
    for i in prange(m):
        out[i] = 0
    for parity in range(min(2, slabs)):
        for pair in prange(max(1, slabs // 2)):
            slab = 2 * np.int64(pair) + parity
            u, first = np.empty((3, _BATCH)), np.empty((3, _BATCH), np.int32)
            weights = np.empty((3, 4, _BATCH), np.float32)
            for begin in range(ends[slab - 1] if slab else 0, ends[slab], _BATCH):
                count = min(_BATCH, ends[slab] - begin)
                for q in range(count):
                    p = order[begin + q]
                    row = p // n if n else 0
                    i = row // n if n else 0
                    u[0, q] = i * cell + np.float64(x[0, p]) * scale + offset
                    u[1, q] = (row - i * n) * cell + np.float64(x[1, p]) * scale + offset
                    u[2, q] = (p - row * n) * cell + np.float64(x[2, p]) * scale + offset
                _weights(u[0], side, weight, first[0], weights[0], count)
                _weights(u[1], side, np.float32(1), first[1], weights[1], count)
                _weights(u[2], side, np.float32(1), first[2], weights[2], count)
                for q in range(count):
                    a, b, c = np.int64(first[0, q]), np.int64(first[1, q]), np.int64(first[2, q])
                    z0, z1, z2, z3 = weights[2, 0, q], weights[2, 1, q], weights[2, 2, q], weights[2, 3, q]
                    for s in range(4):
                        plane = a + s if a + s < m else a + s - m
                        for t in range(4):
                            column = b + t if b + t < m else b + t - m
                            share = weights[0, s, q] * weights[1, t, q]
                            at = (plane * m + column) * length + c
                            _add_four(density, at, share, z0, z1, z2, z3)  # type: ignore
    for i in prange(m):
        for j in range(m):
            for k in range(3):
                out[i, j, k] += out[i, j, m + k]
