"""Lagrangian perturbation theory as engines: instant, exact on large scales, and without collapsed structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from zeldo.engines import plans
from zeldo.engines.base import Engine, Plan, Progress
from zeldo.engines.registry import register
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import displacements, linear_displacement, lpt_state
from zeldo.particles.snapshot import Snapshot


@dataclass(frozen=True)
class Perturbation(Engine):
    """psi = D1 psi_lin (+ D2 grad phi2), in Mpc/h, and v = 100 E a (f1 psi1 + f2 psi2), in km/s."""

    order: ClassVar[int]

    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        orders = displacements(ics) if self.order > 1 else (linear_displacement(ics),)
        for count, z in enumerate(redshifts, 1):
            # no name holds the fields while the next ones are made
            yield self.snapshot(ics, *lpt_state(ics, 1 / (1 + z), self.order, fields=orders), z)
            progress(count, len(redshifts), f"z = {z:g}")

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        return plans.lattice(n, self.order, len(self.check(redshifts)))


@register
@dataclass(frozen=True)
class Zeldovich(Perturbation):
    """The Zel'dovich approximation (Zel'dovich 1970): particles move on straight lines. It has no options."""

    name: ClassVar[str] = "zeldovich"
    order: ClassVar[int] = 1


@register
@dataclass(frozen=True)
class SecondOrder(Perturbation):
    """Second-order Lagrangian perturbation theory (Bouchet et al. 1995, arXiv:astro-ph/9406013), without options."""

    name: ClassVar[str] = "2lpt"
    order: ClassVar[int] = 2
