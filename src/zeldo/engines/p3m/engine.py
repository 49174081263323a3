"""P3M, the N-body engine: a mesh for long-range forces and pair sums at short range, with nothing fitted to other codes.

The method: docs/method/p3m.md. The measurements behind its parameters: docs/validation/p3m.md, docs/notes/p3m.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar

from zeldo.engines import plans
from zeldo.engines.base import Plan
from zeldo.engines.checks import check_number
from zeldo.engines.p3m.steps import (
    MeshStep,
    Weights,
    expected_pair_steps,
    longest_at,
    longest_step,
    schedule,
    weighted,
)
from zeldo.engines.registry import register
from zeldo.engines.stepping import Stepping
from zeldo.engines.table import Output, Timetable
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions

if TYPE_CHECKING:
    from zeldo.engines.p3m.dynamics import PairDynamics

RANGES: dict[str, tuple[float, float]] = {
    "mesh_factor": (1, 8),
    "reach": (0.5, 10),
    "shape": (1, 4),
    "softening": (1e-4, 0.5),
    "start_redshift": (1, 1000),
    "mesh_step": (1e-3, 1),
    "crossing": (1e-3, 1e3),
    "pair_accuracy": (1e-5, 100),
}
LEAST_REACH = 4.0  # mesh points: what the split leaves to the mesh it must resolve
MESH_WORK = 2.5  # the time of a mesh force in units of a pair force, for the progress bar


@register
@dataclass(frozen=True)
class P3M(Stepping):
    """N-body with a particle mesh and pair forces, from 2LPT: as accurate as tree codes at this resolution.

    Parameters
    ----------
    mesh_factor : float
        Mesh points per particle and dimension.
    reach : float
        Range of the pair force, in lattice spacings.
    shape : int
        Order of the force split, 1 to 4.
    softening : float
        Plummer-equivalent softening length, in lattice spacings.
    start_redshift : float
        Redshift of the 2LPT start.
    mesh_step : float
        Longest step of the mesh force in ln a.
    crossing : float
        The farthest that an rms particle may move in a mesh step, in lattice spacings.
    pair_accuracy : float
        Sets the length of pair steps, which is proportional to its square root; see `PairDynamics.pair_length`.
    checkpoint, checkpoint_minutes
        See `zeldo.engines.stepping.Stepping`.
    """

    name: ClassVar[str] = "p3m"
    revision: ClassVar[int] = 1
    mesh_factor: float = 3.0
    reach: float = 1.915
    shape: int = 3
    softening: float = 1 / 40
    start_redshift: float = 49.0
    mesh_step: float = 0.08
    crossing: float = 0.06
    pair_accuracy: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (low, high) in RANGES.items():
            check_number(name, getattr(self, name), low, high)
        if self.shape != int(self.shape):
            raise InputError(f"shape = {self.shape!r} is not allowed: give a whole number from 1 to 4")
        if self.reach * self.mesh_factor < LEAST_REACH:
            raise InputError(
                f"reach = {self.reach:g} with mesh_factor = {self.mesh_factor:g} is not allowed: the pair force "
                f"must reach over {LEAST_REACH:g} mesh points; 1.915 does on a mesh factor of 3, 2.393 on 2"
            )

    @property
    def least_n(self) -> int:
        """The smallest number of particles per side: the box must be three times as wide as the pair force reaches."""
        return max(8, 2 * ceil(1.5 * self.reach))

    def dynamics(self, ics: InitialConditions) -> PairDynamics:
        from zeldo.engines.p3m.dynamics import PairDynamics

        return PairDynamics(self, ics)

    def timetable(self, ics: InitialConditions, redshifts: Sequence[float]) -> Timetable[MeshStep]:
        """Mesh steps that end at each of the redshifts."""
        begin = 1 / (1 + self.start_redshift)
        steps = self._mesh_steps(redshifts, longest_step(ics, self.mesh_step, self.crossing))
        at_start = redshifts[0] == self.start_redshift
        rows = [MeshStep(begin, begin, at_start), *weighted(steps, Weights(ics.cosmology))]
        ends = [i for i, row in enumerate(rows) if row.is_output]
        outputs: list[Output[MeshStep]] = [Output(z, i) for z, i in zip(redshifts, ends, strict=True)]
        work = [0.0, *(expected_pair_steps(step) + MESH_WORK for step in steps)]
        return Timetable(rows, outputs, work)

    def _mesh_steps(self, redshifts: Sequence[float], longest: Callable[[float], float]) -> list[MeshStep]:
        later = [z for z in redshifts if z < self.start_redshift]
        return schedule(self.start_redshift, later, longest)

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        """The cost at a lattice spacing of 2 Mpc/h, in the Quijote cosmology."""
        from numba import get_num_threads

        rms = plans.USUAL_RMS / plans.USUAL_SPACING
        longest = longest_at(plans.USUAL, rms, self.mesh_step, self.crossing)
        steps = self._mesh_steps(self.check(redshifts), longest)
        finer = (P3M.pair_accuracy / self.pair_accuracy) ** 0.5
        inner = sum(max(2.0, finer * expected_pair_steps(step)) for step in steps)
        cells, threads = int(n / self.reach), get_num_threads()
        return plans.pairs(n, self.mesh_factor, cells, threads, inner, len(steps), MESH_WORK)
