"""Time steppers of the mesh engines: drift half a step, kick, drift half a step, in the linear growth factor D.

State: psi, the displacement, and v = d psi / d D. The force F = -grad lap^-1 delta is D psi_lin at first order, so that
psi_lin = v = F / D is exact under Zel'dovich. A kick from D0 to D1 with the force at Dh, in between, reads

    v <- alpha v + (1 - alpha) F / Dh

which keeps first-order growth exact whatever alpha is; the steppers differ in alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeldo.cosmology.background import Growth, expansion
from zeldo.cosmology.parameters import Cosmology


@dataclass(frozen=True)
class Step:
    """One step from growth factor d0 to d1: force at dh, weight alpha of the old velocity."""

    d0: float
    dh: float
    d1: float
    alpha: float


def momentum_per_velocity(cosmology: Cosmology, growth: Growth, a: np.ndarray) -> np.ndarray:
    """W(a) = a^3 E dD/da: the momentum p = a^2 dx/dt is W v, in Mpc/h times H0."""
    return a**2 * expansion(cosmology, a) * growth.f1(a) * growth.d1(a)


def fastpm(cosmology: Cosmology, growth: Growth, d0: float, d1: float) -> float:
    """alpha of FastPM (Feng et al. 2016, arXiv:1603.00476): momentum is kept but for the force, W(a0) / W(a1)."""
    w0, w1 = momentum_per_velocity(cosmology, growth, growth.a_of_d1(np.array([d0, d1])))
    return float(w0 / w1)


def bullfrog(cosmology: Cosmology, growth: Growth, d0: float, d1: float) -> float:
    """alpha of BullFrog (Rampf, List & Hahn 2024, arXiv:2409.19049, eqs. 2.14-2.15): second-order growth is exact."""
    a0, a1 = growth.a_of_d1(np.array([d0, d1]))
    e0, slope0 = growth.d2(a0), second_slope(growth, a0)
    dh = 0.5 * (d0 + d1)
    middle = (e0 + slope0 * 0.5 * (d1 - d0)) / dh - dh
    return float((second_slope(growth, a1) - middle) / (slope0 - middle))


def second_slope(growth: Growth, a: float) -> float:
    """d D2 / d D1 at a."""
    return float(growth.f2(a) * growth.d2(a) / (growth.f1(a) * growth.d1(a)))


STEPPERS = {"bullfrog": bullfrog, "fastpm": fastpm}


def make_step(stepper: str, cosmology: Cosmology, growth: Growth, d0: float, d1: float) -> Step:
    """The step of a stepper of `STEPPERS` between two growth factors."""
    return Step(d0, 0.5 * (d0 + d1), d1, STEPPERS[stepper](cosmology, growth, d0, d1))


def schedule(growth: Growth, start_redshift: float, end_redshift: float, steps: int, spacing: str) -> np.ndarray:
    """Growth factors of the steps' ends, (steps + 1,), uniform in "a", "log a" or "growth" (D)."""
    a0, a1 = 1 / (1 + start_redshift), 1 / (1 + end_redshift)
    if spacing == "growth":
        return np.linspace(growth.d1(a0), growth.d1(a1), steps + 1)
    a = np.geomspace(a0, a1, steps + 1) if spacing == "log a" else np.linspace(a0, a1, steps + 1)
    return growth.d1(a)
