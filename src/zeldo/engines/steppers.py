"""Coefficients of leapfrog steps (half kick, drift, half kick) with the linear growth factor D as the time variable.

psi is the displacement and v = d psi / d D, so that v = psi_lin = F / D in the Zel'dovich approximation. A kick is
v <- alpha v + beta F, with the force F = -grad lap^-1 delta at one end of the step; the velocity between the two kicks
is the one inside the step. Steppers differ in alpha, beta and the drift alone.

A cosmology of tensors (`zeldo.cosmology.varied`) makes all of these tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from zeldo.cosmology.background import Growth, expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.scalars import Scalar, like, scalar, weighted_sum

Kick = tuple[Scalar, Scalar]  # alpha, beta
STILL: Kick = (1.0, 0.0)
NODES, SHARES = np.polynomial.legendre.leggauss(24)


class Stepper(ABC):
    """The three parts of a step from scale factor a0 to a1, from the growth of a cosmology."""

    def __init__(self, cosmology: Cosmology) -> None:
        self.cosmology, self.growth = cosmology, growth(cosmology)

    @abstractmethod
    def open(self, a0: float, a1: float) -> Kick:
        """The opening kick: from the velocity at a0 to the velocity inside the step."""

    def drift(self, a0: float, a1: float) -> Scalar:
        """The change of psi over the step, divided by the velocity inside the step. By default, that of D."""
        return scalar(self.growth.d1(a1) - self.growth.d1(a0))

    @abstractmethod
    def close(self, a0: float, a1: float) -> Kick:
        """The closing kick: from the velocity inside the step to the velocity at a1."""


class FastPM(Stepper):
    """First-order growth is exact: momentum changes by the force alone, which grows with D (Feng et al. 2016).

    Parameters
    ----------
    cosmology : Cosmology or VariedCosmology
        It gives the growth.
    """

    def open(self, a0: float, a1: float) -> Kick:
        return self._kick(a0, 0.5 * (a0 + a1), a0)

    def close(self, a0: float, a1: float) -> Kick:
        return self._kick(0.5 * (a0 + a1), a1, a1)

    def _kick(self, start: float, end: float, force: float) -> Kick:
        w0, w1 = momentum_per_velocity(self.cosmology, self.growth, np.array([start, end]))
        alpha = scalar(w0 / w1)
        return alpha, (1 - alpha) / scalar(self.growth.d1(force))


class BullFrog(Stepper):
    """First- and second-order growth are exact (Rampf, List & Hahn 2025, arXiv:2409.19049, here with kicks outside).

    On a 2LPT trajectory v = psi_lin + s grad phi2 and F / D = psi_lin + (D2 - D^2) / D grad phi2. The velocity inside a
    step has s = (D2(a1) - D2(a0)) / (D(a1) - D(a0)), so that the drift is exact; alpha follows, and beta = (1 - alpha) / D.

    Parameters
    ----------
    cosmology : Cosmology or VariedCosmology
        It gives the growth.
    """

    def open(self, a0: float, a1: float) -> Kick:
        return self._kick(second_slope(self.growth, a0), self._slope_inside(a0, a1), a0)

    def close(self, a0: float, a1: float) -> Kick:
        return self._kick(self._slope_inside(a0, a1), second_slope(self.growth, a1), a1)

    def _slope_inside(self, a0: float, a1: float) -> Scalar:
        return scalar((self.growth.d2(a1) - self.growth.d2(a0)) / (self.growth.d1(a1) - self.growth.d1(a0)))

    def _kick(self, start: Scalar, end: Scalar, a: float) -> Kick:
        d = scalar(self.growth.d1(a))
        force = scalar(self.growth.d2(a)) / d - d
        alpha = (end - force) / (start - force)
        return alpha, (1 - alpha) / d


class Cola(Stepper):
    """Residual momenta that change like a^exponent (Tassev et al. 2013, arXiv:1301.0322, appendix A.3; exponent -2.5)."""

    def __init__(self, cosmology: Cosmology, exponent: float = -2.5) -> None:
        super().__init__(cosmology)
        self.exponent = exponent

    def open(self, a0: float, a1: float) -> Kick:
        return self._kick(a0, 0.5 * (a0 + a1), a0)

    def close(self, a0: float, a1: float) -> Kick:
        return self._kick(0.5 * (a0 + a1), a1, a1)

    def drift(self, a0: float, a1: float) -> Scalar:
        middle = 0.5 * (a0 + a1)

        def rate(a: np.ndarray) -> np.ndarray:
            here = self.cosmology.omega_m
            return like(here, (a / middle) ** self.exponent) / (
                like(here, a**3) * expansion(self.cosmology, a)
            )

        # d psi = p da / (a^3 E), p = W v
        return scalar(momentum_per_velocity(self.cosmology, self.growth, middle)) * _integral(rate, a0, a1)

    def _kick(self, start: float, end: float, force: float) -> Kick:
        # d p = 3/2 Omega_m / (a^2 E) F da
        n = self.exponent
        rate = 1.5 * self.cosmology.omega_m / (force**2 * scalar(expansion(self.cosmology, force)))
        w0, w1 = momentum_per_velocity(self.cosmology, self.growth, np.array([start, end]))
        return scalar(w0 / w1), scalar(rate * (end**n - start**n) / (n * force ** (n - 1)) / w1)


STEPPERS: dict[str, Callable[[Cosmology], Stepper]] = {"bullfrog": BullFrog, "fastpm": FastPM}


def merged(first: Kick, second: Kick) -> Kick:
    """The single kick that equals two kicks by the same force."""
    return second[0] * first[0], second[0] * first[1] + second[1]


def momentum_per_velocity(cosmology: Cosmology, growth: Growth, a: float | np.ndarray) -> np.ndarray:
    """W(a) = a^3 E dD/da: the momentum p = a^2 dx/dt is W v, in Mpc/h times H0."""
    return like(cosmology.omega_m, np.square(a)) * expansion(cosmology, a) * growth.f1(a) * growth.d1(a)


def second_slope(growth: Growth, a: float) -> Scalar:
    """d D2 / d D1 at a."""
    return scalar(growth.f2(a) * growth.d2(a) / (growth.f1(a) * growth.d1(a)))


def _integral(function: Callable[[np.ndarray], np.ndarray], a0: float, a1: float) -> Scalar:
    """Gauss-Legendre quadrature with 24 points, which is exact to rounding for the smooth rates here."""
    half = 0.5 * (a1 - a0)
    return scalar(half * weighted_sum(SHARES, function(a0 + half * (NODES + 1))))
