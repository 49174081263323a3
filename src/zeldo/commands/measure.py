"""zeldo measure"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.options import Axis, Flag, Named, Whole, command_line
from zeldo.commands.reading import Reading


def measure(
    files: Annotated[list[Named], Parameter(negative="")],
    /,
    *,
    reading: Reading | None = None,
    statistic: Annotated[list[str] | None, Parameter(name=["--statistic", "-s"], negative="")] = None,
    mesh: Whole | None = None,
    axis: Axis = "z",
    linking_length: float = 0.2,
    minimum: Whole = 20,
    subtract_shot_noise: Flag = False,
    output: Annotated[list[Named] | None, Parameter(name=["--output", "-o"], negative="")] = None,
    memory: str | None = None,
    json: Flag = False,
) -> None:
    """Measure snapshots: power spectrum, multipoles in redshift space, bispectra, and halo mass function.

    Parameters
    ----------
    files:
        Snapshots in any format that zeldo reads. Several are shown in the same plots.
    statistic:
        power, multipoles, bispectrum, mass-function, or all. May be given several times; power and multipoles by
        default.
    mesh:
        Mesh points per side for the density. By default, twice those of the lattice.
    axis:
        Line of sight in redshift space.
    linking_length:
        Linking length of friends-of-friends, in mean particle spacings.
    minimum:
        Least number of particles in a halo.
    subtract_shot_noise:
        Subtract the box's volume over the number of particles from P(k) and from the monopole. It is for halos, galaxies
        and other tracers: particles that start from a lattice have no shot noise at first.
    output:
        A file to write: .csv, .json, .hdf5, or .html for a page with plots. May be given several times. With several
        statistics there is a CSV file for each, whose name gets _power and so on.
    memory:
        The most memory that may be taken, such as 8GB. A universe in .zarr that does not fit is read some planes at a
        time. Another file that does not fit is refused.
    json:
        Print the results as JSON.
    """
    from zeldo.measures import measure as run
    from zeldo.report.measured import files_of, to_json
    from zeldo.report.measured_table import print_measurements
    from zeldo.report.progress import on_terminal

    with on_terminal("measure") as progress:
        results = run(
            files,
            statistic or ("power", "multipoles"),
            mesh=mesh,
            axis=axis,
            linking_length=linking_length,
            minimum=minimum,
            subtract_shot_noise=subtract_shot_noise,
            output=output or (),
            command=command_line(),
            memory=memory,
            progress=progress,
            **(reading or Reading()).arguments(),
        )
    if json:
        print(to_json(results), end="")
        return
    print_measurements(results)
    for path in output or ():
        print(f"written: {', '.join(str(name) for name in files_of(results, path))}")
