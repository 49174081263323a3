"""Time steps of P3M: when the mesh force and the pair force act, and with what weight.

A mesh step holds several pair steps (impulses of Tuckerman, Berne & Martyna 1992, doi:10.1063/1.463137): the smooth
force changes slowly, the pair force within halos fast. Both are kick-drift-kick.

Weights are the integrals of the equations of motion over the step, 3/2 Omega_m / (a^2 E) and 1 / (a^3 E) (Quinn et al. 1997,
arXiv:astro-ph/9710043), as in Gadget: the scheme is symplectic, and right for any force that changes little in a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, log

import numpy as np
from scipy.integrate import cumulative_trapezoid

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.initial.conditions import InitialConditions

MOST_PAIR_STEPS = 1000  # in one mesh step
FINE = 257  # points between two outputs, where the limit of steps changes
NODES, SHARES = np.polynomial.legendre.leggauss(20)


@dataclass(frozen=True)
class MeshStep:
    """A step of the mesh force.

    Parameters
    ----------
    start, end : float
        Scale factors.
    is_output : bool
        Whether a snapshot is wanted at the end.
    far : (float, float)
        Weights of the mesh force in the kicks at the start and at the end.
    """

    start: float
    end: float
    is_output: bool = False
    far: tuple[float, float] = (0.0, 0.0)

    def times(self, longest: float) -> list[float]:
        """Scale factors that divide the step into pair steps, equal in ln a and at most `longest` there."""
        count = ceil(log(self.end / self.start) / longest - 1e-9)
        bounds = np.geomspace(self.start, self.end, min(max(count, 1), MOST_PAIR_STEPS) + 1)
        return [self.start, *map(float, bounds[1:-1]), self.end]


def schedule(
    start: float, redshifts: list[float], longest: float | Callable[[float], float]
) -> list[MeshStep]:
    """Mesh steps from one redshift through several others.

    Parameters
    ----------
    start : float
        Redshift of the start.
    redshifts : list of float
        Where snapshots are wanted, from high to low.
    longest : float or callable
        Longest step in ln a, or that as a function of the scale factor. The steps between two outputs are all the same
        fraction of their limits.

    Returns
    -------
    list of MeshStep
    """
    steps = []
    a_start = 1 / (1 + start)
    for z in redshifts:
        a_end = 1 / (1 + z)
        grid = np.linspace(log(a_start), log(a_end), FINE)
        limit = [longest(float(a)) if callable(longest) else longest for a in np.exp(grid)]
        done = cumulative_trapezoid(1 / np.array(limit), grid, initial=0)  # in steps
        count = max(1, ceil(done[-1] - 1e-6))
        inner = np.exp(np.interp(np.arange(1, count) * (done[-1] / count), done, grid))
        bounds = [a_start, *map(float, inner), a_end]
        steps += [MeshStep(a, b, b == a_end) for a, b in pairwise(bounds)]
        a_start = a_end
    return steps


def weighted(steps: list[MeshStep], weights: Weights) -> list[MeshStep]:
    """The steps with their weights, computed once."""
    middles = [(step.start * step.end) ** 0.5 for step in steps]
    return [
        replace(step, far=(weights.kick(step.start, m), weights.kick(m, step.end)))
        for step, m in zip(steps, middles, strict=True)
    ]


def longest_step(ics: InitialConditions, mesh_step: float, crossing: float) -> Callable[[float], float]:
    """The limit on mesh steps, as a function of the scale factor.

    It is the shorter of `mesh_step` and the time in which an rms particle moves by `crossing` lattice spacings at its
    speed in linear theory (Gadget's criterion, MaxRMSDisplacementFac).

    Parameters
    ----------
    ics : InitialConditions
    mesh_step : float
        Longest step in ln a.
    crossing : float
        Lattice spacings.

    Returns
    -------
    callable
        From the scale factor to the longest step in ln a.
    """
    from zeldo.initial.lpt import linear_displacement

    rms = float(np.sqrt(3 * np.mean(np.square(linear_displacement(ics), dtype=np.float64)))) / ics.spacing
    return longest_at(ics.cosmology, rms, mesh_step, crossing)


def longest_at(
    cosmology: Cosmology, rms: float, mesh_step: float, crossing: float
) -> Callable[[float], float]:
    """As `longest_step`, for particles whose rms linear displacement today is `rms` lattice spacings."""
    g = growth(cosmology)

    def longest(a: float) -> float:
        speed = rms * float(g.d1(a) * g.f1(a))  # spacings in a unit of ln a
        return mesh_step if speed * mesh_step <= crossing else crossing / speed

    return longest


def pair_length(cosmology: Cosmology, a: float, force: float, softening: float, accuracy: float) -> float:
    """The longest pair step in ln a, sqrt(2 accuracy softening / acceleration).

    It is Gadget's criterion for one particle (Springel 2005, arXiv:astro-ph/0505010, equation 34), applied here to all.

    Parameters
    ----------
    cosmology : Cosmology
    a : float
        Scale factor.
    force : float
        A mean of the pair force over particles, Mpc/h (in the unit of F).
    softening : float
        Mpc/h.
    accuracy : float

    Returns
    -------
    float
    """
    acceleration = 1.5 * cosmology.omega_m * max(force, 1e-12) / a**3  # of the comoving place, H0 = 1
    return float(expansion(cosmology, a)) * (2 * accuracy * softening / acceleration) ** 0.5


def expected_pair_steps(step: MeshStep) -> float:
    """Number of pair steps with the default options in the Quijote cosmology, for the progress bar."""
    return max(2.0, log(step.end / step.start) * step.end**0.75 / 0.0028)


class Weights:
    """Kick and drift factors of one cosmology; momentum p = a^2 dx/dt / (100 km/s), lengths in Mpc/h."""

    def __init__(self, cosmology: Cosmology):
        self.cosmology, self.growth = cosmology, growth(cosmology)

    def momentum(self, a: float) -> float:
        """G(a) = a^3 E dD1/da: p = G psi_lin in linear theory."""
        g = self.growth
        return float(a**2 * expansion(self.cosmology, a) * g.d1(a) * g.f1(a))

    def momentum2(self, a: float) -> float:
        """The second-order counterpart, a^3 E dD2/da."""
        g = self.growth
        return float(a**2 * expansion(self.cosmology, a) * g.d2(a) * g.f2(a))

    def kick(self, a: float, b: float) -> float:
        """What multiplies the force F for a kick from scale factor a to b."""
        return 1.5 * self.cosmology.omega_m * self._integral(2, a, b)

    def drift(self, a: float, b: float) -> float:
        """What multiplies p for a drift from scale factor a to b."""
        return self._integral(3, a, b)

    def _integral(self, power: int, a: float, b: float) -> float:
        """The integral of da / (a^power E), exact to rounding for any step."""
        half = log(b / a) / 2
        x = np.sqrt(a * b) * np.exp(half * NODES)
        return float(half * (SHARES @ (x ** (1 - power) / expansion(self.cosmology, x))))
