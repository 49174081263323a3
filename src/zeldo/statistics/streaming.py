"""Statistics of a universe on disk, some lattice planes at a time: memory is that of the mesh, however large it is."""

from __future__ import annotations

import numpy as np

from zeldo.cosmology.parameters import same_parameter
from zeldo.errors import InputError
from zeldo.keywords import PathLike
from zeldo.mesh.checks import check_mesh
from zeldo.statistics.on_disk import OnDisk
from zeldo.statistics.spectra import Spectrum, cross_power, spectrum


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
    here = OnDisk.open(path, redshift)
    return spectrum(here.modes(check_mesh(here.n if mesh is None else mesh)), here.box)


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
    here = OnDisk.open(path, redshift)
    mesh, against = check_mesh(here.n if mesh is None else mesh), OnDisk.open(other, here.redshift)
    box = here.box
    if not same_parameter(against.box, box):
        raise InputError(
            f"{path} and {other} are boxes of {box:g} and {against.box:g} Mpc/h: give universes of one box"
        )
    a, b = here.modes(mesh), against.modes(mesh)
    power, reference, cross = cross_power(a, a, box), cross_power(b, b, box), cross_power(a, b, box)
    k = spectrum(a, box).k
    return k, np.sqrt(power / reference), 1 - cross**2 / (power * reference)
