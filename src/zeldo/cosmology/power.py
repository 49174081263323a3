"""The linear matter power spectrum today, normalised to sigma_8, from any of three sources."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology, check_cosmology
from zeldo.cosmology.top_hat import top_hat
from zeldo.errors import InputError, ZeldoWarning, nearest
from zeldo.keywords import check_plain

MODELS = ("camb", "eisenstein-hu")
SCALED = 0.01  # by what share the sigma_8 of a table may differ from that of the cosmology without a word


class LinearPower:
    """P(k) today as a function of wavenumber.

    Between the points of its table it is a cubic spline of ln P over ln k. Beyond either end it is the power law through the
    last two points, and at k = 0 it is zero. A call with k in h/Mpc, of any shape, returns float64 in (Mpc/h)^3. It raises
    `InputError` where k is negative, not finite, or has a unit.

    Parameters
    ----------
    k : ndarray
        Wavenumbers of the table, h/Mpc, rising.
    p : ndarray
        Power there, (Mpc/h)^3.
    model : str
        Where it came from.
    """

    def __init__(self, k: np.ndarray, p: np.ndarray, model: str) -> None:
        from scipy.interpolate import CubicSpline

        self.k = np.array(k, dtype=np.float64)
        self.p = np.array(p, dtype=np.float64)
        self.k.flags.writeable = self.p.flags.writeable = False
        self.model = model
        self._lnk, self._lnp = np.log(self.k), np.log(self.p)
        self._spline = CubicSpline(self._lnk, self._lnp)
        ends = np.diff(self._lnp) / np.diff(self._lnk)
        self._slopes = ends[0], ends[-1]

    def __call__(self, k: float | np.ndarray) -> np.ndarray:
        check_plain(k, "k")
        k = np.asarray(k, dtype=np.float64)
        if not (np.isfinite(k).all() and (k >= 0).all()):
            raise InputError("a k for P(k) is negative or not finite: give k >= 0 in h/Mpc")
        with np.errstate(divide="ignore"):
            x = np.log(k)
        inside = np.clip(x, self._lnk[0], self._lnk[-1])
        lnp = self._spline(inside)
        # the clip left nothing of -inf, the logarithm of k = 0: it comes back here and exp makes it 0
        with np.errstate(invalid="ignore"):
            lnp += np.where(x < self._lnk[0], self._slopes[0] * (x - inside), 0.0)
            lnp += np.where(x > self._lnk[-1], self._slopes[1] * (x - inside), 0.0)
        return np.where(k > 0, np.exp(np.minimum(lnp, 700.0)), 0.0)

    def __repr__(self) -> str:
        return f"LinearPower({self.model!r}, k from {self.k[0]:.3g} to {self.k[-1]:.3g} h/Mpc)"


def sigma_r(power: Callable[[np.ndarray], np.ndarray], radius: float = 8.0) -> float:
    """Linear rms density contrast in spheres of `radius` Mpc/h (integral of k^3 P W^2 / 2 pi^2 over ln k)."""
    if not radius > 0 or not np.isfinite(radius):
        raise InputError(f"radius = {radius!r} is not allowed: give a positive radius in Mpc/h")
    # The integrand falls off as k^4 and k^-3 or faster: on this range the trapezoid sum is good to 1e-6
    # for every radius from 0.1 to 1000 Mpc/h.
    lnk = np.linspace(np.log(1e-6), np.log(1e3 / min(radius, 8.0)), 20001)
    k = np.exp(lnk)
    integrand = k**3 * power(k) * top_hat(k * radius) ** 2 / (2 * np.pi**2)
    return float(np.sqrt(np.trapezoid(integrand, lnk)))


def check_model(model: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The model of linear power where it is one of `MODELS` or a file.

    Parameters
    ----------
    model : str or path
        What the user gave.

    Raises
    ------
    InputError
        For another.
    """
    if (isinstance(model, str) and model in MODELS) or (
        isinstance(model, str | os.PathLike) and Path(model).is_file()
    ):
        return model
    raise InputError(
        f"power model {str(model)!r} is neither {' nor '.join(MODELS)} nor a file: "
        f"give one of these or the path of a table of k (h/Mpc) and P{nearest(str(model), MODELS)}"
    )


def check_table(cosmology: Cosmology, model: str | os.PathLike[str]) -> None:
    """`InputError` for a file that is no table of linear power for this cosmology; `MODELS` need no look."""
    if model not in MODELS:
        linear_power(cosmology, model)


def linear_power(cosmology: Cosmology, model: str | os.PathLike[str] = "camb") -> LinearPower:
    """The linear power spectrum of matter today, normalised to the cosmology's sigma_8.

    Radiation enters the transfer function only. Neutrinos have no mass, so all of omega_m is cold dark matter and
    baryons.

    Parameters
    ----------
    cosmology : Cosmology
        It gives the shape, and the amplitude sigma_8.
    model : str or path
        "camb" (Lewis, Challinor & Lasenby 2000), whose result is kept for the next call; "eisenstein-hu" (Eisenstein & Hu
        1998), which is instant and accurate to a few per cent; or a text file with columns k in h/Mpc and P in any unit. The
        table goes on beyond its ends with the shape of Eisenstein & Hu.

    Returns
    -------
    LinearPower
        P(k) in (Mpc/h)^3 as a function of k in h/Mpc.

    Raises
    ------
    InputError
        For an unknown model, a cosmology that CAMB refuses, and a table whose shape is far from that of cold dark matter in
        this cosmology.
    """
    check_cosmology(cosmology)
    model = check_model(model)
    if model in MODELS:
        return _computed(cosmology, str(model))
    path = Path(model)
    status = path.stat()
    return _tabulated(cosmology, str(path.resolve()), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _computed(cosmology: Cosmology, model: str) -> LinearPower:
    if model == "camb":
        from zeldo.cosmology.camb_power import camb_table

        return normalised(*camb_table(cosmology), cosmology.sigma_8, model)
    from zeldo.cosmology.eisenstein_hu import eisenstein_hu_table

    return normalised(*eisenstein_hu_table(cosmology), cosmology.sigma_8, model)


@lru_cache(maxsize=64)
def _tabulated(cosmology: Cosmology, path: str, modified: int, size: int) -> LinearPower:
    from zeldo.cosmology.eisenstein_hu import eisenstein_hu_table
    from zeldo.cosmology.table_power import check_shape, continued, read_table

    k, p = read_table(path)
    expected = LinearPower(*eisenstein_hu_table(cosmology), "eisenstein-hu")
    check_shape(k, p, expected, cosmology.h, path)
    own = sigma_r(LinearPower(k, p, path), 8.0)
    if abs(own / cosmology.sigma_8 - 1) > SCALED:
        _say_that_it_is_scaled(path, own)
    return normalised(*continued(k, p, expected), cosmology.sigma_8, path)


@lru_cache(maxsize=64)
def _say_that_it_is_scaled(path: str, own: float) -> None:
    """Warn, once for each table: a suite may scale it to many values."""
    warnings.warn(
        f"{path} has sigma_8 = {own:.4g}, and is scaled to that of the cosmology: give sigma_8 = {own:.4g} (--sigma-8) to "
        "keep its amplitude, if its P is that of z = 0",
        ZeldoWarning,
        stacklevel=2,
    )


def normalised(k: np.ndarray, p: np.ndarray, sigma_8: float, model: str) -> LinearPower:
    """`LinearPower` of a table (k in h/Mpc) with the amplitude that gives sigma_8."""
    now = sigma_r(LinearPower(k, p, model), 8.0)
    if not np.isfinite(now) or now <= 0:
        raise InputError(f"the power spectrum of {model} has no finite sigma_8: check its values")
    return LinearPower(k, p * (sigma_8 / now) ** 2, model)
