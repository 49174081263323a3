"""zeldo plan"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.universe import Universe, Whole


def plan(
    *,
    universe: Universe | None = None,
    engine: str = "emulator",
    steps: Whole | None = None,
    mesh_factor: float | None = None,
    extrapolate: Annotated[bool, Parameter(negative="")] = False,
    redshift: Annotated[list[float] | None, Parameter(name=["--redshift", "-z"], negative="")] = None,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("zeldo.hdf5"),
    memory: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say what zeldo run with the same arguments will take: memory, disk and time.

    Parameters
    ----------
    engine:
        zeldovich, 2lpt, cola, pm, emulator, p3m, vnet, or a file of a network's weights, with options as for run.
    steps:
        Number of steps, by default the engine's own.
    mesh_factor:
        Mesh points per particle and dimension, by default the engine's own.
    extrapolate:
        Let a network leave the ranges of its model card.
    redshift:
        Redshift of the output (0). May be given several times.
    output:
        The file that run would write.
    memory:
        The most memory that the run may take, such as 8GB; by default what the machine has free.
    as_json:
        Print one line of JSON with memory_gb, disk_gb and seconds.
    """
    from zeldo import api

    expected = api.plan(
        engine=engine,
        steps=steps,
        mesh_factor=mesh_factor,
        extrapolate=extrapolate,
        redshift=redshift,
        output=output,
        memory=memory,
        **asdict(universe or Universe()),
    )
    if as_json:
        print(json.dumps({**asdict(expected), "fits": expected.fits}))
        return
    fits = "" if expected.fits else ": it does not fit"
    print(f"memory  {expected.memory_gb:.2f} GB of {expected.available_gb:.1f} GB{fits}")
    print(f"disk    {expected.disk_gb:.2f} GB")
    print("time    " + ("not known" if expected.seconds is None else f"{expected.seconds:.1f} s"))
    if expected.tiles is not None:
        print(f"tiles   {expected.tiles} per side")
