"""What a run will take: memory, disk and time, from the plans of the engines and what surrounds them.

The engines' costs are of idle cores of one machine. A short trial of the mesh kernels says how much slower or faster this
one is now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from zeldo.engines.base import Engine
from zeldo.errors import InputError
from zeldo.measuring.memory import available, budget, resident

GB = 1e9
PYTHON = 0.25  # GB of Python, NumPy, Numba and CAMB
FIELD_STAGE = 14  # bytes per particle while the linear field is made
START, POWER = 1.2, 1.3  # seconds: imports and compiled kernels, and CAMB
FIELD, WRITE = 40.0, 55.0  # ns per particle: the linear field, and one file
LIBRARIES = 2.5  # seconds to load torch and a network
BYTES = {".npz": 24, ".zarr": 12}  # per particle: positions or displacements; velocities take 12 more
GADGET_BYTES = 28  # with ids
VELOCITY_BYTES = 12
TRIAL = 96  # particles per side
TRIAL_COST = 18.0  # ns per particle of the trial, where the engines' costs were measured


@dataclass(frozen=True)
class RunPlan:
    """The expected cost of a whole run, such as a command.

    Parameters
    ----------
    memory_gb : float
        The most that the process holds, GB (10^9 bytes), with Python and its libraries.
    disk_gb : float
        Size of the outputs, GB; 0 where none is written.
    seconds : float or None
        Wall time on this machine as busy as it is now; None where no cost is known.
    available_gb : float
        The most that the process may hold: a limit that was set, or what the machine has free.
    forces : int
        How many times the force on all particles is computed; 0 for an engine without steps.
    tiles : int or None
        Pieces per side that a network divides the box into; None without a network.
    """

    memory_gb: float
    disk_gb: float
    seconds: float | None
    available_gb: float
    forces: int = 0
    tiles: int | None = None

    @property
    def fits(self) -> bool:
        """Whether there is memory enough."""
        return self.memory_gb <= self.available_gb


def plan_run(engine: Engine, n: int, redshifts: Sequence[float], output: Path | None) -> RunPlan:
    """The cost of a run.

    Parameters
    ----------
    engine : Engine
    n : int
        Particles per side.
    redshifts : sequence of float
        Of the snapshots.
    output : Path or None
        The file that is written, or one of them.

    Returns
    -------
    RunPlan
    """
    own = engine.plan(n, redshifts)
    files = 0 if output is None else len(redshifts)
    size = BYTES.get(output.suffix, GADGET_BYTES) if output is not None else 0
    size += VELOCITY_BYTES * (own.vectors > 1)
    seconds = None
    if own.seconds is not None:
        # a network's rate was measured here; the others' costs are scaled to this machine
        scale = slowness() if own.tiles is None else 1.0
        seconds = START + POWER + scale * own.seconds + (0 if own.tiles is None else LIBRARIES)
        seconds += slowness() * 1e-9 * n**3 * (FIELD + WRITE * files)
    return RunPlan(
        memory_gb=_memory(engine, n, redshifts),
        disk_gb=files * size * n**3 / GB,
        seconds=seconds,
        available_gb=budget() / GB,
        forces=own.forces,
        tiles=own.tiles,
    )


def check_fits(engine: Engine, n: int, redshifts: Sequence[float]) -> None:
    """`InputError` where a run cannot fit into the memory that this process may take."""
    needed = _memory(engine, n, redshifts) * GB
    free = available() + resident()
    if needed > free:
        raise InputError(
            f"{engine.name} with n = {n} needs about {needed / GB:.3g} GB of memory, and {free / GB:.3g} GB may be "
            "taken: give a smaller n or mesh_factor, fewer redshifts, or more memory"
        )


def _memory(engine: Engine, n: int, redshifts: Sequence[float]) -> float:
    return PYTHON + max(engine.plan(n, redshifts).memory, FIELD_STAGE * n**3 / GB)


@cache
def slowness() -> float:
    """How many times longer the mesh kernels take here and now than where the engines' costs were measured."""
    from zeldo.mesh.gravity import gravity

    box = 2.0 * TRIAL
    psi = np.random.default_rng(1).standard_normal((3, TRIAL, TRIAL, TRIAL), dtype=np.float32)
    force = gravity(box, TRIAL)
    force(psi)  # kernels are read from the disk, or compiled
    start = time.perf_counter()
    for _ in range(3):
        force(psi)
    return (time.perf_counter() - start) / 3 / (1e-9 * TRIAL_COST * TRIAL**3)
