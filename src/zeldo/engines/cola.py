"""COLA: a particle mesh that follows only what 2LPT leaves, so that ten steps are enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from zeldo.engines.leapfrog import evolve
from zeldo.engines.registry import Progress, check_redshifts, check_start, check_whole, register
from zeldo.engines.steppers import Cola as ColaStepper
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.mesh.gravity import gravity
from zeldo.particles.snapshot import Snapshot

COARSE_LATTICE = 3.0  # Mpc/h; displacements today are some 5 Mpc/h


@register
@dataclass(frozen=True)
class Cola:
    """Tassev, Zaldarriaga & Eisenstein 2013 (arXiv:1301.0322).

    steps: forces from the start to the last redshift, uniform in the scale factor.
    mesh_factor: mesh points per particle and dimension, 1 to 4.
    start_redshift: where the steps begin; None is 9 on a mesh as coarse as the lattice and 10 on a finer one.
    exponent: n_LPT, how momenta relative to 2LPT change with a; None is -2.5 on the coarse mesh and -3 on a finer one.
    device: "cpu" (Numba), or a device of torch such as "cuda"; "torch" is torch on the CPU.
    """

    name: ClassVar[str] = "cola"
    steps: int = 10
    mesh_factor: int = 1
    start_redshift: float | None = None
    exponent: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_whole("steps", self.steps, 1, 10_000)
        check_whole("mesh_factor", self.mesh_factor, 1, 4)
        check_start(self.start)
        if not (isinstance(self.n_lpt, int | float) and -10 <= self.n_lpt <= -0.5):
            raise InputError(
                f"exponent = {self.exponent!r} is not allowed: give a number from -10 to -0.5, such as -2.5"
            )

    @property
    def start(self) -> float:
        """The redshift of the start."""
        if self.start_redshift is not None:
            return self.start_redshift
        return 9.0 if self.mesh_factor == 1 else 10.0

    @property
    def n_lpt(self) -> float:
        """The exponent of the stepper."""
        if self.exponent is not None:
            return self.exponent
        return -2.5 if self.mesh_factor == 1 else -3.0

    def run(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress | None = None
    ) -> Iterator[Snapshot]:
        redshifts = check_redshifts(redshifts, self.start)
        # chosen by measurement (docs/engines.md): on the coarse mesh a soft force with one window divided out is as good as
        # the exact gradient at half the transforms; on finer meshes the exact gradient wins inside halos, but it resonates
        # with a lattice so coarse that particles stay near it
        coarse = self.mesh_factor == 1
        exact = not coarse and ics.spacing <= COARSE_LATTICE
        force = gravity(
            ics.n,
            ics.box,
            self.mesh_factor * ics.n,
            gradient="spectral" if exact else "difference",
            deconvolution=1.0 if coarse else 0.0,
            device=self.device,
        )
        states = evolve(
            ics,
            redshifts,
            stepper=ColaStepper(ics.cosmology, self.n_lpt),
            gravity=force,
            steps=self.steps,
            start_redshift=self.start,
            relative_to_lpt=True,
            progress=progress,
        )
        settings = {**asdict(self), "start_redshift": self.start, "exponent": self.n_lpt}
        for z, psi, vel in states:
            yield Snapshot.of(ics, psi, vel, z, self.name, settings)
