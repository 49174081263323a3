"""Mesh kernels for the CPU: parallel, float32, the same bits for any number of threads.

Particles are those of an n^3 lattice displaced by psi (3, n, n, n) in Mpc/h; a mesh has m^3 points at
(i, j, k) box / m, m even.
The interpolation is cloud-in-cell (Hockney & Eastwood 1988). torch_kernels holds the same functions for any device;
painting.py and reading.py hold the loops over particles.

`offset` moves the particles by a fraction of a mesh cell along the diagonal, the same as moving the mesh the other way.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.mesh.checks import MAX_MESH, check_mesh
from zeldo.mesh.compile import kernel
from zeldo.mesh.painting import paint_into
from zeldo.mesh.reading import minus_gradient, read_scalar, read_vector
from zeldo.mesh.rows import index_like


def paint(
    psi: np.ndarray, m: int, box: float, out: np.ndarray | None = None, offset: float = 0.0
) -> np.ndarray:
    """Density of the particles in units of its mean, (m, m, m) float32; delta = paint - 1."""
    out = np.empty((check_mesh(m, MAX_MESH),) * 3, np.float32) if out is None else out
    paint_into(out, psi, box, offset)
    return out


def read(
    field: np.ndarray,
    psi: np.ndarray,
    box: float,
    out: np.ndarray | None = None,
    offset: float = 0.0,
    first: int = 0,
) -> np.ndarray:
    """The field (m, m, m) at the particles, (n, n, n) float32; psi may be some planes of the lattice from `first` on."""
    out = np.empty(psi.shape[1:], np.float32) if out is None else out
    scale = np.float32(check_mesh(field.shape[0], MAX_MESH) / box)
    read_scalar(field, psi, first, scale, np.float32(offset), index_like(field.size), out)
    return out


def read_gradient(
    phi: np.ndarray,
    psi: np.ndarray,
    box: float,
    out: np.ndarray | None = None,
    work: np.ndarray | None = None,
    offset: float = 0.0,
) -> np.ndarray:
    """-grad phi at the particles, (3, n, n, n) float32: the fourth-order centred difference, then cloud-in-cell.

    work: (m, m, m + 1, 4) float32, room for the gradient on the mesh.
    """
    m = check_mesh(phi.shape[0], MAX_MESH)
    out = np.empty_like(psi) if out is None else out
    work = np.empty((m, m, m + 1, 4), np.float32) if work is None else work
    gradient_planes(phi, box, 0, m, work)
    return read_planes(work, psi, box, offset, (0, psi.shape[1]), (0, 0), out)


def gradient_planes(phi: np.ndarray, box: float, first: int, end: int, out: np.ndarray) -> None:
    """-grad phi on planes of the mesh, by the fourth-order centred difference.

    phi (m, m, m or more). out (slots, m, m + 1, 4) float32 has plane p in slot p mod slots; first and end are any integers.
    """
    minus_gradient(phi, np.float32(phi.shape[0] / box / 12), first, end, out)


def read_planes(
    gradient: np.ndarray,
    psi: np.ndarray,
    box: float,
    offset: float,
    planes: tuple[int, int],
    origin: tuple[int, int],
    out: np.ndarray,
    held: int = 0,
) -> np.ndarray:
    """The gradient that `gradient_planes` made, at the particles of lattice planes first to end, (3, planes, n, n) float32.

    origin: the first plane of the mesh that is there, in [0, m), and its slot. held: the first lattice plane in psi.
    """
    scale = np.float32(gradient.shape[1] / box)
    index = index_like(gradient[..., 0].size)
    read_vector(gradient, psi, held, scale, np.float32(offset), planes, origin, index, out)
    return out


def apply_green(modes: np.ndarray, k: np.ndarray, window: np.ndarray) -> None:
    """modes *= -w(kx) w(ky) w(kz) / |k|^2 in place; the mean mode becomes zero.

    modes (m, m, m // 2 + 1) complex64; k and window (m,) float32 of one axis, in the order of fftfreq.
    """
    _apply_green(modes, np.square(k), window)


def apply_table(modes: np.ndarray, table: np.ndarray) -> None:
    """modes *= table in place, linear between its nodes.

    modes (m, m, m // 2 + 1) complex64; table (points, points, points) from 0 to the Nyquist wavenumber along each axis.
    """
    place = np.abs(np.fft.fftfreq(modes.shape[0])) * (2 * (len(table) - 1))
    low = np.minimum(place.astype(np.int64), len(table) - 2)
    _apply_table(modes, table.astype(np.float32), low, (place - low).astype(np.float32))


def derive(modes: np.ndarray, k: np.ndarray, axis: int, out: np.ndarray) -> None:
    """out = -i k modes along an axis: the modes of minus the derivative."""
    _times_minus_i(modes, *_factors(k, axis), out)


def derive_twice(modes: np.ndarray, k: np.ndarray, first: int, second: int, out: np.ndarray) -> None:
    """out = -k_first k_second modes: the modes of the second derivative."""
    a, b, c = (x * y for x, y in zip(_factors(k, first), _factors(k, second), strict=True))
    _times(modes, -a, b, c, out)


def _factors(k: np.ndarray, axis: int) -> list[np.ndarray]:
    """k along an axis and 1 along the others, to be multiplied."""
    return [k if axis == other else np.ones_like(k) for other in range(3)]


def minus_minors(diagonal: np.ndarray, out: np.ndarray) -> None:
    """out = -(xx yy + xx zz + yy zz); diagonal (3, n, n, n), out (n, n, n)."""
    _minus_minors(*diagonal.reshape(3, -1), out.reshape(-1))


def add_squares(fields: np.ndarray, out: np.ndarray) -> None:
    """out += the sum of three fields' squares; fields (3, n, n, n), out (n, n, n)."""
    _add_squares(*fields.reshape(3, -1), out.reshape(-1))


def add_square(field: np.ndarray, weight: float, out: np.ndarray) -> None:
    """out += weight x field^2; both of one shape and contiguous."""
    _add_square(field.reshape(-1), np.float32(weight), out.reshape(-1))


def combine(out: np.ndarray | None, *terms: tuple[float, np.ndarray]) -> np.ndarray:
    """out = sum of factor x array over two to four terms, in one pass; out may be one of the arrays, None makes a new one.

    All float32 and contiguous.
    """
    factors = [np.float32(factor) for factor, _ in terms]
    arrays = [array.reshape(-1) for _, array in terms]
    out = np.empty_like(terms[0][1]) if out is None else out
    _COMBINE[len(terms)](out.reshape(-1), *factors, *arrays)
    return out


def advance(
    psi: np.ndarray,
    v: np.ndarray,
    force: np.ndarray,
    kick: tuple[float, float],
    drift: float,
    *terms: tuple[float, float, np.ndarray],
) -> None:
    """v = alpha v + beta force + sum of k x field, then psi += drift v + sum of d x field, in one pass and in place.

    kick: alpha and beta. terms: none, or two (k, d, field). All float32 and contiguous.
    """
    numbers = [
        np.float32(x) for x in (*kick, drift, *(term[0] for term in terms), *(term[1] for term in terms))
    ]
    fields = [field.reshape(-1) for field in (psi, v, force, *(term[2] for term in terms))]
    (_advance_with_two if terms else _advance)(*fields, *numbers)


@kernel(parallel=True)
def _apply_green(modes, k2, window):  # type: ignore[no-untyped-def]
    m = modes.shape[0]
    for i in prange(m):
        for j in range(m):
            transverse = k2[i] + k2[j]
            factor = -window[i] * window[j]
            for k in range(modes.shape[2]):
                total = transverse + k2[k]
                modes[i, j, k] *= factor * window[k] / total if total > 0 else np.float32(0)


@kernel(parallel=True)
def _apply_table(modes, table, low, part):  # type: ignore[no-untyped-def]
    one, points = np.float32(1), table.shape[2]
    for i in prange(modes.shape[0]):
        line = np.empty(points, np.float32)
        for j in range(modes.shape[1]):
            x, y, fx, fy = low[i], low[j], part[i], part[j]
            for p in range(points):
                near = (one - fy) * table[x, y, p] + fy * table[x, y + 1, p]
                line[p] = (one - fx) * near + fx * (
                    (one - fy) * table[x + 1, y, p] + fy * table[x + 1, y + 1, p]
                )
            for k in range(modes.shape[2]):
                z, fz = low[k], part[k]
                modes[i, j, k] *= (one - fz) * line[z] + fz * line[z + 1]


@kernel(parallel=True)
def _times_minus_i(modes, a, b, c, out):  # type: ignore[no-untyped-def]
    for i in prange(modes.shape[0]):
        for j in range(modes.shape[1]):
            for l in range(modes.shape[2]):
                z, factor = modes[i, j, l], a[i] * b[j] * c[l]
                out[i, j, l] = complex(factor * z.imag, -factor * z.real)


@kernel(parallel=True)
def _times(modes, a, b, c, out):  # type: ignore[no-untyped-def]
    for i in prange(modes.shape[0]):
        for j in range(modes.shape[1]):
            for l in range(modes.shape[2]):
                out[i, j, l] = a[i] * b[j] * c[l] * modes[i, j, l]


@kernel(parallel=True)
def _minus_minors(x, y, z, out):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = -(x[p] * y[p] + (x[p] + y[p]) * z[p])


@kernel(parallel=True)
def _add_squares(x, y, z, out):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] += x[p] * x[p] + y[p] * y[p] + z[p] * z[p]


@kernel(parallel=True)
def _add_square(x, weight, out):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] += weight * (x[p] * x[p])


@kernel(parallel=True)
def _advance(psi, v, force, alpha, beta, drift):  # type: ignore[no-untyped-def]
    for p in prange(psi.size):
        v[p] = alpha * v[p] + beta * force[p]
        psi[p] += drift * v[p]


@kernel(parallel=True)
def _advance_with_two(psi, v, force, x, y, alpha, beta, drift, kx, ky, dx, dy):  # type: ignore[no-untyped-def]
    for p in prange(psi.size):
        v[p] = alpha * v[p] + beta * force[p] + kx * x[p] + ky * y[p]
        psi[p] += drift * v[p] + dx * x[p] + dy * y[p]


@kernel(parallel=True)
def _combine2(out, a, b, x, y):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = a * x[p] + b * y[p]


@kernel(parallel=True)
def _combine3(out, a, b, c, x, y, z):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = a * x[p] + b * y[p] + c * z[p]


@kernel(parallel=True)
def _combine4(out, a, b, c, d, x, y, z, w):  # type: ignore[no-untyped-def]
    for p in prange(out.size):
        out[p] = a * x[p] + b * y[p] + c * z[p] + d * w[p]


_COMBINE = {2: _combine2, 3: _combine3, 4: _combine4}
