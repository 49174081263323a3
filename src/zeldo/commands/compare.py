"""zeldo compare"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.options import Flag, Named, Output, Redshifts, Whole, command_line, some
from zeldo.commands.universe import Universe


def compare(
    files: Annotated[list[Named] | None, Parameter(negative="")] = None,
    /,
    *,
    universe: Universe | None = None,
    engine: Annotated[list[str] | None, Parameter(negative="")] = None,
    reference: Annotated[str | None, Parameter(converter=some)] = None,
    redshift: Redshifts = None,
    steps: Whole | None = None,
    mesh_factor: float | None = None,
    extrapolate: Flag = False,
    mesh: Whole | None = None,
    output: Output = None,
    memory: str | None = None,
) -> None:
    """Compare engines, or finished snapshots, with a reference of the same initial conditions: accuracy, time and memory.

    Parameters
    ----------
    files:
        Finished snapshots, or universes in .zarr, to compare with a file given by --reference.
    engine:
        zeldovich, 2lpt, cola, pm, emulator, p3m, vnet, or a file of a network's weights. Repeat it for each engine.
        Options of the engine follow a colon, as in cola:mesh_factor=2,steps=20.
    reference:
        A reference run, a snapshot, a universe in .zarr, or an engine. By default, the particles in the file of --ics if
        it has any, else p3m. A snapshot that zeldo made sets the box, the lattice, the cosmology and the seed of the runs.
    redshift:
        Redshift to compare at (0). May be given several times.
    steps:
        Number of steps, for every engine that has this option.
    mesh_factor:
        Mesh points per particle and dimension, for every engine that has this option.
    extrapolate:
        Let networks leave the ranges of their model cards.
    mesh:
        Mesh points per side for the density. By default, twice those of the lattice.
    output:
        The directory of the report, which holds index.html and comparison.json.
    memory:
        The most memory that may be taken, such as 8GB. Snapshots that do not fit are written into the output directory
        as universes in .zarr, and compared some planes at a time.
    """
    from zeldo import comparing
    from zeldo.report.progress import Progress
    from zeldo.report.table import print_table

    result = comparing.compare(
        files or (),
        engine=engine or (),
        reference=reference,
        redshift=redshift,
        steps=steps,
        mesh_factor=mesh_factor,
        extrapolate=extrapolate,
        mesh=mesh,
        output=output,
        memory=memory,
        command=command_line(),
        watch=Progress,
        **asdict(universe or Universe()),
    )
    print_table(result.comparisons)
    if result.page:
        print(f"report: {result.page}")
