"""What linear theory expects of the displacements on a lattice: enough to tell a universe from a wrong order of ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zeldo.cosmology.background import growth
from zeldo.cosmology.eisenstein_hu import eisenstein_hu_power
from zeldo.cosmology.parameters import Cosmology

# where a file is silent
LIKELY = {"omega_m": 0.31, "omega_b": 0.049, "h": 0.68, "sigma_8": 0.9, "n_s": 0.97, "w0": -1.0, "wa": 0.0}


def expected_displacement(
    parameters: Mapping[str, float], box: float, n: int, redshift: float
) -> tuple[float, float]:
    """The rms displacement along an axis, and how much of its variance neighbours differ by.

    The power is that of Eisenstein & Hu 1998 (astro-ph/9709112), which is accurate to several per cent.

    Parameters
    ----------
    parameters : mapping of str to float
        Those that are known, by the names of `Cosmology`.
    box : float
        Mpc/h.
    n : int
        Particles per side.
    redshift : float

    Returns
    -------
    rms : float
        Mpc/h.
    roughness : float
        The mean square difference of neighbours over twice the variance: near 0 for smooth fields, 1 for noise.
    """
    given = {name: value for name, value in parameters.items() if name in LIKELY}
    cosmology = Cosmology(**{**LIKELY, **given})
    k = np.geomspace(1e-4, 100.0, 2000)
    c = cosmology
    power = eisenstein_hu_power(k, c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8)
    amplitude = float(growth(cosmology).d1(1 / (1 + redshift)))
    spacing = box / n
    on_lattice = (k > 2 * np.pi / box) & (k < np.pi / spacing)
    weight = np.where(on_lattice, power, 0.0)
    variance = float(np.trapezoid(weight, k)) / (6 * np.pi**2)
    correlation = float(np.trapezoid(weight * np.sinc(k * spacing / np.pi), k)) / (6 * np.pi**2)
    return amplitude * variance**0.5, 1 - correlation / variance


def expected_contrast(cosmology: Cosmology, box: float, n: int) -> float:
    """The rms linear density contrast today on a lattice, by the same power."""
    c, fundamental = cosmology, 2 * np.pi / box
    k = np.geomspace(0.999 * fundamental, np.sqrt(3) * fundamental * n / 2, 1000)
    power = eisenstein_hu_power(k, c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8)
    return variance_on_lattice(k, power, box, n) ** 0.5


def variance_on_lattice(k: np.ndarray, power: np.ndarray, box: float, n: int) -> float:
    """The variance of a field with this power on a lattice, whose modes below Nyquist lie in a cube of wavenumbers.

    Parameters
    ----------
    k, power : ndarray
        A table, h/Mpc and (Mpc/h)^3; below its first row there is no power.
    box : float
        Mpc/h.
    n : int
        Points per side.
    """
    axis = np.arange(n // 2) * (2 * np.pi / box)  # all signs of a component are one but of zero
    times = np.where(axis > 0, 2.0, 1.0)
    total = 0.0
    for kx, count in zip(axis, times, strict=True):
        on_plane = np.interp(np.sqrt(kx**2 + axis[:, None] ** 2 + axis**2), k, power, left=0.0)
        if kx == 0:
            on_plane[0, 0] = 0.0
        total += count * float(times @ on_plane @ times)
    return total / box**3
