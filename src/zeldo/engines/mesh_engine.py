"""What `pm` and `cola` have in common: options of steps on a particle mesh, their checks, and what they cost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines import plans
from zeldo.engines.base import BLOCK, Plan
from zeldo.engines.checks import check_choice, check_nbody_start, check_number, check_whole, most_n
from zeldo.engines.leapfrog import Leapfrog
from zeldo.engines.steppers import Stepper
from zeldo.engines.stepping import Stepping
from zeldo.engines.table import SPACINGS, Row, Timetable, timetable
from zeldo.initial.conditions import InitialConditions
from zeldo.mesh.gravity import gravity


class MeshEngine(Stepping):
    """Steps of a particle mesh. A subclass has the defaults of the options, and says which force and steps it takes."""

    moving: ClassVar[bool]  # whether velocities are relative to 2LPT
    steps: int
    mesh_factor: int
    sharpening: float
    spacing: str
    start_redshift: float
    nbody_start: float
    device: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("steps", self.steps, 1, 10_000)
        check_whole("mesh_factor", self.mesh_factor, 1, 4)
        check_number("start_redshift", self.start_redshift, 0.5, 200)
        check_number("sharpening", self.sharpening, 0.0, 2.0)
        check_choice("spacing", self.spacing, SPACINGS)
        check_nbody_start(self.nbody_start)

    @abstractmethod
    def force_options(self, spacing: float) -> dict[str, Any]:
        """How the force is taken on a lattice of this spacing, Mpc/h: further arguments of `gravity`."""

    @abstractmethod
    def amplitudes(self, spacing: float) -> np.ndarray | None:
        """What waves of the linear field are multiplied by on a lattice of this spacing: see `zeldo.initial.lattice`."""

    @abstractmethod
    def stepper_in(self, cosmology: Cosmology) -> Stepper:
        """What gives the coefficients of kicks and drifts."""

    @property
    def spectral(self) -> bool:
        """Whether the force is the exact gradient on some lattices. It needs all particles at once."""
        return False

    @property
    def most_n(self) -> int:
        """The largest number of particles per side."""
        return most_n(self.mesh_factor) if self.device == "cpu" else super().most_n

    def dynamics(self, ics: InitialConditions) -> Leapfrog:
        force = gravity(
            ics.box, self.mesh_factor * ics.n, **self.force_options(ics.spacing), device=self.device
        )
        return Leapfrog(ics, force, moving=self.moving, amplitudes=self.amplitudes(ics.spacing))

    def timetable(self, ics: InitialConditions, redshifts: Sequence[float]) -> Timetable[Row]:
        return self.steps_of(ics.cosmology, redshifts)

    def steps_of(self, cosmology: Cosmology, redshifts: Sequence[float]) -> Timetable[Row]:
        """The steps in a cosmology, which decides nothing but their coefficients."""
        usual = isinstance(cosmology, Cosmology)  # one of tensors has derivatives
        return _kept_steps(self, cosmology, tuple(redshifts)) if usual else _steps(self, cosmology, redshifts)

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        steps = self.steps_of(plans.USUAL, self.check(redshifts))
        return plans.mesh(
            n,
            self.mesh_factor,
            steps,
            moving=self.moving,
            spectral=self.spectral,
            device=self.device,
        )

    def plan_streamed(
        self, n: int, redshifts: Sequence[float] = (0.0,), block: int = BLOCK, fields: int = 2
    ) -> Plan | None:
        if self.device != "cpu" or self.spectral:
            return None
        steps = self.steps_of(plans.USUAL, self.check(redshifts))
        return plans.streamed(n, self.mesh_factor, steps, moving=self.moving, block=block, fields=fields)


def _steps(engine: MeshEngine, cosmology: Cosmology, redshifts: Sequence[float]) -> Timetable[Row]:
    return timetable(
        cosmology,
        engine.stepper_in(cosmology),
        steps=engine.steps,
        start_redshift=engine.start_redshift,
        redshifts=redshifts,
        moving=engine.moving,
        sharpening=engine.sharpening,
        spacing=engine.spacing,
    )


# for many universes of one cosmology: steps take as long to plan as a small network takes to run
_kept_steps = lru_cache(maxsize=32)(_steps)
