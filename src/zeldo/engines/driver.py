"""The loop over time steps that all engines share. Anything that happens between two steps is an observer's work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from zeldo.engines.base import PREPARING, Progress
from zeldo.engines.state import Array, Dynamics, State
from zeldo.engines.table import Timetable

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class View:
    """The particles between two steps, as observers see them. Properties are computed when they are asked for.

    The next step overwrites the arrays of `state`, so an observer must copy what it keeps of them. The arrays that the
    properties return are not overwritten.

    Parameters
    ----------
    step : int
        Number of steps done.
    state : State
        The particles. The closing half kick of the step may still be missing in `state.v`; `velocity` includes it.
    redshift : float or None
        Redshift of the snapshot that was asked for at this time, if any.
    aside : bool
        Whether this is a state off the main path, between this step and the next.
    dynamics : Dynamics
        The physics of the run.
    row
        The coefficients of the step that led here.
    spare : bool
        Whether no step follows from this state, so that its arrays may be given away.
    """

    step: int
    state: State
    redshift: float | None
    aside: bool
    dynamics: Dynamics[Any]
    row: object
    spare: bool = False

    def output(self) -> tuple[np.ndarray, np.ndarray]:
        """`psi` and `velocity`; those of a spare state take the place of its arrays, which saves the memory of copies."""
        if not self.spare:
            return self.psi, self.velocity
        made = vars(self)  # what an observer has asked for
        psi = made.get("psi")
        velocity = made.get("velocity")
        if velocity is None:
            velocity = self._velocity(donate=True)
        return self.dynamics.host(self.state.psi if psi is None else psi), self.dynamics.host(velocity)

    @property
    def a(self) -> float:
        """Scale factor."""
        return float(self.state.a)

    @cached_property
    def psi(self) -> np.ndarray:
        """Displacement, (3, n, n, n) float32, Mpc/h."""
        # nothing writes over a state off the main path
        return self.dynamics.host(self.state.psi if self.aside else self.state.psi + 0)

    @cached_property
    def velocity(self) -> np.ndarray:
        """Peculiar velocity, (3, n, n, n) float32, km/s."""
        return self.dynamics.host(self._velocity(donate=False))

    @cached_property
    def density(self) -> np.ndarray:
        """Density in units of the mean, (m, m, m) float32, with the mesh and window of the engine's force."""
        return self.dynamics.host(self.dynamics.density(self.state))

    @cached_property
    def potential(self) -> np.ndarray:
        """phi with F = -grad phi and lap phi = delta, (m, m, m) float32, (Mpc/h)^2, on the same mesh.

        Of `p3m`, the part of the mesh alone: without the pair force, which `force` includes.
        """
        return self.dynamics.host(self.dynamics.potential(self.state))

    @cached_property
    def force(self) -> np.ndarray | None:
        """F at the particles, (3, n, n, n) float32, Mpc/h; None where none was computed, as at the start of COLA."""
        force = self._force
        if force is None:
            return None
        return self.dynamics.host(force + 0 if force is self.state.force else force)

    @cached_property
    def _force(self) -> Array | None:
        return self.dynamics.force(self.state)

    def _velocity(self, donate: bool) -> Array:
        state = self.state
        # the force that an observer has asked for need not be read off the mesh again
        if vars(self).get("_force") is not None:
            state = replace(state, force=self._force)
        return self.dynamics.velocity(state, self.row, donate=donate)


def evolve(
    dynamics: Dynamics[R],
    timetable: Timetable[R],
    progress: Progress,
    resumed: tuple[int, np.ndarray, np.ndarray] | None = None,
) -> Iterator[View]:
    """Step through a timetable, and yield a view after every step and at each output between two steps.

    Parameters
    ----------
    dynamics : Dynamics
        Computes the steps.
    timetable : Timetable
        The steps and outputs.
    progress : callable
        Called with the work done, the total work, and the redshift as text.
    resumed : tuple, optional
        For a run that is resumed: the number of steps done, and psi and v after them. Only later views are yielded.

    Yields
    ------
    View
    """
    first = resumed[0] if resumed else 0
    meter = _Meter(progress, timetable, first if resumed else -1)
    rows = timetable.rows
    state = dynamics.arrive(rows[first], *resumed[1:]) if resumed else dynamics.start(rows[first])
    for i in range(first, len(rows)):
        row = rows[i]
        if i > first:
            state = dynamics.step(
                state, row, donate=True, report=partial(meter.report_share, timetable.work[i])
            )
        due = timetable.after(i)
        if i > first or not resumed:
            meter.add(timetable.work[i], f"z = {1 / state.a - 1:.2f}")
            redshift = next((output.redshift for output in due if output.aside is None), None)
            yield View(i, state, redshift, False, dynamics, row, spare=timetable.is_last(i))
        for output in due:
            if output.aside is not None:
                aside = dynamics.step(state, output.aside)
                meter.add(timetable.aside, f"z = {output.redshift:g}, written")
                yield View(i, aside, output.redshift, True, dynamics, output.aside, spare=True)
                del aside


class _Meter:
    """Reports the work done as a share of the total. `last_done` is the last step of an earlier run, or -1."""

    def __init__(self, progress: Progress, timetable: Timetable[Any], last_done: int):
        asides = timetable.asides
        self.progress, self.total = progress, sum(timetable.work) + timetable.aside * len(asides)
        self.done = sum(timetable.work[: last_done + 1])
        self.done += timetable.aside * sum(output.step < last_done for output in asides)
        progress(self.done, self.total, PREPARING)

    def report_share(self, work: float, share: float, a: float) -> None:
        """Report that a share of a step's work is done, at scale factor a."""
        self.progress(self.done + share * work, self.total, f"z = {1 / a - 1:.2f}")

    def add(self, work: float, text: str) -> None:
        """Add finished work and report it."""
        self.done += work
        self.progress(self.done, self.total, text)
