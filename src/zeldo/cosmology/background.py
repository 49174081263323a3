"""Expansion and growth of a flat universe of matter and dark energy.

Time is the scale factor a, H0 = 1, and lengths are comoving. With the momentum p = a^2 dx/dt of a particle and the force
F = -grad lap^-1 delta, the equations of motion are

    dx/da = p / (a^3 E)        dp/da = (3/2) Omega_m / (a^2 E) F
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from zeldo.cosmology.parameters import Cosmology, check_cosmology
from zeldo.errors import ConvergenceError, InputError
from zeldo.keywords import check_plain

# 3 H0^2 / (8 pi G) today, 10^10 Msun/h / (Mpc/h)^3; codes differ by 3e-4 in G
CRITICAL_DENSITY = 27.7536627

ROUNDING = 1e-11  # relative, of D1
A_EARLY, A_LATE = 1e-4, 20.0  # the range of the growth tables, which begin earlier where dark energy is old
NODES = 1500  # of the tables between these
NEGLIGIBLE = 1e-7  # of matter: the dark energy with which growth begins as in an Einstein-de Sitter universe


def matter_era(omega_m: float, w0: float, wa: float) -> float:
    """The scale factor at which the growth equations start: A_EARLY, or where dark energy is negligible before."""
    w = w0 + wa
    dark = (1 - omega_m) / omega_m * np.exp(-3 * wa) * A_EARLY ** (-3 * w)
    return A_EARLY * min(1.0, NEGLIGIBLE / max(dark, NEGLIGIBLE)) ** (1 / (-3 * w))


def expansion(cosmology: Cosmology, a: ArrayLike) -> np.ndarray:
    """The expansion rate in units of today's, E(a) = H(a) / H0.

    Parameters
    ----------
    cosmology : Cosmology
        Flat, with w(a) = w0 + wa (1 - a) (Linder 2003, arXiv:astro-ph/0208512). A cosmology of tensors
        (`zeldo.cosmology.varied`) gives a tensor.
    a : array_like
        Scale factor, any shape.

    Returns
    -------
    ndarray
        float64, of the shape of `a`.
    """
    if not isinstance(cosmology, Cosmology):
        _check_varied(cosmology)
        return cosmology.expansion(a)
    check_plain(a, "the scale factor")
    a = np.asarray(a, dtype=float)
    if not np.all(a > 0):
        raise InputError(f"scale factor {a} is not allowed: give more than 0")
    return np.sqrt(cosmology.omega_m * a**-3 + cosmology.omega_de * _dark_energy(cosmology, a))


def omega_m_at(cosmology: Cosmology, a: ArrayLike) -> np.ndarray:
    """Matter over critical density at a scale factor, Omega_m(a).

    Parameters
    ----------
    cosmology : Cosmology
        It gives the expansion.
    a : array_like
        Scale factor, any shape.

    Returns
    -------
    ndarray
        float64, of the shape of `a`.
    """
    check_plain(a, "the scale factor")
    a = np.asarray(a, dtype=float)
    return cosmology.omega_m * a**-3 / expansion(cosmology, a) ** 2


def _dark_energy(cosmology: Cosmology, a: np.ndarray) -> np.ndarray:
    """Dark energy density in units of today's."""
    w0, wa = cosmology.w0, cosmology.wa
    return a ** (-3 * (1 + w0 + wa)) * np.exp(-3 * wa * (1 - a))


def _dlne_dlna(cosmology: Cosmology, a: np.ndarray) -> np.ndarray:
    matter = cosmology.omega_m * a**-3
    dark = cosmology.omega_de * _dark_energy(cosmology, a)
    w = cosmology.w0 + cosmology.wa * (1 - a)
    return -1.5 * (matter + (1 + w) * dark) / (matter + dark)


class Growth:
    """Growth factors of one cosmology to second order. All methods take a > 0 of any shape, up to a = 20.

    They solve these equations, where ' is d/dln a (Bouchet et al. 1995, arXiv:astro-ph/9406013):

        D1'' + (2 + dlnE/dlna) D1' = (3/2) Omega_m(a) D1
        D2'' + (2 + dlnE/dlna) D2' = (3/2) Omega_m(a) (D2 - D1^2)

    The normalisation is D1(1) = 1. In an Einstein-de Sitter universe D2 = -3/7 D1^2.
    """

    def __init__(self, cosmology: Cosmology):
        from scipy.integrate import solve_ivp
        from scipy.interpolate import CubicHermiteSpline

        def rhs(lna: float | np.ndarray, y: np.ndarray) -> list[np.ndarray]:
            a = np.exp(lna)
            friction = 2 + _dlne_dlna(cosmology, a)
            source = 1.5 * omega_m_at(cosmology, a)
            return [
                y[1],
                source * y[0] - friction * y[1],
                y[3],
                source * (y[2] - y[0] ** 2) - friction * y[3],
            ]

        a0 = matter_era(cosmology.omega_m, cosmology.w0, cosmology.wa)
        span = np.log([a0, A_LATE])
        start = [a0, a0, -3 / 7 * a0**2, -6 / 7 * a0**2]
        whole = np.log(A_LATE / A_EARLY)
        nodes = np.linspace(span[0], span[1], round(NODES * (span[1] - span[0]) / whole))
        scale = np.abs(start)
        solution = solve_ivp(rhs, span, start, method="DOP853", t_eval=nodes, rtol=1e-10, atol=1e-10 * scale)
        if not solution.success:
            raise ConvergenceError(f"the growth equation of {cosmology} did not converge: {solution.message}")
        d1, dd1, d2, dd2 = solution.y
        # ln D is smooth enough for a cubic spline to 1e-9; its slope f is tabulated beside it
        self._ln1 = CubicHermiteSpline(nodes, np.log(d1), dd1 / d1)
        self._ln2 = CubicHermiteSpline(nodes, np.log(-d2), dd2 / d2)
        _, slope1, _, slope2 = rhs(nodes, solution.y)
        self._f1 = CubicHermiteSpline(nodes, dd1 / d1, slope1 / d1 - (dd1 / d1) ** 2)
        self._f2 = CubicHermiteSpline(nodes, dd2 / d2, slope2 / d2 - (dd2 / d2) ** 2)
        self._norm = float(self._ln1(0.0))
        self._first = span[0]  # before it is Einstein-de Sitter
        self._nodes = (nodes, np.log(d1) - self._norm)

    def _lna(self, a: ArrayLike) -> np.ndarray:
        check_plain(a, "the scale factor")
        a = np.asarray(a, dtype=float)
        if not np.all((a > 0) & (a <= A_LATE)):
            raise InputError(f"scale factor {a} is not allowed: growth is known for 0 < a <= {A_LATE:g}")
        return np.log(a)

    def d1(self, a: ArrayLike) -> np.ndarray:
        """Linear growth factor, D1(1) = 1."""
        lna = self._lna(a)
        early = self._first
        return np.exp(self._ln1(np.maximum(lna, early)) - self._norm + np.minimum(lna - early, 0))

    def d2(self, a: ArrayLike) -> np.ndarray:
        """Second-order growth factor, negative."""
        lna = self._lna(a)
        early = self._first
        return -np.exp(self._ln2(np.maximum(lna, early)) - 2 * self._norm + 2 * np.minimum(lna - early, 0))

    def f1(self, a: ArrayLike) -> np.ndarray:
        """dln D1 / dln a."""
        return self._f1(np.maximum(self._lna(a), self._first))

    def f2(self, a: ArrayLike) -> np.ndarray:
        """dln |D2| / dln a."""
        return self._f2(np.maximum(self._lna(a), self._first))

    def a_of_d1(self, d: ArrayLike) -> np.ndarray:
        """The scale factor at which the linear growth factor is d (scalar or array)."""
        from scipy.interpolate import CubicHermiteSpline

        d = np.asarray(d, dtype=float)
        nodes, lnd = self._nodes
        most = np.exp(lnd[-1])
        if not np.all((d > 0) & (d <= most * (1 + ROUNDING))):
            raise InputError(f"growth factor {d} is not allowed: give 0 < D1 <= {most:.3g}")
        # dark energy may end the growth long before the last node
        rising = int(np.append(np.diff(lnd) > ROUNDING, False).argmin()) + 1
        nodes, lnd = nodes[:rising], lnd[:rising]
        inverse = CubicHermiteSpline(lnd, nodes, 1 / self._f1(nodes))
        early = np.minimum(np.log(d) - lnd[0], 0)
        return np.exp(inverse(np.clip(np.log(d), lnd[0], lnd[-1])) + early)


def growth(cosmology: Cosmology) -> Growth:
    """The growth factors of a cosmology, solved once and kept.

    Parameters
    ----------
    cosmology : Cosmology
        Matter and dark energy decide its growth. One of tensors (`zeldo.cosmology.varied`) brings growth factors that are
        tensors.

    Returns
    -------
    Growth
        With the methods d1, d2, f1 and f2; that of a `Cosmology` has a_of_d1 too.
    """
    if isinstance(cosmology, Cosmology):
        return _growth(cosmology)
    _check_varied(cosmology)
    return cosmology.growth


def _check_varied(cosmology: object) -> None:
    """`InputError` for what is no cosmology of tensors either, which has its background itself."""
    if not hasattr(type(cosmology), "growth"):
        check_cosmology(cosmology)


@lru_cache(maxsize=1024)
def _growth(cosmology: Cosmology) -> Growth:
    return Growth(cosmology)
