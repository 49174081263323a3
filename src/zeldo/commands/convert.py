"""zeldo convert"""

from __future__ import annotations

from typing import Literal

from zeldo.commands.options import Flag, Named, Whole, print_json
from zeldo.commands.reading import Reading


def convert(
    file: Named,
    output: Named,
    *,
    reading: Reading | None = None,
    format: str | None = None,
    files: Whole | None = None,
    precision: Literal["single", "double"] | None = None,
    unit: Literal["Mpc/h", "kpc/h"] | None = None,
    json: Flag = False,
) -> None:
    """Convert a file of particles to another format.

    Particles that started on a lattice are written in Lagrangian order, all others by id.

    Parameters
    ----------
    file:
        A file, a directory, any file of a set, or the common beginning of the names of a set.
    output:
        The file to write. The suffix chooses the format: .hdf5 (Gadget-4), .npz, .gadget, .gadget2, .bigfile, .zarr.
    format:
        The format by name, in place of the suffix's: gadget-hdf5, gadget-binary, gadget-binary-2, swift, bigfile, zarr
        or npz.
    files:
        Number of files to write (1). With several, the new set replaces an old one of the same name.
    precision:
        Precision of Gadget's binary formats (single).
    unit:
        Unit of lengths in Gadget's binary formats, which do not record it (Mpc/h).
    json:
        Print the answer as JSON.
    """
    from zeldo.files.converting import convert as write_converted
    from zeldo.report.progress import on_terminal

    arguments = (reading or Reading()).arguments()
    given = {"files": files, "precision": precision, "unit": unit}
    options = {name: value for name, value in given.items() if value is not None}
    with on_terminal("convert") as progress:
        result = write_converted(
            file, output, format=format, write_options=options, progress=progress, **arguments
        )
    if json:
        from dataclasses import asdict

        print_json({**asdict(result), "path": str(result.path)})
        return
    print(f"{result.path}: {result.count} particles, {result.order}")
    for note in result.notes:
        print(f"  {note}")
    if result.wrapped:
        print(f"  {result.wrapped} coordinates lay outside the box and are wrapped")
