"""A particle mesh whose time steps follow the growth of structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.checks import check_choice
from zeldo.engines.mesh_engine import MeshEngine
from zeldo.engines.registry import register
from zeldo.engines.steppers import STEPPERS, Stepper
from zeldo.initial.lattice import amplitudes, mesh_response


@register
@dataclass(frozen=True)
class ParticleMesh(MeshEngine):
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
        check_choice("stepper", self.stepper, STEPPERS)

    def stepper_in(self, cosmology: Cosmology) -> Stepper:
        return STEPPERS[self.stepper](cosmology)

    def force_options(self, spacing: float) -> dict[str, Any]:
        # the exact gradient resonates with the lattice while particles still sit near it (docs/notes/mesh.md)
        return {"gradient": "difference", "deconvolution": 0.0}

    def amplitudes(self, spacing: float) -> np.ndarray | None:
        if not self.nbody_start:
            return None
        response = mesh_response(self.mesh_factor, **self.force_options(spacing))
        return amplitudes(self.nbody_start, self.start_redshift, response)
