"""COLA: a particle mesh that follows only what 2LPT leaves, so that ten steps are enough."""

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
from zeldo.engines.steppers import Cola as ColaStepper
from zeldo.engines.stepping import Stepping
from zeldo.engines.table import SPACINGS, Row, Timetable, timetable
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lattice import amplitudes, mesh_response
from zeldo.mesh.gravity import gravity

COARSE_LATTICE = 3.0  # Mpc/h; displacements today are some 5 Mpc/h
HELD_BACK = 1 / 4  # scale factor until which the coarse mesh holds waves back: docs/notes/emulator.md


@register
@dataclass(frozen=True)
class Cola(Stepping):
    """COLA: steps of a particle mesh for what 2LPT leaves out (Tassev, Zaldarriaga & Eisenstein 2013, arXiv:1301.0322).

    Parameters
    ----------
    steps : int
        Number of forces from the start to the last redshift.
    mesh_factor : int
        Mesh points per particle and dimension, 1 to 4.
    sharpening : float
        Cloud-in-cell windows that are divided out of the last forces beyond the usual ones, 0 to 2, as in `pm`.
    spacing : str
        "uniform" or "graded", as in `pm`.
    start_redshift : float, optional
        Redshift of the first step; by default 9 with a mesh factor of 1, and 10 on finer meshes.
    exponent : float, optional
        n_LPT: momenta relative to 2LPT vary as a^n_LPT within a step; by default -2.5 with a mesh factor of 1, and -3
        on finer meshes.
    nbody_start : float
        Redshift at which the N-body run to be matched starts, such as 49: the linear field is filtered so that waves on the
        scale of the lattice have grown as they do there by z = 5 (`zeldo.initial.lattice`). With 0 they grow as in a fluid.
    device : str
        "cpu" for the Numba kernels, a torch device such as "cuda", or "torch" for torch on the CPU.
    checkpoint, checkpoint_minutes
        See `zeldo.engines.stepping.Stepping`.
    """

    name: ClassVar[str] = "cola"
    moving: ClassVar[bool] = True
    revision: ClassVar[int] = 1
    steps: int = 10
    mesh_factor: int = 1
    sharpening: float = 0.0
    spacing: str = "uniform"
    start_redshift: float = None  # type: ignore[assignment]
    exponent: float = None  # type: ignore[assignment]
    nbody_start: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("steps", self.steps, 1, 10_000)
        check_whole("mesh_factor", self.mesh_factor, 1, 4)
        for name, coarse, fine in (("start_redshift", 9.0, 10.0), ("exponent", -2.5, -3.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, coarse if self.mesh_factor == 1 else fine)
        check_number("start_redshift", self.start_redshift, 0.5, 200)
        check_number("sharpening", self.sharpening, 0.0, 2.0)
        check_choice("spacing", self.spacing, SPACINGS)
        check_nbody_start(self.nbody_start)
        check_number("exponent", self.exponent, -10, -0.5, ", such as -2.5")

    @property
    def most_n(self) -> int:
        """The largest number of particles per side."""
        return most_n(self.mesh_factor) if self.device == "cpu" else super().most_n

    def force_options(self, spacing: float) -> dict[str, Any]:
        """How the force is taken on a lattice of this spacing, Mpc/h: further arguments of `gravity`."""
        # chosen by measurement (docs/notes/mesh.md): on the coarse mesh a soft force with one window divided out equals
        # the exact gradient at half the transforms; on finer meshes the exact gradient wins inside halos, but it resonates
        # with a lattice so coarse that particles stay near it
        coarse = self.mesh_factor == 1
        exact = not coarse and spacing <= COARSE_LATTICE
        return {
            "gradient": "spectral" if exact else "difference",
            "deconvolution": 1.0 if coarse else 0.0,
        }

    def amplitudes(self, spacing: float) -> np.ndarray | None:
        """What waves of the linear field are multiplied by on a lattice of this spacing: see `zeldo.initial.lattice`."""
        if not self.nbody_start:
            return None
        coarse = self.mesh_factor == 1
        response = mesh_response(1, **self.force_options(spacing)) if coarse else None
        return amplitudes(self.nbody_start, self.start_redshift, response, HELD_BACK)

    def dynamics(self, ics: InitialConditions) -> Leapfrog:
        force = gravity(
            ics.box, self.mesh_factor * ics.n, **self.force_options(ics.spacing), device=self.device
        )
        return Leapfrog(ics, force, moving=True, amplitudes=self.amplitudes(ics.spacing))

    def timetable(self, ics: InitialConditions, redshifts: Sequence[float]) -> Timetable[Row]:
        return self.steps_of(ics.cosmology, redshifts)

    def steps_of(self, cosmology: Cosmology, redshifts: Sequence[float]) -> Timetable[Row]:
        """The steps in a cosmology, which decides nothing but their coefficients."""
        return timetable(
            cosmology,
            ColaStepper(cosmology, self.exponent),
            steps=self.steps,
            start_redshift=self.start_redshift,
            redshifts=redshifts,
            moving=True,
            sharpening=self.sharpening,
            spacing=self.spacing,
        )

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        steps = self.steps_of(plans.USUAL, self.check(redshifts))
        return plans.mesh(
            n, self.mesh_factor, steps, moving=True, spectral=self.mesh_factor > 1, cpu=self.device == "cpu"
        )

    def plan_streamed(
        self, n: int, redshifts: Sequence[float] = (0.0,), block: int = BLOCK, fields: int = 2
    ) -> Plan | None:
        if self.device != "cpu" or self.mesh_factor > 1:  # the exact gradient needs all particles at once
            return None
        steps = self.steps_of(plans.USUAL, self.check(redshifts))
        return plans.streamed(n, self.mesh_factor, steps, moving=True, block=block, fields=fields)
