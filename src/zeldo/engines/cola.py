"""COLA: a particle mesh that follows only what 2LPT leaves, so that ten steps are enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.checks import check_number
from zeldo.engines.mesh_engine import MeshEngine
from zeldo.engines.registry import register
from zeldo.engines.steppers import Cola as ColaStepper
from zeldo.engines.steppers import Stepper
from zeldo.initial.lattice import amplitudes, mesh_response

COARSE_LATTICE = 3.0  # Mpc/h; displacements today are some 5 Mpc/h
HELD_BACK = 1 / 4  # scale factor until which the coarse mesh holds waves back: docs/notes/emulator.md


@register
@dataclass(frozen=True)
class Cola(MeshEngine):
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
        for name, coarse, fine in (("start_redshift", 9.0, 10.0), ("exponent", -2.5, -3.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, coarse if self.mesh_factor == 1 else fine)
        super().__post_init__()
        check_number("exponent", self.exponent, -10, -0.5, ", such as -2.5")

    def stepper_in(self, cosmology: Cosmology) -> Stepper:
        return ColaStepper(cosmology, self.exponent)

    @property
    def spectral(self) -> bool:
        return self.mesh_factor > 1

    def force_options(self, spacing: float) -> dict[str, Any]:
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
        if not self.nbody_start:
            return None
        coarse = self.mesh_factor == 1
        response = mesh_response(1, **self.force_options(spacing)) if coarse else None
        return amplitudes(self.nbody_start, self.start_redshift, response, HELD_BACK)
