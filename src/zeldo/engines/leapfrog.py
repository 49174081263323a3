"""Leapfrog steps of the mesh engines: kick, drift, and the force at the new positions.

Velocities are v = d psi / d D1. In COLA, psi is the full displacement, v is relative to 2LPT, and so are the forces. The
kick that closes a step and the kick that opens the next one use the same force and are done together. So the closing
kick is still missing in a state between two steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from zeldo.engines.state import Array, Dynamics, Report, State
from zeldo.engines.table import Row
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import displacements
from zeldo.mesh.gravity import Gravity

Frame = tuple[Array, ...]  # psi_lin and grad phi2 of 2LPT, or nothing


def begin(row: Row, gravity: Gravity, first: Array, second: Array) -> tuple[Array, Array]:
    """psi and v on 2LPT trajectories, from psi_lin and grad phi2. The first row leads there from rest."""
    psi = gravity.combine(None, (row.drift[1], first), (row.drift[2], second))
    return psi, gravity.combine(None, (row.kick[2], first), (row.kick[3], second))


def start(row: Row, gravity: Gravity, first: Array, second: Array) -> State:
    """The state at the end of the first row, see `begin`."""
    psi, v = begin(row, gravity, first, second)
    return State(row.a1, psi, v, take(gravity, psi, row))


def step(state: State, row: Row, gravity: Gravity, frame: Frame = (), *, donate: bool = False) -> State:
    """Kick at a0, drift to a1, force there."""
    psi, v = gravity.advance(state.psi, state.v, state.force, row.kick, row.drift, frame, donate=donate)
    return State(row.a1, psi, v, take(gravity, psi, row, out=state.force if donate else None))


def take(gravity: Gravity, psi: Array, row: Row, out: Array | None = None) -> Array | None:
    """F at the end of a row, on a mesh as the row says; None where the row needs no force."""
    return gravity.held(psi, row.offset, out, row.sharpening) if row.forced else None


def velocity(state: State, row: Row, gravity: Gravity, frame: Frame = (), *, donate: bool = False) -> Array:
    """Peculiar velocity with the closing kick included, km/s."""
    terms = zip(row.close, (state.v, state.force, *frame), strict=False)
    out = state.v if donate else None
    return gravity.combine(out, *((weight, field) for weight, field in terms if field is not None))


@dataclass(eq=False)
class Leapfrog(Dynamics[Row]):
    """The steps of one universe on a mesh.

    Parameters
    ----------
    ics : InitialConditions or None
        The linear field. It is let go when the fields of a moving frame have been made of it.
    gravity : Gravity
        Computes forces and adds fields.
    moving : bool
        Whether v is relative to 2LPT (COLA).
    amplitudes : ndarray, optional
        A table from `zeldo.initial.lattice.amplitudes` that multiplies the linear field.

    Attributes
    ----------
    linear : array, (3, n, n, n), or None
        The linear displacement today, Mpc/h, from the start until the first step.
    """

    ics: InitialConditions | None
    gravity: Gravity
    moving: bool = False
    amplitudes: np.ndarray | None = None
    linear: Array | None = field(default=None, init=False)

    @property
    def frame(self) -> Frame:
        """What steps are relative to."""
        return self._moving_frame if self.moving else ()

    @cached_property
    def _moving_frame(self) -> Frame:
        frame = self._lpt()
        self.ics = None
        return frame

    def _lpt(self) -> Frame:
        assert self.ics is not None
        return tuple(self.gravity.array(field) for field in displacements(self.ics, self.amplitudes))

    def start(self, row: Row) -> State:
        self.linear, second = self.frame or self._lpt()
        return start(row, self.gravity, self.linear, second)

    def arrive(self, row: Row, psi: np.ndarray, v: np.ndarray) -> State:
        field = self.gravity.array(psi)
        return State(row.a1, field, self.gravity.array(v), take(self.gravity, field, row))

    def step(self, state: State, row: Row, *, donate: bool = False, report: Report | None = None) -> State:
        self.linear = None
        return step(state, row, self.gravity, self.frame, donate=donate)

    def velocity(self, state: State, row: Row, *, donate: bool = False) -> Array:
        return velocity(state, row, self.gravity, self.frame, donate=donate)

    def force(self, state: State) -> Array | None:
        return None if state.force is None else self.gravity.whole(state.force)

    def density(self, state: State) -> Array:
        return self.gravity.density(state.psi)

    def potential(self, state: State) -> Array:
        return self.gravity.potential(state.psi)

    def host(self, field: Array) -> np.ndarray:
        return self.gravity.numpy(field)
