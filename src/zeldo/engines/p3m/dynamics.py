"""The steps of P3M: short steps of the pair force inside long steps of the mesh force, both kick-drift-kick."""

from __future__ import annotations

from itertools import pairwise
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.force_split import ForceSplit
from zeldo.engines.p3m.kernels import advance, mean_fourth_power
from zeldo.engines.p3m.mesh_force import MeshForce
from zeldo.engines.p3m.mesh_kernels import paint_cells
from zeldo.engines.p3m.pair_force import PairForce
from zeldo.engines.p3m.steps import MeshStep, Weights, pair_length
from zeldo.engines.state import Dynamics, Report, State
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import displacements

if TYPE_CHECKING:
    from zeldo.engines.p3m.engine import P3M


class Forces(NamedTuple):
    """The forces of pairs and of the mesh, (3, n, n, n) float32 each, Mpc/h."""

    near: np.ndarray
    far: np.ndarray


class PairDynamics(Dynamics[MeshStep]):
    """The physics of P3M. Velocities are momenta p = a^2 dx/dt / (100 km/s), and states need no closing kick.

    The cell list and the mesh are work space: nothing in them lasts from one call to the next.

    Parameters
    ----------
    engine : P3M
        Its options.
    ics : InitialConditions
        The linear field.
    """

    def __init__(self, engine: P3M, ics: InitialConditions):
        self.mesh_points = 2 * round(engine.mesh_factor * ics.n / 2)
        split = ForceSplit(engine.reach * ics.spacing, int(engine.shape), engine.softening * ics.spacing)
        self.ics, self.engine, self.softening = ics, engine, split.softening
        self.weights = Weights(ics.cosmology)
        self.cells = CellList(ics.n, ics.box, split.radius)
        self.pairs = PairForce(split, self.cells)
        self.mesh = MeshForce(split, self.mesh_points, self.cells)

    def start(self, row: MeshStep) -> State:
        """The particles on their 2LPT trajectories."""
        a, w = row.end, self.weights
        first, second = displacements(self.ics)
        psi = np.float32(w.growth.d1(a)) * first + np.float32(w.growth.d2(a)) * second
        p = np.float32(w.momentum(a)) * first + np.float32(w.momentum2(a)) * second
        return self.arrive(row, psi, p)

    def arrive(self, row: MeshStep, psi: np.ndarray, v: np.ndarray) -> State:
        near, far = np.empty_like(psi), np.empty_like(psi)
        self.cells.sort(psi)
        self.pairs(near)
        self.mesh(far)
        return State(row.end, psi, v, Forces(near, far))

    def step(
        self, state: State, row: MeshStep, *, donate: bool = False, report: Report | None = None
    ) -> State:
        fields = state.psi, state.v, *state.force
        psi, p, near, far = fields if donate else (field.copy() for field in fields)
        kick, (kick_far, last_far), w = 0.0, row.far, self.weights
        for a, b in pairwise(row.times(self.pair_length(state))):
            m = (a * b) ** 0.5
            # the kick that ends one pair step and the one that begins the next are by the same force
            advance(p, psi, near, far, kick + w.kick(a, m), kick_far, w.drift(a, b))
            self.cells.sort(psi)
            self.pairs(near)
            kick, kick_far = w.kick(m, b), 0.0
            if report:
                report(log(b / row.start) / log(row.end / row.start) * 0.9, b)
        self.mesh(far)
        advance(p, psi, near, far, kick, last_far, 0.0)
        return State(row.end, psi, p, Forces(near, far))

    def pair_length(self, state: State) -> float:
        """The longest pair step in ln a from this state: from the mean force, and at most half of `mesh_step`.

        The mean is one of fourth powers, which responds to first halos of few particles (docs/method/p3m.md).
        """
        force = mean_fourth_power(state.force.near) ** 0.25
        return min(
            pair_length(self.ics.cosmology, state.a, force, self.softening, self.engine.pair_accuracy),
            self.engine.mesh_step / 2,
        )

    def velocity(self, state: State, row: MeshStep, *, donate: bool = False) -> np.ndarray:
        return np.multiply(state.v, np.float32(100 / state.a), out=state.v if donate else None)

    def density(self, state: State) -> np.ndarray:
        self.cells.sort(state.psi)
        paint_cells(self.cells, self.mesh.field)
        return self.mesh.field.copy()

    def potential(self, state: State) -> np.ndarray:
        """The potential of the mesh's part of the force."""
        self.cells.sort(state.psi)
        return self.mesh.potential().copy()

    def force(self, state: State) -> np.ndarray:
        return state.force.near + state.force.far
