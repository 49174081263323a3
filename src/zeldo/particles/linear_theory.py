"""What linear theory expects of the displacements on a lattice: enough to tell a universe from a wrong order of ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import Cosmology

LIKELY = {"omega_m": 0.31, "omega_b": 0.049, "h": 0.68, "sigma_8": 0.9, "n_s": 0.97}  # where a file is silent


def expected_displacement(
    parameters: Mapping[str, float], box: float, n: int, redshift: float
) -> tuple[float, float]:
    """The rms displacement along an axis, and how much of its variance neighbours differ by.

    The power is that of Eisenstein & Hu 1998 without wiggles (astro-ph/9709112), which is accurate to several per cent.

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
    power = _shape(k, cosmology)
    power *= cosmology.sigma_8**2 / _variance(k, power)
    amplitude = float(growth(cosmology).d1(1 / (1 + redshift)))
    spacing = box / n
    on_lattice = (k > 2 * np.pi / box) & (k < np.pi / spacing)
    weight = np.where(on_lattice, power, 0.0)
    variance = float(np.trapezoid(weight, k)) / (6 * np.pi**2)
    correlation = float(np.trapezoid(weight * np.sinc(k * spacing / np.pi), k)) / (6 * np.pi**2)
    return amplitude * variance**0.5, 1 - correlation / variance


def _shape(k: np.ndarray, cosmology: Cosmology) -> np.ndarray:
    """Eisenstein & Hu 1998, (29) to (31), k in h/Mpc."""
    matter, baryons, h = cosmology.omega_m * cosmology.h**2, cosmology.omega_b * cosmology.h**2, cosmology.h
    fraction = cosmology.omega_b / cosmology.omega_m
    sound = 44.5 * np.log(9.83 / matter) / np.sqrt(1 + 10 * baryons**0.75)  # Mpc
    alpha = 1 - 0.328 * np.log(431 * matter) * fraction + 0.38 * np.log(22.3 * matter) * fraction**2
    gamma = cosmology.omega_m * h * (alpha + (1 - alpha) / (1 + (0.43 * k * h * sound) ** 4))
    q = k * (2.7255 / 2.7) ** 2 / gamma
    logarithm = np.log(2 * np.e + 1.8 * q)
    transfer = logarithm / (logarithm + (14.2 + 731 / (1 + 62.5 * q)) * q**2)
    shape: np.ndarray = k**cosmology.n_s * transfer**2
    return shape


def _variance(k: np.ndarray, power: np.ndarray) -> float:
    """sigma_8^2 of a power spectrum."""
    x = 8 * k
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    return float(np.trapezoid(power * window**2 * k**2, k)) / (2 * np.pi**2)
