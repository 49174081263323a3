"""zeldo show"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.options import Axis, Flag, Named, Whole, print_json
from zeldo.commands.reading import Reading


def show(
    files: Annotated[list[Named], Parameter(negative="")],
    /,
    *,
    reading: Reading | None = None,
    projection: Flag = False,
    thickness: float | None = None,
    start: float | None = None,
    axis: Axis = "z",
    pixels: Whole | None = None,
    dpi: Whole = 160,
    output: Annotated[Named, Parameter(name=["--output", "-o"])] = Path("density.png"),
    memory: str | None = None,
    json: Flag = False,
) -> None:
    """Draw the density of snapshots: a slice, or a projection of the whole box.

    Parameters
    ----------
    files:
        Snapshots in any format that zeldo reads, drawn side by side on one colour scale.
    projection:
        Show the whole box instead of a slice.
    thickness:
        Thickness of the slice in Mpc/h (15).
    start:
        Where the slice begins, in Mpc/h. By default, the slice that holds the most mass.
    axis:
        The line of sight.
    pixels:
        Pixels per side of each map. By default, four for each lattice point, up to 1024.
    dpi:
        Dots per inch of the picture.
    output:
        The picture to write: .png or .pdf.
    memory:
        The most memory that may be taken, such as 8GB. A universe in .zarr that does not fit is read some planes at a
        time. Another file that does not fit is refused.
    json:
        Print as JSON what the picture shows.
    """

    from zeldo.measures import show as draw
    from zeldo.report.progress import on_terminal

    with on_terminal("show") as progress:
        shown = draw(
            files,
            output,
            projection=projection,
            thickness=thickness,
            start=start,
            axis=axis,
            pixels=pixels,
            dpi=dpi,
            memory=memory,
            progress=progress,
            **(reading or Reading()).arguments(),
        )
    if json:
        slabs = [{"file": str(file), **vars(slab)} for file, slab in zip(files, shown.slabs, strict=True)]
        print_json({"picture": str(shown.path), "slabs": slabs})
        return
    print(f"{shown.path}: density of {', '.join(file.name for file in files)}")
