"""zeldo run"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from zeldo.commands.universe import Universe, Whole
from zeldo.errors import InputError, ZeldoError


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
    seeds: str | None = None,
    cosmologies: Path | None = None,
    keep: str = "particles",
    scheduler: str | None = None,
) -> None:
    """Evolve a universe and write its particles; or many, with seeds or cosmologies.

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
        A file to write: .hdf5 (Gadget-4), .npz, .bigfile or .gadget. With several redshifts, each name gets _z1
        and so on before the suffix. A directory NAME.zarr holds all redshifts, and the same command goes on there after
        a kill.
    memory:
        The most memory that the run may take, such as 8GB; by default what the machine has free.
    seeds:
        Seeds of a suite of universes, such as 0:1000, in the directory that output names. The same command in several
        processes divides the work, and after a kill it goes on.
    cosmologies:
        A CSV file of cosmologies for a suite, one a line, with a column for each parameter that varies.
    keep:
        What a suite keeps of each universe: particles, or measure for its power spectrum alone.
    scheduler:
        Address of a scheduler of dask.distributed, whose workers make the suite.
    """
    from zeldo import api
    from zeldo.report.progress import Progress

    start = time.perf_counter()
    if seeds is not None or cosmologies is not None:
        _suite(
            seeds=seeds,
            cosmologies=cosmologies,
            keep=keep,
            scheduler=scheduler,
            engine=engine,
            steps=steps,
            mesh_factor=mesh_factor,
            extrapolate=extrapolate,
            redshift=redshift,
            output=output,
            memory=memory,
            universe=universe or Universe(),
        )
        print(f"{time.perf_counter() - start:.1f} s")
        return
    for name, value, usual in (("keep", keep, "particles"), ("scheduler", scheduler, None)):
        if value != usual:
            raise InputError(f"--{name} is for many universes: give --seeds or --cosmologies too")
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
    if output.suffix == ".zarr":
        paths = dict.fromkeys(paths, output)
    for snapshot in snapshots:
        print(
            f"{paths[snapshot.redshift]}: {snapshot.n}^3 particles in {snapshot.box:g} Mpc/h "
            f"at z = {snapshot.redshift:g} by {snapshot.engine}"
        )
    print(f"{time.perf_counter() - start:.1f} s")


def _suite(*, output: Path, universe: Universe, **arguments: Any) -> None:
    from zeldo.report.progress import Progress
    from zeldo.suites.run import run_suite

    if output == Path("zeldo.hdf5"):
        output = Path("suite")
    with Progress(str(output)) as progress:
        suite = run_suite(output=output, progress=progress, **arguments, **asdict(universe))
    rows = suite.rows()
    counts = {status: sum(row["status"] == status for row in rows) for status in ("done", "failed")}
    print(f"{output / 'manifest.csv'}: {counts['done']} of {len(rows)} universes")
    failed = suite.failed()
    for name, error in failed.items():
        print(f"{name} failed: {error}")
    if failed:
        raise ZeldoError(f"{len(failed)} universes failed: the same command tries them again")
