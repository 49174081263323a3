"""The linear density field of a cosmology and a seed."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.initial.conditions import InitialConditions, check_grid
from zeldo.initial.noise import white_noise
from zeldo.mesh import fft


def initial_conditions(
    cosmology: Cosmology,
    box: float = 250.0,
    n: int = 128,
    seed: int = 7,
    *,
    fixed: bool = False,
    flip: bool = False,
    power: str | PathLike[str] | Callable[[np.ndarray], np.ndarray] = "camb",
) -> InitialConditions:
    """A Gaussian realisation of the linear density today, made of the lattice's own modes.

    Parameters
    ----------
    cosmology : Cosmology
        It gives the linear power.
    box : float
        Side of the box, Mpc/h.
    n : int
        Particles per side, even.
    seed : int
        The same large scales for every n of the same box.
    fixed, flip : bool
        Unit amplitudes, and inverted phases (Angulo & Pontzen 2016, arXiv:1603.05253).
    power : str, path or callable
        "camb", "eisenstein-hu", a table file, or a function P(k) in (Mpc/h)^3 of k in h/Mpc.

    Returns
    -------
    InitialConditions

    Raises
    ------
    InputError
        For a value that is not allowed.
    """
    box, n = check_grid(box, n)
    if not callable(power):
        from zeldo.cosmology.power import linear_power

        power = linear_power(cosmology, power)
    modes = white_noise(n, seed, fixed=fixed, flip=flip)
    modes *= amplitude(power, box, n)
    model = getattr(power, "model", None)  # a table's path, of which the name says enough
    name = Path(model).name if model else None
    return InitialConditions(box, n, cosmology, fft.inverse(modes, n, scratch=True), seed, fixed, flip, name)


def amplitude(power: Callable[[np.ndarray], np.ndarray], box: float, n: int) -> np.ndarray:
    """sqrt(P(k) / V) n^3 for each mode, (n, n, n // 2 + 1) float32, so that <|delta_k|^2> / n^6 = P / V."""
    kx, ky, kz = fft.wavenumbers(n)
    square = (kx**2 + ky**2 + kz**2).astype(np.int64)
    # |k|^2 is a whole number of fundamental modes: P is evaluated once for each value that occurs
    values = np.sqrt(np.arange(1, square.max() + 1)) * (2 * np.pi / box)
    table = np.concatenate([[0.0], np.sqrt(power(values) / box**3) * n**3])
    return table.astype(np.float32)[square]
