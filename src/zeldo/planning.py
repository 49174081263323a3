"""What a run will take: memory, disk and time, from the plans of the engines and what surrounds them.

The engines' costs are of idle cores of one machine. A short trial of the mesh kernels says how much slower or faster this
one is now.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import escape
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import Engine, Plan
from zeldo.engines.plans import PYTHON, STORE, growth_of_costs
from zeldo.errors import InputError, ZeldoWarning
from zeldo.files.atomic import free_space
from zeldo.files.universe_zarr import tile_of
from zeldo.measuring.memory import budget

GB = 1e9
FIELD_STAGE = 9.5  # bytes per particle while the linear field is made
START, POWER = 1.2, 1.3  # seconds: imports and compiled kernels, and CAMB
FIELD, WRITE = 40.0, 55.0  # ns per particle: the linear field, and one file
MEASURE = 300.0  # ns per particle: a statistic of a suite
# per particle, with what the engine still holds: by the number of statistics of a suite
MEASURE_BYTES = (0, 80, 95)
# per particle: what the engine holds besides where further outputs follow the one that is measured
HELD_BYTES = 30
LIBRARY = 0.2  # GB of torch, which statistics load
LIBRARY_SECONDS = 2.5  # seconds to load torch and a network
# per particle: positions or displacements, and ids where the format has them; velocities take 12 more
BYTES = {".npz": 24, ".zarr": 12, ".gadget": 16, ".gadget2": 16, ".bigfile": 32}
PARTICLES = Path("particles.hdf5")  # of a universe of a suite
STREAMED = ".zarr"  # outputs that particles can be written to a tile at a time
GADGET_BYTES = 28  # of HDF5, with ids
VELOCITY_BYTES = 12
ROW_BYTES = 1000  # of a universe of a suite: its row, and its line of the manifest
COLUMNS = 3  # arrays that a statistic of a suite adds
COLUMN_BYTES = 270  # of an array in a file, beside its numbers
TRIAL, TRIALS = 96, 9  # particles per side, and how often
FRESH = 30.0  # seconds after which the trial is made again
TRIAL_COST = 18.0  # ns per particle of the trial, where the engines' costs were measured


@dataclass(frozen=True)
class RunPlan:
    """The expected cost of a whole run, such as a command; of a suite, by one process.

    Parameters
    ----------
    memory_gb : float
        The most that the process holds, GB (10^9 bytes), with Python and its libraries.
    disk_gb : float
        Size of the outputs of all universes, GB; 0 where none is written.
    seconds : float or None
        Wall time of all universes on this machine under its present load; None where no cost is known.
    available_gb : float
        The most that the process may hold: a limit that was set, or what the machine has free.
    forces : int
        How many times the force on all particles is computed; 0 for an engine without steps.
    tiles : int or None
        Pieces per side that a network divides the box into; None without a network.
    scratch_gb : float
        Size of the files beside the output that hold the particles during the run, GB; 0 where they are in memory.
    device_gb : float
        The most that the run holds on a GPU, GB; 0 for a run on the CPU.
    device_available_gb : float
        What the GPU has free, GB.
    universes : int
        How many are made, one after the other.
    """

    memory_gb: float
    disk_gb: float
    seconds: float | None
    available_gb: float
    forces: int = 0
    tiles: int | None = None
    scratch_gb: float = 0.0
    device_gb: float = 0.0
    device_available_gb: float = 0.0
    universes: int = 1

    @property
    def fits(self) -> bool:
        """Whether there is memory enough."""
        return self.memory_gb <= self.available_gb and self.device_gb <= self.device_available_gb


def plan_run(engine: Engine, n: int, redshifts: Sequence[float], output: Path | None) -> RunPlan:
    """The cost of a run.

    Parameters
    ----------
    engine : Engine
    n : int
        Particles per side.
    redshifts : sequence of float
        Redshifts of the snapshots.
    output : Path or None
        The file that is written, or one of them.

    Returns
    -------
    RunPlan
    """
    own, _ = chosen_plan(engine, n, redshifts, output)
    files = 0 if output is None else len(redshifts)
    return _whole(
        engine,
        own,
        n,
        disk_gb=0.0 if output is None else _disk(own, n, files, output),
        seconds=_seconds(own, n, WRITE * files),
    )


def plan_universes(
    engine: Engine, n: int, redshifts: Sequence[float], tasks: Sequence[Cosmology], *, statistics: int = 0
) -> RunPlan:
    """The cost of a suite, whose universes one process makes one after the other.

    Parameters
    ----------
    engine, n, redshifts
        As in `plan_run`.
    tasks : sequence of Cosmology
        That of each universe.
    statistics : int
        How many are measured and kept in place of particles, which 0 keeps.

    Returns
    -------
    RunPlan
    """
    own, times, count = engine.plan(n, redshifts), len(redshifts), len(tasks)
    return _whole(
        engine,
        own,
        n,
        disk_gb=count * _kept(own, n, times, statistics),
        seconds=_seconds(own, n, times * (statistics * MEASURE or WRITE), count, len(set(tasks))),
        universes=count,
        statistics=statistics,
        outputs=times,
    )


def _whole(engine: Engine, own: Plan, n: int, statistics: int = 0, outputs: int = 1, **costs: Any) -> RunPlan:
    """A plan of the engine with what surrounds it."""
    return RunPlan(
        memory_gb=_memory(own, n, statistics, outputs),
        available_gb=budget() / GB,
        forces=own.forces,
        tiles=own.tiles,
        scratch_gb=own.scratch_gb,
        device_gb=own.device_gb,
        device_available_gb=_device_free(engine, own),
        **costs,
    )


def _seconds(own: Plan, n: int, kept: float, universes: int = 1, cosmologies: int = 1) -> float | None:
    """Wall time of a process; what is kept of a universe takes `kept` ns per particle."""
    if own.seconds is None:
        return None
    # a network's rate was measured here; the others' costs are scaled to this machine
    around = 1e-9 * n**3 * growth_of_costs(n) * (FIELD + kept)
    once = START + POWER * cosmologies + (0 if own.tiles is None else LIBRARY_SECONDS)
    return once + universes * (slowness() * (own.seconds - own.network + around) + own.network)


def chosen_plan(engine: Engine, n: int, redshifts: Sequence[float], output: Path | None) -> tuple[Plan, bool]:
    """The plan of a run, and whether its particles are on disk: where they do not fit into memory, and can be there."""
    own = engine.plan(n, redshifts)
    if output is not None and output.suffix.lower() == STREAMED and GB * _memory(own, n) > budget():
        streamed = engine.plan_streamed(n, redshifts)
        if streamed is not None and _memory(streamed, n) < _memory(own, n):  # more for a small lattice
            return streamed, True
    return own, False


def check_fits(
    engine: Engine,
    n: int,
    redshifts: Sequence[float],
    output: Path | None = None,
    *,
    may_stream: bool = True,
    statistics: int = 0,
) -> bool:
    """Whether the particles of a run are to be on disk. `InputError` where the run cannot fit.

    Parameters
    ----------
    engine, n, redshifts, output
        As in `plan_run`.
    may_stream : bool
        Whether another output could be one that particles are written to a tile at a time; in a suite none is.
    statistics : int
        As in `plan_universes`.
    """
    plan, streamed = chosen_plan(engine, n, redshifts, output)
    there = _device_free(engine, plan)
    if plan.device_gb > there:
        raise InputError(
            f"{engine.name} with n = {n} needs about {plan.device_gb:.3g} GB on {getattr(engine, 'device', 'the GPU')}, but "
            f"{there:.3g} GB are free: give a smaller n or mesh_factor, or leave out device to run on the CPU"
        )
    needed, free = GB * _memory(plan, n, statistics, len(redshifts)), budget()
    if needed > free:
        elsewhere = output is None or output.suffix.lower() != STREAMED
        other = engine.plan_streamed(n, redshifts) if may_stream and elsewhere else None
        streams = other is not None and _memory(other, n) < _memory(plan, n)
        raise InputError(
            f"{engine.name} with n = {n} needs about {needed / GB:.3g} GB of memory, but only {free / GB:.3g} GB is "
            f"available: give a smaller n{' or mesh_factor' if getattr(engine, 'mesh_factor', 1) > 1 else ''}, "
            f"{'fewer redshifts, ' if len(redshifts) > 1 else ''}or more memory"
            + (", or an output NAME.zarr" if streams else "")
        )
    if output is not None and not _exists(output):
        if streamed:  # all outputs but the last, and the first block of that one
            written = len(redshifts) - 1 + min(1.0, tile_of(n) / n)
            size = written * 2 * VELOCITY_BYTES * n**3 / GB + plan.scratch_gb
        else:
            size = _disk(plan, n, len(redshifts), output)
        space = free_space(output.resolve().parent) / GB
        if size > space:
            raise InputError(
                f"{engine.name} with n = {n} needs about {size:.3g} GB of disk at {output.resolve().parent}, and "
                f"{space:.3g} GB are free: write elsewhere{', or give more memory' if streamed else ''}"
            )
    return streamed


def warn_of_space(
    engine: Engine,
    n: int,
    redshifts: Sequence[float],
    universes: int,
    directory: Path,
    *,
    statistics: int = 0,
) -> None:
    """Warn where the universes that a suite lacks take more than the free disk.

    A full disk loses none of those that are made, and some may be moved away meanwhile, so this is no error.

    Parameters
    ----------
    engine, n, redshifts, statistics
        As in `plan_universes`.
    universes : int
        How many are missing.
    directory : Path
        That of the suite.
    """
    size = universes * _kept(engine.plan(n, redshifts), n, len(redshifts), statistics)
    space = free_space(directory) / GB
    if size > space:
        warnings.warn(
            f"{universes} universes take about {size:.3g} GB of disk at {directory}, and {space:.3g} GB are free: the suite "
            f"stops when the disk is full{'' if statistics else ', unless it keeps measurements alone'}",
            ZeldoWarning,
            stacklevel=3,
        )


def _device_free(engine: Engine, plan: Plan) -> float:
    """GB free on the engine's GPU, where its plan takes any."""
    if not plan.device_gb:
        return 0.0
    from zeldo.networks.tiling import free_memory

    return free_memory(engine.device) / GB  # type: ignore[attr-defined] # only engines with one plan for it


def _exists(output: Path) -> bool:
    """Whether a file of the run is there already, whose place a new one takes."""
    others = f"{escape(output.stem)}_z*{escape(output.suffix)}"  # of several redshifts
    return output.exists() or any(output.parent.glob(others))


def _disk(plan: Plan, n: int, files: int, output: Path) -> float:
    """The size of a run's files, GB."""
    size = BYTES.get(output.suffix.lower(), GADGET_BYTES) + VELOCITY_BYTES * (plan.vectors > 1)
    return files * size * n**3 / GB


def _kept(plan: Plan, n: int, times: int, statistics: int) -> float:
    """What a suite keeps of a universe, GB."""
    if statistics:
        return (times * statistics * COLUMNS * (COLUMN_BYTES + 8 * n / 2) + ROW_BYTES) / GB
    return _disk(plan, n, times, PARTICLES) + ROW_BYTES / GB


def _memory(plan: Plan, n: int, statistics: int = 0, outputs: int = 1) -> float:
    # torch stays for the next universe; the plan of a network has it already
    library = LIBRARY if statistics else 0.0
    measuring = MEASURE_BYTES[statistics] + (HELD_BYTES if statistics and outputs > 1 else 0)
    stages = (
        plan.memory_gb + (library if plan.tiles is None else 0.0),
        library + FIELD_STAGE * n**3 / GB,
        library + measuring * n**3 / GB,
    )
    return PYTHON + STORE * (plan.scratch_gb > 0) + max(stages)


def slowness() -> float:
    """How many times longer the mesh kernels take here and now than where the engines' costs were measured."""
    return _slowness(int(time.monotonic() / FRESH))


@lru_cache(maxsize=1)
def _slowness(period: int) -> float:
    from zeldo.mesh.gravity import gravity

    box = 2.0 * TRIAL
    psi = np.random.default_rng(1).standard_normal((3, TRIAL, TRIAL, TRIAL), dtype=np.float32)
    force = gravity(box, TRIAL)
    force(psi)  # kernels are read from the disk, or compiled
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        force(psi)
        seconds.append(time.perf_counter() - start)
    return median(seconds) / (
        1e-9 * TRIAL_COST * TRIAL**3
    )  # what else begins or ends meanwhile does not count
