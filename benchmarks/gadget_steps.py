"""P3M with the time steps of MP-Gadget: this separates what the steps and what the force add to a difference.

Its mesh steps are powers of two of the time between outputs, at most 0.1 in ln a and such that the rms particle crosses
at most 0.2 of the scale of the force split, 1.5 cells of a mesh of 3N (its MaxSizeTimestep, MaxRMSDisplacementFac and
Asmth). In such long steps waves grow too slowly. Pairs get their own steps by P3M's criterion alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log

import numpy as np

from zeldo.cosmology.background import expansion
from zeldo.engines.p3m.dynamics import PairDynamics
from zeldo.engines.p3m.engine import P3M
from zeldo.engines.p3m.kernels import mean_fourth_power
from zeldo.engines.p3m.steps import MeshStep, pair_length, weighted
from zeldo.engines.state import State
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot

LONGEST = 0.1
CROSSED = 0.2  # of the split's scale in one step
SPLIT = 1.5 / 3  # the split's scale in lattice spacings


def run_as_gadget(engine: P3M, ics: InitialConditions, redshifts: Sequence[float]) -> Iterator[Snapshot]:
    """Snapshots at the redshifts, from high to low."""
    dynamics = _Dynamics(engine, ics)
    a = 1 / (1 + engine.start_redshift)
    state = dynamics.start(MeshStep(a, a))
    for z in sorted(redshifts, reverse=True):
        first, end, share = a, 1 / (1 + z), 0.0
        whole = log(end / first)
        while share < 1:
            step, longest = 1.0, _longest(dynamics, state)
            while step * whole > longest or share % step:
                step /= 2
            share += step
            b = end if share == 1 else first * exp(whole * share)
            (row,) = weighted([MeshStep(a, b)], dynamics.weights)
            state = dynamics.step(state, row, donate=True)
            a = b
        vel = dynamics.velocity(state, row)
        yield Snapshot.of(ics, state.psi.copy(), vel, z, "p3m", {"steps": "MP-Gadget's"})


def _longest(dynamics: PairDynamics, state: State) -> float:
    """The longest mesh step in ln a, in which the rms particle crosses CROSSED of the scale of the force split."""
    speed = float(np.sqrt(3 * np.mean(np.square(state.v, dtype=np.float64))))
    scale, a = SPLIT * dynamics.ics.spacing, state.a
    return min(LONGEST, CROSSED * scale * a**2 * float(expansion(dynamics.ics.cosmology, a)) / speed)


class _Dynamics(PairDynamics):
    def pair_length(self, state: State) -> float:
        force = mean_fourth_power(state.force.near) ** 0.25
        return pair_length(self.ics.cosmology, state.a, force, self.softening, self.engine.pair_accuracy)
