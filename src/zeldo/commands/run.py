"""zeldo run"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.universe import Universe, Whole


def run(
    *,
    universe: Universe | None = None,
    engine: str = "emulator",
    steps: Whole | None = None,
    mesh_factor: float | None = None,
    extrapolate: Annotated[bool, Parameter(negative="")] = False,
    redshift: Annotated[list[float] | None, Parameter(name=["--redshift", "-z"], negative="")] = None,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("zeldo.hdf5"),
    memory: str | None = None,
) -> None:
    """Evolve a universe and write its particles.

    Parameters
    ----------
    engine:
        emulator, emulator:fast, zeldovich, 2lpt, cola, pm, p3m, vnet, or a file of a network's weights. Further options
        follow a colon, as in cola:start_redshift=19. The emulator serves lattice spacings of 1 to 4 Mpc/h and z = 3 to 0.
    steps:
        Number of steps, by default the engine's own.
    mesh_factor:
        Mesh points per particle and dimension, by default the engine's own.
    extrapolate:
        Let a network leave the ranges of its model card. The output records it.
    redshift:
        Redshift of the output (0). May be given several times.
    output:
        A file to write: .hdf5 (Gadget-4), .npz, .zarr, .bigfile or .gadget. With several redshifts, each name gets _z1
        and so on before the suffix.
    memory:
        The most memory that the run may take, such as 8GB; by default what the machine has free.
    """
    from zeldo import api
    from zeldo.report.progress import Progress

    start = time.perf_counter()
    with Progress(engine) as progress:
        snapshots = api.run(
            engine=engine,
            steps=steps,
            mesh_factor=mesh_factor,
            extrapolate=extrapolate,
            redshift=redshift,
            output=output,
            memory=memory,
            progress=progress,
            **asdict(universe or Universe()),
        )
    paths = api.output_paths(output, [snapshot.redshift for snapshot in snapshots])
    for snapshot in snapshots:
        print(
            f"{paths[snapshot.redshift]}: {snapshot.n}^3 particles in {snapshot.box:g} Mpc/h "
            f"at z = {snapshot.redshift:g} by {snapshot.engine}"
        )
    print(f"{time.perf_counter() - start:.1f} s")
