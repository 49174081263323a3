"""The coefficients of all steps of a mesh engine, computed once from cosmology, times and stepper.

Each coefficient of a row is a tuple of weights, of v, F and the two orders of 2LPT, psi1 and psi2, in this order. The
last two are zero where motion is not relative to 2LPT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.scalars import Scalar, scalar, stacked
from zeldo.engines.steppers import STILL, Kick, Stepper, merged, second_slope

NONE = float("nan")  # the offset of a row that takes no force
SOFT, SHARP = 0.55, 0.91  # shares of the last scale factor between which forces become sharper
GRADE = 0.5  # share of the last scale factor from which on graded steps become shorter
POWER = 3.0  # how much shorter


class Row(NamedTuple):
    """One step from scale factor a0 to a1.

    Parameters
    ----------
    a0, a1
        Scale factors at the two ends.
    kick
        Weights of (v, F, psi1, psi2) in the velocity inside the step, with the force at a0.
    drift
        Weights of (v, psi1, psi2) in the change of psi.
    offset
        Shift of the mesh for the force at a1, in cells; NaN where no force is computed.
    close
        Weights of (v, F, psi1, psi2) in the peculiar velocity at a1, km/s, with the force at a1.
    sharpening
        Windows that are divided out of the force at a1 beyond the usual ones.
    """

    a0: Any
    a1: Any
    kick: Any
    drift: Any
    offset: Any
    close: Any
    sharpening: Any = 0.0

    @property
    def forced(self) -> bool:
        """Whether a force is computed at a1."""
        return bool(self.offset == self.offset)  # false for NaN, also where it is a tensor


@dataclass(frozen=True, eq=False)
class Table(Sequence[Row]):
    """Rows as columns: the fields of `columns` are arrays whose first axis counts the steps.

    The first row leads from particles at rest on the lattice to the start. Of a cosmology of tensors, the columns of
    weights are tensors too.
    """

    columns: Row

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Table:
        return cls(Row(*(stacked(column) for column in zip(*rows, strict=True))))

    def __len__(self) -> int:
        return len(self.columns.a1)

    def __getitem__(self, i: Any) -> Any:
        columns = Row(*(column[i] for column in self.columns))
        return Table(columns) if isinstance(i, slice) else columns


R = TypeVar("R")


@dataclass(frozen=True)
class Output(Generic[R]):
    """A snapshot that is asked for.

    Parameters
    ----------
    redshift : float
    step : int
        The row after which it is made.
    aside : optional
        A further row, off the main path, for an output between two steps.
    """

    redshift: float
    step: int
    aside: R | None = None


@dataclass(frozen=True)
class Timetable(Generic[R]):
    """The plan of a run: its steps, its outputs and the work of each step.

    Parameters
    ----------
    rows : sequence
        The coefficients of the steps.
    outputs : sequence of Output
        From early to late.
    work : sequence of float
        The work of each row, in any unit.
    aside : float
        The work of an output off the main path, in the same unit.
    """

    rows: Sequence[R]
    outputs: Sequence[Output[R]]
    work: Sequence[float]
    aside: float = 1.0

    @property
    def asides(self) -> list[Output[R]]:
        """The outputs off the main path."""
        return [output for output in self.outputs if output.aside is not None]

    def after(self, step: int) -> list[Output[R]]:
        """The outputs that are made after a row, and before the next."""
        return [output for output in self.outputs if output.step == step]

    def is_last(self, step: int) -> bool:
        """Whether no step follows from the state after a row, on the main path or off it."""
        return step + 1 == len(self.rows) and all(output.aside is None for output in self.after(step))


def _graded(first: float, last: float, times: int) -> np.ndarray:
    """Scale factors from first to last, both exact, at equal intervals of ln a + (a / (GRADE last))^POWER / POWER.

    Early steps are at equal ratios of the scale factor, since growth over a long ratio leaves errors on large scales. The
    last ones become shorter again, for particles that orbit in halos.
    """
    a = np.geomspace(first, last, 10_001)
    interval = np.log(a) + (a / (GRADE * last)) ** POWER / POWER
    graded = np.interp(np.linspace(interval[0], interval[-1], times), interval, a)
    graded[-1], graded[0] = last, first
    return graded


SPACINGS: dict[str, Callable[[float, float, int], np.ndarray]] = {"uniform": np.linspace, "graded": _graded}


def timetable(
    cosmology: Cosmology,
    stepper: Stepper,
    *,
    steps: int,
    start_redshift: float,
    redshifts: Sequence[float],
    moving: bool,
    sharpening: float = 0.0,
    spacing: str = "uniform",
) -> Timetable[Row]:
    """Steps from the start to the lowest redshift.

    An output between two steps is a step off the main path, so that the other outputs do not depend on it.

    Parameters
    ----------
    cosmology : Cosmology
        Sets the growth factors.
    stepper : Stepper
        Gives the coefficients of kicks and drifts.
    steps : int
        Number of steps, at least one.
    start_redshift : float
        Where 2LPT ends.
    redshifts : sequence of float
        Of the outputs, none above the start.
    moving : bool
        Whether v is relative to 2LPT (COLA). Then no force is computed at the start, where it would be noise of the
        lattice.
    sharpening : float
        Windows divided out of the last force beyond the usual ones. They set in at `SOFT` of the last scale factor and
        are all divided out from `SHARP` of it on.
    spacing : str
        A key of `SPACINGS`.

    Returns
    -------
    Timetable
    """
    lpt = _Lpt(cosmology, moving, sharpening, 1 / (1 + min(redshifts)))
    if _same_time(1 / (1 + min(redshifts)), 1 / (1 + start_redshift)):
        steps = 0
    times = SPACINGS[spacing](1 / (1 + start_redshift), 1 / (1 + min(redshifts)), steps + 1)
    # the mesh shifts by half a cell from force to force, so that aliases cancel in the sum
    offsets = [0.5 * ((i + moving + 1) % 2) for i in range(steps + 2)]
    if moving:
        offsets[0] = NONE
    rows = [lpt.start(times[0], offsets[0])]
    outputs: list[Output[Row]] = []
    waiting = [(1 / (1 + z), z) for z in sorted(redshifts, reverse=True)]
    owed = STILL  # the closing kick of the step before
    for i, a0 in enumerate(times):
        a1 = times[min(i + 1, steps)]
        while waiting and (i == steps or (waiting[0][0] < a1 and not _same_time(waiting[0][0], a1))):
            a, z = waiting.pop(0)
            aside = None if _same_time(a, a0) else lpt.row(stepper, owed, a0, a, offsets[i + 1])
            outputs.append(Output(z, i, aside))
        if i < steps:
            rows.append(lpt.row(stepper, owed, a0, a1, offsets[i + 1]))
            owed = stepper.close(a0, a1)
    return Timetable(Table.of(rows), outputs, work=[1.0] * len(rows))


@dataclass(frozen=True)
class _Lpt:
    """The 2LPT terms of a row."""

    cosmology: Cosmology
    moving: bool
    sharpening: float
    end: float

    def windows(self, a: float) -> float:
        """Windows that are divided out of the force at a beyond the usual ones."""
        return self.sharpening * min(1.0, max(0.0, (a / self.end - SOFT) / (SHARP - SOFT)))

    def factors(self, a: float) -> tuple[Scalar, Scalar, Scalar]:
        """D1, D2 and d D2 / d D1."""
        grow = growth(self.cosmology)
        return scalar(grow.d1(a)), scalar(grow.d2(a)), second_slope(grow, a)

    def start(self, a: float, offset: float) -> Row:
        d, e, slope = self.factors(a)
        v = 0.0 if self.moving else 1.0
        return Row(a, a, (0.0, 0.0, v, v * slope), (0.0, d, e), offset, self.close(a, STILL))

    def row(self, stepper: Stepper, owed: Kick, a0: float, a1: float, offset: float) -> Row:
        alpha, beta = merged(owed, stepper.open(a0, a1))
        drift = stepper.drift(a0, a1)
        close = self.close(a1, stepper.close(a0, a1))
        if not self.moving:
            return Row(a0, a1, (alpha, beta, 0.0, 0.0), (drift, 0.0, 0.0), offset, close, self.windows(a1))
        (d0, e0, _), (d1, e1, _) = self.factors(a0), self.factors(a1)
        kick = (alpha, beta, -beta * d0, -beta * (e0 - d0 * d0))
        return Row(a0, a1, kick, (drift, d1 - d0, e1 - e0), offset, close, self.windows(a1))

    def close(self, a: float, kick: Kick) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """Weights of the peculiar velocity a dx/dt, with dx/dt = v dD/dt, after a kick at a."""
        d, e, slope = self.factors(a)
        unit = 100 * a * scalar(expansion(self.cosmology, a) * growth(self.cosmology).f1(a)) * d
        alpha, beta = kick
        lpt = (unit * (1 - beta * d), unit * (slope - beta * (e - d * d))) if self.moving else (0.0, 0.0)
        return (unit * alpha, unit * beta, *lpt)


def _same_time(a: float, other: float) -> bool:
    # a step between times that are closer has coefficients of rounding errors
    return bool(np.isclose(a, other, rtol=1e-9, atol=0))
