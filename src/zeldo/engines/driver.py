"""The one loop of all engines that step. What happens between two steps is an observer's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from zeldo.engines.base import Progress
from zeldo.engines.state import Array, Dynamics, State
from zeldo.engines.table import Timetable

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class View:
    """The particles between two steps, as an observer sees them. What costs something is made when it is asked for.

    Its own arrays are written over by the next step: an observer copies what it keeps of `state`. What the properties
    return stays.

    Parameters
    ----------
    step
        How many steps are done.
    state
        The particles; `state.v` may be owed half a kick, `velocity` is not.
    redshift
        That of the snapshot that was asked for here, else None.
    aside
        Whether this is a state off the main path, between this step and the next.
    """

    step: int
    state: State
    redshift: float | None
    aside: bool
    dynamics: Dynamics[Any]
    row: object

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
        return self.dynamics.host(self.dynamics.velocity(self.state, self.row))

    @cached_property
    def density(self) -> np.ndarray:
        """In units of the mean, (m, m, m) float32, on the mesh and with the window that the engine's force has."""
        return self.dynamics.host(self.dynamics.density(self.state))

    @cached_property
    def potential(self) -> np.ndarray:
        """phi with F = -grad phi and lap phi = delta, (m, m, m) float32, (Mpc/h)^2, on the same mesh."""
        return self.dynamics.host(self.dynamics.potential(self.state))

    @cached_property
    def force(self) -> np.ndarray | None:
        """F at the particles, (3, n, n, n) float32, Mpc/h; None where none is taken, as where COLA starts."""
        force: Array | None = self.dynamics.force(self.state)
        return None if force is None else self.dynamics.host(force + 0)


def evolve(
    dynamics: Dynamics[R],
    timetable: Timetable[R],
    progress: Progress,
    resumed: tuple[int, np.ndarray, np.ndarray] | None = None,
) -> Iterator[View]:
    """Step through a timetable; a view after every step, and one for each output between two steps.

    Parameters
    ----------
    dynamics
        Takes the steps.
    timetable
        The steps and outputs.
    progress
        Called with the work that is done, all of it, and the redshift.
    resumed
        For a run that is resumed: the number of steps done, with psi and v after them. Only later views are yielded.
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
        due = [output for output in timetable.outputs if output.step == i]
        if i > first or not resumed:
            meter.add(timetable.work[i], f"z = {1 / state.a - 1:.2f}")
            redshift = next((output.redshift for output in due if output.aside is None), None)
            yield View(i, state, redshift, False, dynamics, row)
        for output in due:
            if output.aside is not None:
                aside = dynamics.step(state, output.aside)
                meter.add(timetable.aside, f"z = {output.redshift:g}, written")
                yield View(i, aside, output.redshift, True, dynamics, output.aside)
                del aside


class _Meter:
    """Reports the work done as a share of the total. `last_done` is the last step of an earlier run, or -1."""

    def __init__(self, progress: Progress, timetable: Timetable[Any], last_done: int):
        asides = [output for output in timetable.outputs if output.aside is not None]
        self.progress, self.total = progress, sum(timetable.work) + timetable.aside * len(asides)
        self.done = sum(timetable.work[: last_done + 1])
        self.done += timetable.aside * sum(output.step < last_done for output in asides)
        progress(self.done, self.total, "preparing (the first run on a machine compiles for a minute)")

    def report_share(self, work: float, share: float, a: float) -> None:
        """Report that a share of a step's work is done, at scale factor a."""
        self.progress(self.done + share * work, self.total, f"z = {1 / a - 1:.2f}")

    def add(self, work: float, text: str) -> None:
        """Add finished work and report it."""
        self.done += work
        self.progress(self.done, self.total, text)
