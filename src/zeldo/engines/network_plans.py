"""Expected costs of a network that is applied to a whole box: its tiles, their memory, and their time on this machine."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.engines.base import Plan
from zeldo.engines.plans import FIELD, PYTHON, STORE
from zeldo.errors import InputError
from zeldo.measuring.memory import budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zeldo.engines.trained import Trained

GB = 1e9
LIBRARY_GB = 0.3  # GB of torch and its libraries, beside Python
WITH_DYNAMICS = 8  # channels more in memory, measured: fields of the dynamics and copies of the output
KEPT = 1.7  # how much more a forward pass takes where what it frees stays with the process, in odd sizes: measured
KEPT_LEAN = 1.1  # the same where blocks copy no fields
KEPT_BETWEEN = 1.15  # how much more a run to several redshifts takes there, for the same reason: measured
INPUTS = 60.0  # ns per particle: inputs to and from the disk, and the density
PROBE = 48  # cells per side of the output of the crop that is timed


def network(engine: Trained, n: int, redshifts: Sequence[float]) -> Plan:
    """The cost of a network and, where it corrects an engine, of that engine.

    Parameters
    ----------
    engine : Trained
        The engine with the weights.
    n : int
        Particles per side.
    redshifts : sequence of float
        Of the snapshots.

    Returns
    -------
    Plan
    """
    from zeldo.engines.registry import dynamics_of
    from zeldo.networks import inference, tiling
    from zeldo.networks.weights import shared
    from zeldo.particles.tiles import tile_side

    net = shared(engine.path)
    task = net.card.make_task()
    layout, dtype = net.layout, inference.layer_type(task.dtype, engine.device, engine.precision)
    cpu = engine.device.partition(":")[0] == "cpu"
    wrapped = not cpu or _optimised(engine).wrapped
    free = tiling.free_memory(engine.device)
    # linear displacement, the dynamics' fields, the input, the output
    channels = 3 + task.in_channels + task.out_channels + (WITH_DYNAMICS if task.dynamics else 0)
    fields = 4 * channels * n**3
    choose = partial(
        tiling.choose_tiles,
        layout,
        n,
        share=tiling.SHARE,
        item_bytes=dtype.itemsize,
        passes=task.passes,
        device=engine.device,
        wrapped=wrapped,
    )
    tiles = engine.tiles
    if tiles is None and cpu:
        with suppress(InputError):  # where none fits beside the fields, the plan says what the run needs
            tiles = choose(budget() - GB * (PYTHON + LIBRARY_GB) - fields)
    tiles = tiles or choose(free)
    side = n if tiles == 1 else tiling.crop_side(layout, tile_side(n, tiles, layout.stride))
    forward = task.passes * tiling.memory_estimate(
        layout, side, periodic=tiles == 1, item_bytes=dtype.itemsize, wrapped=wrapped
    )
    kept = cpu and forward < tiling.SMALL * free
    if kept:
        forward *= KEPT if wrapped else KEPT_LEAN
    flops = tiles**3 * task.passes * layout.flops(side, periodic=tiles == 1)
    memory = (fields + forward * cpu) / GB + LIBRARY_GB
    seconds = None
    if cpu:
        seconds = len(redshifts) * flops / _rate(engine)
    vectors = len(task.predicts) + (getattr(engine, "velocity", None) is not None)  # of a second network
    plan = Plan(memory, seconds, tiles=tiles, vectors=vectors, network=seconds or 0.0)
    dynamics = dynamics_of(task)
    if dynamics is None:
        return plan
    plans = [dynamics.plan(n, [z]) for z in redshifts]
    total = None
    if seconds is not None and all(p.seconds is not None for p in plans):
        total = seconds + sum(p.seconds or 0.0 for p in plans)
    held = 3 * 4 * n**3 / GB + LIBRARY_GB  # the linear displacement, while the dynamics run
    memory *= KEPT_BETWEEN if kept and len(redshifts) > 1 else 1
    return replace(
        plan,
        memory_gb=max(memory, held + max(p.memory_gb for p in plans)),
        seconds=total,
        forces=sum(p.forces for p in plans),
    )


def streamed(engine: Trained, dynamics: Any, n: int, redshifts: Sequence[float]) -> Plan | None:
    """The cost of an emulator whose fields are on disk; None where they have to be in memory.

    The dynamics may need theirs there. And where the network's stride does not divide a block of planes on disk, no tiles
    of the network can fill it.

    Parameters
    ----------
    engine, n, redshifts
        As in `network`.
    dynamics : Engine
        What the network corrects.

    Returns
    -------
    Plan or None
    """
    from zeldo.engines.streamed_emulator import INPUT_SLABS
    from zeldo.files.universe_zarr import tile_of
    from zeldo.networks import inference, tiling
    from zeldo.networks.scales import DENSITY_MESH
    from zeldo.networks.weights import shared

    if engine.device != "cpu":
        return None
    planned = [dynamics.plan_streamed(n, [z], max(1, n // INPUT_SLABS), 4) for z in redshifts]
    if any(plan is None for plan in planned):
        return None
    net = shared(engine.path)
    task: Any = net.card.make_task()
    layout, block = net.layout, tile_of(n)
    if block % layout.stride:
        return None
    item_bytes = inference.layer_type(task.dtype, "cpu", engine.precision).itemsize
    # not what is free now: the libraries may not be loaded yet
    free = budget() - GB * (PYTHON + STORE + LIBRARY_GB)
    side = tiling.side_in_blocks(layout, n, block, item_bytes, engine.tiles, free=free)
    flops = (n / side) ** 3 * layout.flops(tiling.crop_side(layout, side))
    network = flops / _rate(engine)
    disk = 1e-9 * INPUTS * n**3
    tiles = tiling.block_bytes(layout, n, block) + tiling.tile_bytes(layout, side, item_bytes)
    # the force, where the dynamics took none, is read off planes of a gradient that may be as large as the mesh
    forced = "force" in task.inputs and any(plan.forces == 0 for plan in planned)
    meshes = 2 if forced else "density" in task.inputs
    meshed = meshes * 4 * (DENSITY_MESH * n) ** 3 + 2 * FIELD * n**3 / INPUT_SLABS
    inside = max(tiles, meshed) / GB
    return Plan(
        LIBRARY_GB + max(inside, *(plan.memory_gb for plan in planned)),
        sum(network + disk + plan.seconds for plan in planned),
        sum(plan.forces for plan in planned),
        tiles=n // side,
        scratch_gb=max(plan.scratch_gb for plan in planned) + 4 * task.in_channels * n**3 / GB,
        network=network * len(redshifts),
    )


def _optimised(engine: Trained) -> Any:
    """The network as it is applied on the CPU."""
    return _prepared(engine.path, engine.path.stat().st_mtime_ns, engine.precision)[0]


def _rate(engine: Trained) -> float:
    """Floating point operations per second of the network on the CPU, from a crop."""
    return _measured_rate(engine.path, engine.path.stat().st_mtime_ns, engine.precision)


@lru_cache(maxsize=4)
def _prepared(path: Path, modified: int, precision: str) -> tuple[Any, Any, Any]:
    """The network of a file as it is since a time, its task, and a setting."""
    from zeldo.cosmology.parameters import Cosmology
    from zeldo.networks.field import optimise
    from zeldo.networks.tasks.base import Setting
    from zeldo.networks.weights import shared

    net = shared(path)
    task = net.card.make_task()
    setting = Setting(Cosmology.preset("quijote"), 0.0, 2.0)
    return optimise(net, task, setting, precision=precision), task, setting


@lru_cache(maxsize=4)
def _measured_rate(path: Path, modified: int, precision: str) -> float:
    """The rate of the network of a file as it is since a time."""
    import torch

    from zeldo.networks import tiling
    from zeldo.networks.field import style_of
    from zeldo.networks.tasks.base import Batch

    net, task, setting = _prepared(path, modified, precision)
    side = tiling.crop_side(net.layout, PROBE)
    inputs = np.random.default_rng(0).standard_normal((1, task.in_channels, side, side, side), np.float32)
    batch = Batch(torch.from_numpy(inputs), style_of(task, setting), (setting,), periodic=False)
    with torch.no_grad():
        task.run(net, batch)  # the first one prepares kernels
        start = time.perf_counter()
        task.run(net, batch)
    return task.passes * net.layout.flops(side) / (time.perf_counter() - start)
