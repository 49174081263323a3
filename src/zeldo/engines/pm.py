"""A particle mesh with steps that know how structure grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from zeldo.engines.leapfrog import evolve
from zeldo.engines.registry import Progress, check_redshifts, check_start, check_whole, register
from zeldo.engines.steppers import STEPPERS
from zeldo.errors import InputError, nearest
from zeldo.initial.conditions import InitialConditions
from zeldo.mesh.gravity import gravity
from zeldo.particles.snapshot import Snapshot


@register
@dataclass(frozen=True)
class ParticleMesh:
    """Feng et al. 2016 (arXiv:1603.00476) and Rampf, List & Hahn 2024 (arXiv:2409.19049).

    steps: forces from the start to the last redshift, uniform in the scale factor.
    mesh_factor: mesh points per particle and dimension, 1 to 4.
    stepper: "bullfrog" (growth exact to second order) or "fastpm" (to first).
    start_redshift: where 2LPT ends and the steps begin.
    device: "cpu" (Numba), or a device of torch such as "cuda"; "torch" is torch on the CPU.
    """

    name: ClassVar[str] = "pm"
    steps: int = 10
    mesh_factor: int = 2
    stepper: str = "bullfrog"
    start_redshift: float = 9.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_whole("steps", self.steps, 1, 10_000)
        check_whole("mesh_factor", self.mesh_factor, 1, 4)
        if self.stepper not in STEPPERS:
            hint = nearest(str(self.stepper), STEPPERS)
            raise InputError(
                f"stepper {self.stepper!r} is not known: choose one of {', '.join(STEPPERS)}{hint}"
            )
        check_start(self.start_redshift)

    def run(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress | None = None
    ) -> Iterator[Snapshot]:
        redshifts = check_redshifts(redshifts, self.start_redshift)
        # the exact gradient resonates with the lattice while particles still sit near it (docs/engines.md)
        states = evolve(
            ics,
            redshifts,
            stepper=STEPPERS[self.stepper](ics.cosmology),
            gravity=gravity(ics.n, ics.box, self.mesh_factor * ics.n, device=self.device),
            steps=self.steps,
            start_redshift=self.start_redshift,
            relative_to_lpt=False,
            progress=progress,
        )
        for z, psi, vel in states:
            yield Snapshot.of(ics, psi, vel, z, self.name, asdict(self))
