"""The state of the particles between steps, and the interface of the physics that advances it."""

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
    a : float
        Scale factor.
    psi : array, (3, n, n, n)
        Displacement from the lattice, Mpc/h.
    v : array, (3, n, n, n)
        Velocity after the last kick, in the unit of the engine's steps. Where the closing half kick of a step is still to
        come, it is not yet the velocity at `a`.
    force : optional
        The force at the positions psi; None where none was computed.
    """

    a: float
    psi: Array
    v: Array
    force: Any = None


class Dynamics(ABC, Generic[R]):
    """The physics of a step: from a state and a row of coefficients to the next state, without changing either."""

    @abstractmethod
    def start(self, row: R) -> State:
        """The particles at the beginning of a run, from the coefficients of the first row."""

    @abstractmethod
    def arrive(self, row: R, psi: np.ndarray, v: np.ndarray) -> State:
        """The state at the end of a row, from its fields in main memory: this is how a killed run resumes."""

    @abstractmethod
    def step(self, state: State, row: R, *, donate: bool = False, report: Report | None = None) -> State:
        """The state at the end of a row.

        With `donate` the old state is no longer needed, and its arrays may be overwritten.
        """

    @abstractmethod
    def velocity(self, state: State, row: R, *, donate: bool = False) -> Array:
        """Peculiar velocity of a state at the end of its row, km/s: a new array, or with `donate` in that of `state.v`.

        In place of its own form of the force, the state may hold what `force` made of it.
        """

    @abstractmethod
    def density(self, state: State) -> Array:
        """The density in units of its mean, on the mesh of the force, as a new array."""

    @abstractmethod
    def potential(self, state: State) -> Array:
        """phi with F = -grad phi on the same mesh, (Mpc/h)^2, as a new array."""

    def force(self, state: State) -> Array | None:
        """F at the particles, Mpc/h."""
        return state.force

    def host(self, field: Array) -> np.ndarray:
        """A field in main memory; the same array where it is there already."""
        return np.asarray(field)
