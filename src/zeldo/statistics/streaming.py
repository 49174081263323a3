"""Statistics of a universe on disk, some lattice planes at a time: memory is that of the mesh, however large it is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.files.universe_zarr import UniverseZarr
from zeldo.mesh import splines
from zeldo.statistics.spectra import (
    CUBIC_SPLINE,
    Spectrum,
    check_mesh,
    cross_power,
    interlaced,
    spectrum,
)

PathLike = str | os.PathLike[str]


def stream_positions(universe: UniverseZarr, redshift: float) -> Iterator[np.ndarray]:
    """Positions of all particles, (rows, 3) float64, Mpc/h, not wrapped, in lattice order."""
    n, spacing = universe.n, universe.header["box"] / universe.n
    axis = np.arange(n) * spacing
    for first, psi in universe.slabs(redshift):
        x = np.empty((*psi.shape[1:], 3))
        x[..., 0] = axis[first : first + psi.shape[1], None, None] + psi[0]
        x[..., 1] = axis[:, None] + psi[1]
        x[..., 2] = axis + psi[2]
        yield x.reshape(-1, 3)


def stream_density_modes(universe: UniverseZarr, mesh: int, redshift: float) -> torch.Tensor:
    """delta_k of a universe on disk; see `density_modes`.

    Parameters
    ----------
    universe : UniverseZarr
    mesh : int
        Points per side, even.
    redshift : float

    Returns
    -------
    tensor
        (mesh, mesh, mesh // 2 + 1) complex64.
    """
    box = universe.header["box"]

    def paint(offset: float) -> torch.Tensor:
        density = np.zeros((mesh, mesh, mesh), np.float32)
        for x in stream_positions(universe, redshift):
            # the mean of a piece is one particle a cell of the whole mesh: here each counts by its share
            density += splines.paint(x, mesh, box, offset) * np.float32(len(x) / universe.n**3)
        return torch.from_numpy(density)

    return interlaced(paint, mesh, CUBIC_SPLINE)


def stream_power_spectrum(
    path: PathLike, redshift: float | None = None, *, mesh: int | None = None
) -> Spectrum:
    """P(k) of a universe on disk, by the method of `power_spectrum`.

    Parameters
    ----------
    path : path
        Of a universe that `run` wrote to a name that ends in .zarr.
    redshift : float, optional
        One of its redshifts; the lowest by default.
    mesh : int, optional
        Points per side; as many as particles by default. Memory is some 30 bytes a mesh point.

    Returns
    -------
    Spectrum

    Raises
    ------
    InputError
        For another path or redshift, and a mesh that is odd or too small.
    """
    universe, z, mesh = _opened(path, redshift, mesh)
    return spectrum(stream_density_modes(universe, mesh, z), universe.header["box"])


def stream_cross(
    path: PathLike, other: PathLike, redshift: float | None = None, *, mesh: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transfer function and 1 - r^2 of the densities of two universes on disk.

    Parameters
    ----------
    path, other : path
        Of a universe, and of the one that it is held against.
    redshift, mesh
        As in `stream_power_spectrum`.

    Returns
    -------
    k, transfer, one_minus_r2 : ndarray
        h/Mpc, sqrt(P / P_other), and 1 - P_cross^2 / (P P_other), by bins of the fundamental mode.
    """
    universe, z, mesh = _opened(path, redshift, mesh)
    against, other_z, _ = _opened(other, z, mesh)
    box = universe.header["box"]
    if against.header["box"] != box:
        raise InputError(f"{path} and {other} are boxes of {box:g} and {against.header['box']:g} Mpc/h")
    a, b = stream_density_modes(universe, mesh, z), stream_density_modes(against, mesh, other_z)
    power, reference, cross = cross_power(a, a, box), cross_power(b, b, box), cross_power(a, b, box)
    k = spectrum(a, box).k
    return k, np.sqrt(power / reference), 1 - cross**2 / (power * reference)


def stream_slice(
    path: PathLike,
    redshift: float | None = None,
    *,
    axis: int = 2,
    low: float = 0.0,
    high: float | None = None,
    pixels: int = 512,
) -> np.ndarray:
    """Surface density of a slice through a universe on disk.

    Parameters
    ----------
    path, redshift
        As in `stream_power_spectrum`.
    axis : {0, 1, 2}
        Along which the slice is thin.
    low, high : float
        Its limits, Mpc/h; a tenth of the box from 0 on by default.
    pixels : int
        Per side.

    Returns
    -------
    ndarray, (pixels, pixels)
        In units of the mean; the first index is along the lower of the two other axes.
    """
    universe, z, _ = _opened(path, redshift, None)
    box = universe.header["box"]
    high = low + box / 10 if high is None else high
    if axis not in (0, 1, 2) or not 0 <= low < high <= box or pixels < 1:
        raise InputError(
            f"a slice from {low:g} to {high:g} along axis {axis} is not possible: give axis 0 to 2, limits in [0, {box:g}]"
        )
    a, b = (other for other in range(3) if other != axis)
    counts = np.zeros(pixels * pixels)
    for x in stream_positions(universe, z):
        x %= box
        inside = x[(x[:, axis] >= low) & (x[:, axis] < high)]
        cells = np.minimum((inside[:, [a, b]] * (pixels / box)).astype(np.int64), pixels - 1)
        counts += np.bincount(cells[:, 0] * pixels + cells[:, 1], minlength=pixels**2)
    mean = universe.n**3 * (high - low) / box / pixels**2
    return (counts / mean).reshape(pixels, pixels)


def _opened(path: PathLike, redshift: float | None, mesh: int | None) -> tuple[UniverseZarr, float, int]:
    universe = UniverseZarr(path)
    z = min(universe.redshifts) if redshift is None else universe.nearest(redshift)
    return universe, z, check_mesh(universe.n if mesh is None else mesh)
