"""zeldo run"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zeldo.commands.evolution import FILE, Evolution, is_suite
from zeldo.commands.options import Named
from zeldo.commands.universe import Universe
from zeldo.errors import ZeldoError


def run(
    *,
    universe: Universe | None = None,
    evolution: Evolution | None = None,
    seeds: str | None = None,
    cosmologies: Named | None = None,
    keep: str = "particles",
    scheduler: str | None = None,
) -> None:
    """Evolve a universe and write its particles. With --seeds or --cosmologies, evolve many.

    Parameters
    ----------
    seeds:
        Seeds of a suite of universes, such as 0:1000 for 0 to 999, or 1,5,9. The output is then a directory (suite). Several
        processes with the same command divide the work, and after a kill the same command continues.
    cosmologies:
        A file of cosmologies for a suite, CSV or columns of text: one in each line, with a column for each parameter that
        varies. The first line names the columns. Without names they are omega_m, omega_b, h, n_s, sigma_8, and perhaps w0
        and wa, with a warning.
    keep:
        What a suite keeps of each universe: particles; measure, for P(k) only; or multipoles, for P(k) and the multipoles in
        redshift space.
    scheduler:
        Address of a dask.distributed scheduler, whose workers make the suite.
    """
    from zeldo import api
    from zeldo.report.progress import Progress

    start = time.perf_counter()
    evolution = evolution or Evolution()
    arguments = asdict(evolution) | asdict(universe or Universe())
    if is_suite(seeds, cosmologies, keep, scheduler):
        _suite(seeds=seeds, cosmologies=cosmologies, keep=keep, scheduler=scheduler, **arguments)
        print(f"{time.perf_counter() - start:.1f} s")
        return
    output = arguments["output"] = evolution.output or FILE
    with Progress(evolution.engine) as progress:
        snapshots = api.run(progress=progress, **arguments)
    paths = api.output_paths(output, [snapshot.redshift for snapshot in snapshots])
    if output.suffix.lower() == ".zarr":
        paths = dict.fromkeys(paths, output)
    for snapshot in snapshots:
        print(
            f"{paths[snapshot.redshift]}: {snapshot.n}^3 particles in {snapshot.box:g} Mpc/h "
            f"at z = {snapshot.redshift:g} by {snapshot.engine}"
        )
    print(f"{time.perf_counter() - start:.1f} s")


def _suite(*, output: Path | None, **arguments: Any) -> None:
    from zeldo.report.progress import Progress
    from zeldo.suites.run import run_suite

    output = output or Path("suite")
    with Progress(str(output)) as progress:
        suite = run_suite(output=output, progress=progress, **arguments)
    rows = suite.rows()
    counts = {status: sum(row["status"] == status for row in rows) for status in ("done", "failed")}
    print(f"{output / 'manifest.csv'}: {counts['done']} of {len(rows)} universes")
    failed = suite.failed()
    for name, error in failed.items():
        print(f"{name} failed: {error}")
    if failed:
        raise ZeldoError(f"{len(failed)} universes failed: the same command tries them again")
