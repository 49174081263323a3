"""zeldo halos"""

from __future__ import annotations

from zeldo.commands.options import Flag, Named, Output, Whole
from zeldo.commands.reading import Reading


def halos(
    file: Named,
    /,
    *,
    reading: Reading | None = None,
    linking_length: float = 0.2,
    minimum: Whole = 20,
    output: Output = None,
    memory: str | None = None,
    json: Flag = False,
) -> None:
    """Find halos by friends-of-friends, with M200c, M200m and Mvir around their centres.

    Parameters
    ----------
    file:
        A snapshot in any format that zeldo reads.
    linking_length:
        Linking length, in mean particle spacings.
    minimum:
        Least number of particles in a halo.
    output:
        The catalogue to write: an HDF5 file, whose columns have their units as attributes.
    memory:
        The most memory that may be taken, such as 8GB. A universe in .zarr that does not fit is read some planes at a
        time. Another file that does not fit is refused.
    json:
        Print the whole catalogue as JSON.
    """
    from zeldo.measures import halos as find
    from zeldo.report.measured_table import halos_json, print_halos
    from zeldo.report.progress import on_terminal

    with on_terminal("halos") as progress:
        catalogue = find(
            file,
            linking_length,
            minimum,
            output=output,
            memory=memory,
            progress=progress,
            **(reading or Reading()).arguments(),
        )
    if json:
        print(halos_json(catalogue), end="")
        return
    print_halos(catalogue)
    if output:
        print(f"catalogue: {output}")
