"""What moves, as a value, and what the driver needs of the physics that moves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

Array = Any  # a NumPy array or a torch tensor

R = TypeVar("R")  # a row: the coefficients of one step
Report = Callable[[float, float], None]  # the share of a step that is done, and the scale factor there


@dataclass(frozen=True, eq=False)
class State:
    """Particles at one time, between two steps.

    Parameters
    ----------
    a
        Scale factor.
    psi
        Displacement from the lattice, (3, n, n, n), Mpc/h.
    v
        Velocity after the last kick, in the unit of the engine's steps: not yet that at `a` where half a kick is owed.
    force
        What the particles feel at psi, taken when they arrived; None where nothing acts.
    """

    a: float
    psi: Array
    v: Array
    force: Any = None


class Dynamics(ABC, Generic[R]):
    """Physics in steps: each takes a state and a row of coefficients to the next state, and changes neither."""

    @abstractmethod
    def start(self, row: R) -> State:
        """The particles at the beginning, told by the first row."""

    @abstractmethod
    def arrive(self, row: R, psi: np.ndarray, v: np.ndarray) -> State:
        """The state at the end of a row from its fields in main memory: how a killed run goes on."""

    @abstractmethod
    def step(self, state: State, row: R, *, donate: bool = False, report: Report | None = None) -> State:
        """The state at the end of a row.

        With `donate` nobody needs the old state any more: its arrays may hold the new one.
        """

    @abstractmethod
    def velocity(self, state: State, row: R) -> Array:
        """Peculiar velocity of a state at the end of its row, km/s: a new field."""

    @abstractmethod
    def density(self, state: State) -> Array:
        """The density in units of its mean, on the mesh that the force is taken on: a new field."""

    @abstractmethod
    def potential(self, state: State) -> Array:
        """phi with F = -grad phi on that mesh, (Mpc/h)^2: a new field."""

    def force(self, state: State) -> Array | None:
        """F at the particles, Mpc/h."""
        return state.force

    def host(self, field: Array) -> np.ndarray:
        """A field in main memory; itself where it is there already."""
        return np.asarray(field)
