"""P3M stepped as MP-Gadget steps, to tell what of a difference between the two is the steps' and what the force's.

Its mesh steps are powers of two of the time between outputs, at most 0.1 in ln a and such that the rms particle crosses
at most 0.2 of the scale of the force split, 1.5 cells of a mesh of 3N (its MaxSizeTimestep, MaxRMSDisplacementFac and
Asmth). In such long steps waves grow too slowly. Pairs get their own steps by P3M's criterion alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log

import numpy as np

from zeldo.cosmology.background import expansion
from zeldo.engines.p3m.engine import P3M, Simulation
from zeldo.engines.p3m.kernels import mean_fourth_power
from zeldo.engines.p3m.steps import MeshStep, pair_length
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot

LONGEST = 0.1
CROSSED = 0.2  # of the split's scale in one step
SPLIT = 1.5 / 3  # the split's scale in lattice spacings


def run_as_gadget(engine: P3M, ics: InitialConditions, redshifts: Sequence[float]) -> Iterator[Snapshot]:
    """Snapshots at the redshifts, from high to low."""
    simulation = _Simulation(engine, ics)
    simulation.start()
    a = 1 / (1 + engine.start_redshift)
    for z in sorted(redshifts, reverse=True):
        first, end, share = a, 1 / (1 + z), 0.0
        whole = log(end / first)
        while share < 1:
            step, longest = 1.0, _longest(simulation, a)
            while step * whole > longest or share % step:
                step /= 2
            share += step
            b = end if share == 1 else first * exp(whole * share)
            simulation.step(MeshStep(a, b))
            a = b
        yield Snapshot.of(ics, *simulation.state(a), z, "p3m", {"steps": "MP-Gadget's"})


def _longest(simulation: Simulation, a: float) -> float:
    """The longest mesh step in ln a: the rms particle crosses CROSSED of the split's scale."""
    speed = float(np.sqrt(3 * np.mean(np.square(simulation.p, dtype=np.float64))))
    scale = SPLIT * simulation.ics.spacing
    return min(LONGEST, CROSSED * scale * a**2 * float(expansion(simulation.ics.cosmology, a)) / speed)


class _Simulation(Simulation):
    def pair_length(self, a: float) -> float:
        force = mean_fourth_power(self.near) ** 0.25
        return pair_length(self.ics.cosmology, a, force, self.softening, self.engine.pair_accuracy)
