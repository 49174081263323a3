"""zeldo reconstruct"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.options import Axis, Named, PerSide, Whole, command_line, some
from zeldo.commands.universe import Known


def reconstruct(
    source: Annotated[str, Parameter(converter=some)],
    *,
    output: Annotated[Named, Parameter(name=["--output", "-o"])] = Path("ics.npz"),
    engine: str = "cola",
    cosmology: Known | None = None,
    power: str | None = None,
    box: float | None = None,
    n: PerSide = None,
    redshift: Annotated[float | None, Parameter(name=["--redshift", "-z"])] = None,
    mesh: Whole | None = None,
    noise: float | None = None,
    smoothing: float = 0.0,
    bias: float = 1.0,
    redshift_space: Axis | None = None,
    effort: float = 1.0,
    samples: Whole = 200,
    seed: Whole = 7,
    device: str | None = None,
    truth: Named | None = None,
    report: Named | None = None,
    checkpoint: Named | None = None,
    checkpoint_minutes: float = 2.0,
) -> None:
    """Recover the initial conditions of an observed density, or of a snapshot.

    Parameters
    ----------
    source:
        A snapshot, or a density painted by cloud-in-cell, as .npy. The density may be in units of its mean, or a
        density contrast. Its cosmology is quijote unless options give another one.
    output:
        The file of initial conditions to write (.npz). Other commands take it as --ics.
    engine:
        zeldovich, 2lpt, cola, pm, emulator, vnet, or a file of a network's weights. Options of the engine follow a colon, as
        in pm:steps=5.
    power:
        Linear power spectrum: camb (default), eisenstein-hu, or a file with columns k and P.
    box:
        Side of the box of a density in Mpc/h.
    n:
        Particles per side. By default, as many as in the snapshot, or half the mesh points of the density.
    redshift:
        Redshift of a density (0). Of a universe in .zarr, the one to take; by default the lowest.
    mesh:
        Mesh points per side for the density of a snapshot. By default, twice those of its lattice.
    noise:
        Standard deviation of the noise of the density contrast, in each mesh cell. None by default.
    smoothing:
        Standard deviation, in Mpc/h, of the Gaussian with which a density was smoothed. Not for a snapshot.
    bias:
        Linear bias of a density. Not for a snapshot.
    redshift_space:
        Line of sight of a density in redshift space. By default, the density is in real space.
    effort:
        Multiplies the usual numbers of iterations.
    samples:
        Steps of the sampler. With 0, only the maximum of the posterior is found.
    seed:
        Seed of the sampler.
    device:
        A torch device.
    truth:
        True initial conditions, if they are known, to compare with: a file that --ics of other commands takes.
    report:
        The directory of the report, whose page is index.html.
    checkpoint:
        A .npz file from which a killed reconstruction resumes.
    checkpoint_minutes:
        Minutes between two writes of the checkpoint.
    """
    from zeldo.files.atomic import directory
    from zeldo.files.reference import check_initial_conditions_path
    from zeldo.files.sets import check_no_input
    from zeldo.gradients import page
    from zeldo.gradients.reconstruct import reconstruct as search
    from zeldo.linear_fields import initial_conditions_of
    from zeldo.report.progress import Progress

    check_initial_conditions_path(output)
    check_no_input([output], {"source": source, "truth": truth, "checkpoint": checkpoint})
    parameters = None if cosmology is None else cosmology.parameters()
    known = None if truth is None else initial_conditions_of(truth, parameters)
    with nullcontext() if report is None else directory(report), Progress("reconstruct") as progress:
        result = search(
            source,
            engine=engine,
            cosmology=parameters,
            power=power,
            box=box,
            n=n,
            redshift=redshift,
            mesh=mesh,
            noise=noise,
            smoothing=smoothing,
            bias=bias,
            redshift_space=redshift_space,
            effort=effort,
            samples=samples,
            seed=seed,
            device=device,
            truth=known,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            output=output,
            progress=progress,
        )
    for line in page.summary(result, known):
        print(line)
    print(f"initial conditions: {output}")
    if report is not None:
        print(f"report: {page.write_page(result, known, report, command_line())}")
