"""zeldo: from a cosmology and a seed to the evolved universe.

    import zeldo

    snapshot, = zeldo.run(cosmology="quijote", box=250, n=128, seed=7, engine="cola", redshift=0)
    spectrum = zeldo.power_spectrum(snapshot)

Names load their module when first used.
"""

import os
from importlib import import_module
from typing import Any

from zeldo.errors import ConvergenceError, DamagedFileError, InputError, ZeldoError
from zeldo.version import __version__

# Threads of Numba's kernels sleep while they wait: spinning, they keep the Fourier transforms' threads from the cores.
# It counts where it is set before OpenMP starts, and a user's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "Cosmology": "zeldo.cosmology.parameters",
    "growth": "zeldo.cosmology.background",
    "expansion": "zeldo.cosmology.background",
    "linear_power": "zeldo.cosmology.power",
    "InitialConditions": "zeldo.initial.conditions",
    "Snapshot": "zeldo.particles.snapshot",
    "read": "zeldo.files",
    "write": "zeldo.files",
    "read_reference": "zeldo.files.reference",
    "reference_path": "zeldo.files.reference",
    "engine": "zeldo.engines.registry",
    "compare_snapshots": "zeldo.statistics",
    "power_spectrum": "zeldo.statistics",
    "redshift_space_multipoles": "zeldo.statistics",
    "equilateral_bispectrum": "zeldo.statistics",
    "squeezed_bispectrum": "zeldo.statistics",
    "friends_of_friends": "zeldo.statistics",
    "mass_function": "zeldo.statistics",
    "initial_conditions": "zeldo.api",
    "run": "zeldo.api",
    "compare": "zeldo.comparing",
}
_PACKAGES = (
    "cosmology",
    "datasets",
    "engines",
    "files",
    "initial",
    "measuring",
    "mesh",
    "networks",
    "particles",
    "report",
    "reproduce",
    "statistics",
    "store",
    "training",
)

__all__ = [
    "ConvergenceError",
    "DamagedFileError",
    "InputError",
    "ZeldoError",
    "__version__",
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"zeldo.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'zeldo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES]
