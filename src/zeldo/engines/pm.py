"""A particle mesh whose time steps follow the growth of structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines import plans
from zeldo.engines.base import BLOCK, Plan
from zeldo.engines.checks import check_choice, check_nbody_start, check_number, check_whole, most_n
from zeldo.engines.leapfrog import Leapfrog
from zeldo.engines.registry import register
from zeldo.engines.steppers import STEPPERS
from zeldo.engines.stepping import Stepping
from zeldo.engines.table import SPACINGS, Row, Timetable, timetable
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lattice import amplitudes, mesh_response
from zeldo.mesh.gravity import gravity


@register
@dataclass(frozen=True)
class ParticleMesh(Stepping):
    """Particle mesh with growth-aware steps (Feng et al. 2016, arXiv:1603.00476; Rampf et al. 2025, arXiv:2409.19049).

    Parameters
    ----------
    steps : int
        Number of forces from the start to the last redshift.
    mesh_factor : int
        Mesh points per particle and dimension, 1 to 4.
    sharpening : float
        Cloud-in-cell windows that are divided out of the last forces, 0 to 2. Sharper forces give better halos and
        velocities, but too much power where particles still sit near their lattice.
    spacing : str
        "uniform" for steps that are equal in the scale factor, or "graded" for steps at equal ratios of it early and short
        ones at the end. Graded steps go well with an earlier start, such as `start_redshift=16`.
    stepper : str
        "bullfrog", in which second-order growth is exact, or "fastpm", in which first-order growth is.
    start_redshift : float
        Redshift where 2LPT ends and the steps begin.
    nbody_start : float
        Redshift at which the N-body run to be matched starts, such as 49: the linear field is filtered so that waves on the
        scale of the lattice have grown as they do there by z = 5 (`zeldo.initial.lattice`). With 0 they grow as in a fluid.
    device : str
        "cpu" for the Numba kernels, a torch device such as "cuda", or "torch" for torch on the CPU.
    checkpoint, checkpoint_minutes
        See `zeldo.engines.stepping.Stepping`.
    """

    name: ClassVar[str] = "pm"
    moving: ClassVar[bool] = False
    revision: ClassVar[int] = 1
    steps: int = 10
    mesh_factor: int = 2
    sharpening: float = 0.0
    spacing: str = "uniform"
    stepper: str = "bullfrog"
    start_redshift: float = 9.0
    nbody_start: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("steps", self.steps, 1, 10_000)
        check_whole("mesh_factor", self.mesh_factor, 1, 4)
        check_choice("stepper", self.stepper, STEPPERS)
        check_number("start_redshift", self.start_redshift, 0.5, 200)
        check_number("sharpening", self.sharpening, 0.0, 2.0)
        check_choice("spacing", self.spacing, SPACINGS)
        check_nbody_start(self.nbody_start)

    @property
    def most_n(self) -> int:
        """The largest number of particles per side."""
        return most_n(self.mesh_factor) if self.device == "cpu" else super().most_n

    def force_options(self, spacing: float) -> dict[str, Any]:
        """How the force is taken on a lattice of this spacing, Mpc/h: further arguments of `gravity`."""
        # the exact gradient resonates with the lattice while particles still sit near it (docs/notes/mesh.md)
        return {"gradient": "difference", "deconvolution": 0.0}

    def amplitudes(self, spacing: float) -> np.ndarray | None:
        """What waves of the linear field are multiplied by on a lattice of this spacing: see `zeldo.initial.lattice`."""
        if not self.nbody_start:
            return None
        response = mesh_response(self.mesh_factor, **self.force_options(spacing))
        return amplitudes(self.nbody_start, self.start_redshift, response)

    def dynamics(self, ics: InitialConditions) -> Leapfrog:
        force = gravity(
            ics.box, self.mesh_factor * ics.n, **self.force_options(ics.spacing), device=self.device
        )
        return Leapfrog(ics, force, amplitudes=self.amplitudes(ics.spacing))

    def timetable(self, ics: InitialConditions, redshifts: Sequence[float]) -> Timetable[Row]:
        return self.steps_of(ics.cosmology, redshifts)

    def steps_of(self, cosmology: Cosmology, redshifts: Sequence[float]) -> Timetable[Row]:
        """The steps in a cosmology, which decides nothing but their coefficients."""
        return timetable(
            cosmology,
            STEPPERS[self.stepper](cosmology),
            steps=self.steps,
            start_redshift=self.start_redshift,
            redshifts=redshifts,
            moving=False,
            sharpening=self.sharpening,
            spacing=self.spacing,
        )

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        steps = self.steps_of(plans.USUAL, self.check(redshifts))
        return plans.mesh(n, self.mesh_factor, steps, moving=False, spectral=False, cpu=self.device == "cpu")

    def plan_streamed(
        self, n: int, redshifts: Sequence[float] = (0.0,), block: int = BLOCK, fields: int = 2
    ) -> Plan | None:
        if self.device != "cpu":
            return None
        steps = self.steps_of(plans.USUAL, self.check(redshifts))
        return plans.streamed(n, self.mesh_factor, steps, moving=False, block=block, fields=fields)
