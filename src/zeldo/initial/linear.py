"""The linear density field of a cosmology and a seed."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions, check_grid
from zeldo.initial.phase_names import named
from zeldo.initial.phases import Phases, check_given
from zeldo.mesh import fft

PASSES = 64  # pieces of a mesh whose amplitudes are computed one after the other


def initial_conditions(
    cosmology: Cosmology,
    box: float = 250.0,
    n: int = 128,
    seed: int | None = None,
    *,
    fixed: bool = False,
    flip: bool = False,
    power: str | PathLike[str] | Callable[[np.ndarray], np.ndarray] = "camb",
    phases: str | Phases = "native",
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
    seed : int, optional
        The same large scales for every n of the same box; 7 where absent.
    fixed, flip : bool
        Unit amplitudes, and inverted phases (Angulo & Pontzen 2016, arXiv:1603.05253).
    power : str, path or callable
        "camb", "eisenstein-hu", a table file, or a function P(k) in (Mpc/h)^3 of k in h/Mpc.
    phases : str or Phases
        A name that `named` knows, or phases, which bring their own seed, fixed and flip.

    Returns
    -------
    InitialConditions

    Raises
    ------
    InputError
        For a value that is not allowed.
    """
    box, n = check_grid(box, n)
    if not isinstance(phases, Phases):
        phases = named(phases, seed=seed, fixed=fixed, flip=flip)
    else:
        check_given(phases, {"seed": seed, "fixed": fixed or None, "flip": flip or None})
    check_given(phases, {"box": box, "cosmology": cosmology} if phases.cosmology else {})
    if not callable(power):
        from zeldo.cosmology.power import linear_power

        power = linear_power(cosmology, power)
    mesh = phases.mesh(n)
    modes = phases.modes(mesh)
    scale_to_power(modes, power, box)
    if mesh > n:
        from zeldo.initial.ngenic import fold

        modes = fold(modes, n)
    model = getattr(power, "model", None)  # a table's path, of which the name says enough
    name = Path(model).name if model else None
    field = fft.inverse(modes, n, scratch=True)
    return InitialConditions(
        box, n, cosmology, field, phases.seed, phases.fixed, phases.flip, name, phases.label
    )


def field_of_modes(modes: np.ndarray) -> np.ndarray:
    """The linear density field whose modes are given, as FastPM and Pylians write them.

    Parameters
    ----------
    modes : ndarray
        (n, n, n // 2 + 1) complex, delta_k = (1 / n^3) sum delta exp(-ikx). The mean mode and Nyquist planes are cleared.

    Returns
    -------
    ndarray
        (n, n, n) float32.

    Raises
    ------
    InputError
        For another shape, and for numbers that are not complex.
    """
    modes = np.asarray(modes)
    n = modes.shape[0] if modes.ndim == 3 else 0
    if modes.shape != (n, n, n // 2 + 1) or modes.dtype.kind != "c" or n < 4 or n % 2:
        raise InputError(
            f"delta_k is {modes.dtype} of shape {modes.shape}: give complex modes of shape (n, n, n // 2 + 1), n even"
        )
    modes = fft.zero_nyquist(modes.astype(np.complex64))
    modes *= np.float32(n**3)
    modes[0, 0, 0] = 0
    return fft.inverse(modes, n, scratch=True)


def scale_to_power(modes: np.ndarray, power: Callable[[np.ndarray], np.ndarray], box: float) -> None:
    """Multiply white noise by its `amplitude` in place, some planes at a time."""
    n = modes.shape[0]
    table = _amplitudes(power, box, n)
    thickness = max(1, n // PASSES)
    for first in range(0, n, thickness):
        end = min(first + thickness, n)
        modes[first:end] *= table[_squares(n, first, end)]


def amplitude(power: Callable[[np.ndarray], np.ndarray], box: float, n: int) -> np.ndarray:
    """sqrt(P(k) / V) n^3 for each mode, (n, n, n // 2 + 1) float32, so that <|delta_k|^2> / n^6 = P / V."""
    return _amplitudes(power, box, n)[_squares(n, 0, n)]


def _amplitudes(power: Callable[[np.ndarray], np.ndarray], box: float, n: int) -> np.ndarray:
    """The amplitude by |k|^2 in fundamental modes: a whole number, so that P is evaluated once for each that occurs."""
    values = np.sqrt(np.arange(1, 3 * (n // 2) ** 2 + 1)) * (2 * np.pi / box)
    return np.concatenate([[0.0], np.sqrt(power(values) / box**3) * n**3]).astype(np.float32)


def _squares(n: int, first: int, end: int) -> np.ndarray:
    """|k|^2 in fundamental modes on some planes."""
    kx, ky, kz = (k.astype(np.int64) for k in fft.wavenumbers(n))
    return kx[first:end] ** 2 + ky**2 + kz**2
