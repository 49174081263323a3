"""Lagrangian perturbation theory as engines: instantaneous, exact on large scales, blind to what has collapsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.engines import plans
from zeldo.engines.base import Engine, Plan, Progress
from zeldo.engines.registry import register
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import displacements, linear_displacement
from zeldo.particles.snapshot import Snapshot


@dataclass(frozen=True)
class _Perturbation(Engine):
    """psi = D1 psi_lin (+ D2 grad phi2); v = 100 E a (f1 psi1 + f2 psi2) km/s."""

    order: ClassVar[int]

    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        grow = growth(ics.cosmology)
        orders = displacements(ics) if self.order > 1 else (linear_displacement(ics),)
        terms = list(zip((grow.d1, grow.d2), (grow.f1, grow.f2), orders, strict=False))
        for count, z in enumerate(redshifts, 1):
            a = 1 / (1 + z)
            unit = 100 * a * float(expansion(ics.cosmology, a))
            psi, vel = np.zeros_like(terms[0][2]), np.zeros_like(terms[0][2])
            for d, f, field in terms:
                psi += np.float32(d(a)) * field
                vel += np.float32(unit * f(a) * d(a)) * field
            yield self.snapshot(ics, psi, vel, z)
            progress(count, len(redshifts), f"z = {z:g}")

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        return plans.lattice(n, self.order, len(self.check(redshifts)))


@register
@dataclass(frozen=True)
class Zeldovich(_Perturbation):
    """Zel'dovich 1970: every particle keeps its first direction."""

    name: ClassVar[str] = "zeldovich"
    order: ClassVar[int] = 1


@register
@dataclass(frozen=True)
class SecondOrder(_Perturbation):
    """Second-order Lagrangian perturbation theory (Bouchet et al. 1995, arXiv:astro-ph/9406013)."""

    name: ClassVar[str] = "2lpt"
    order: ClassVar[int] = 2
