"""The public functions behind `zeldo measure`, `halos` and `show`: what they do with files and particles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.brief import brief
from zeldo.errors import InputError
from zeldo.files.sets import check_no_input
from zeldo.keywords import PathLike, axis_index, check_progress, number, scalar
from zeldo.measuring.memory import check_room, limited
from zeldo.sources import (
    BYTES,
    POINT_BYTES,
    Given,
    Source,
    check_memory,
    check_reading,
    load,
    names_of,
    on_disk,
    several,
)

if TYPE_CHECKING:
    import numpy as np

    from zeldo.engines.base import Progress
    from zeldo.report.density_picture import Slab
    from zeldo.statistics.measurement import Measurement
    from zeldo.statistics.overdensity import HaloCatalogue

LINKING_LENGTH, MINIMUM = 0.2, 20  # of friends-of-friends
SLICE = 15.0  # Mpc/h, thickness
PICTURE_BYTES = 120  # per particle that is drawn from memory
PIXEL_BYTES = 60  # of a map that is drawn
PICTURES = (".png", ".pdf")


def measure(
    source: Source | Sequence[Source],
    statistics: Sequence[str] = ("power", "multipoles"),
    *,
    mesh: int | None = None,
    axis: int | str = "z",
    linking_length: float = LINKING_LENGTH,
    minimum: int = MINIMUM,
    subtract_shot_noise: bool = False,
    cosmology: Given = None,
    output: PathLike | Sequence[PathLike] = (),
    command: str = "",
    device: str = "cpu",
    memory: str | float | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> list[Measurement]:
    """Power spectra, multipoles, bispectra and halo mass functions of files, snapshots or particles.

    Parameters
    ----------
    source : path, Snapshot, Particles, or a sequence of them
        What to measure.
    statistics : sequence of str
        Any of "power", "multipoles", "bispectrum", "mass-function"; or "all".
    mesh : int, optional
        Points per side of the density; twice the lattice by default.
    axis : {"x", "y", "z", 0, 1, 2}
        Line of sight of redshift space.
    linking_length : float
        Linking length of friends-of-friends, in mean particle spacings.
    minimum : int
        Fewest particles of a halo.
    subtract_shot_noise : bool
        Subtract V/N from P(k) and from the monopole, as in `power_spectrum`; not from bispectra.
    cosmology : Cosmology or mapping of str to float, optional
        The cosmology of the run, or those of its parameters that the file does not give.
    output : path or sequence of path
        Files to write: .csv, .json, .hdf5, or .html for a page with plots of all snapshots over each other.
    command : str
        The command line that the page quotes.
    device : str
        Where spectra are computed, such as "cuda".
    memory : str or float, optional
        The most memory that may be taken, such as "8GB"; by default what the machine has free. A universe in .zarr that
        does not fit is read some planes at a time. Of other files, what does not fit into the memory given is refused,
        and so is a mesh that is given and does not fit.
    progress : callable, optional
        `progress(done, total, text)` before each statistic of a source, where work is counted in sources.
    **reading
        What files do not say, as of `zeldo.read`: `ids`, `length`, `velocities`, `particle_type`, `box`, `redshift`, and
        parameters of the cosmology, such as `omega_m`.

    Returns
    -------
    list of Measurement
        One for each source.

    Raises
    ------
    InputError
        For a value that is not allowed, and for what the particles cannot give.
    """
    from zeldo.mesh.checks import check_mesh
    from zeldo.mesh.gravity import torch_device
    from zeldo.report.measured import check_output, write_measurements
    from zeldo.statistics.measurement import check_statistics, measurement

    check_reading(measure, reading)
    check_progress(progress)
    chosen = check_statistics(statistics)
    if subtract_shot_noise and not {"power", "multipoles"} & set(chosen):
        raise InputError(
            f"{' and '.join(chosen)} with subtract_shot_noise is not allowed: it is subtracted from power and multipoles, "
            "so ask for one of them, or leave it out"
        )
    for name, given, user in (
        ("axis", axis_index(axis) != axis_index("z"), "multipoles"),
        ("linking_length", linking_length != LINKING_LENGTH, "mass-function"),
        ("minimum", minimum != MINIMUM, "mass-function"),
    ):
        if given and user not in chosen:
            raise InputError(
                f"{name} is not allowed with {' and '.join(chosen)} alone: only {user} has it, so ask for that too, "
                "or leave it out"
            )
    device = torch_device(device)
    outputs = [output] if isinstance(output, str | os.PathLike) else list(output or ())
    for path in outputs:
        check_output(path)
    sources = several(source)
    for each in sources:
        check_no_input(outputs, {"source": each})
    mesh = None if mesh is None else check_mesh(mesh)
    points = 0 if chosen == ("mass-function",) else mesh
    triangles = "bispectrum" in chosen
    check_memory(memory, sources, BYTES, cosmology, mesh=points, triangles=triangles, **reading)
    results = []
    with limited(memory):
        # what is on disk checks its own mesh, which takes less
        if points and device == "cpu" and None in [on_disk(each, cosmology, **reading) for each in sources]:
            needed = POINT_BYTES * points**3
            check_room(f"a mesh of {mesh} points a side needs", needed, "give a smaller mesh, or more memory")
        for i, (each, name) in enumerate(zip(sources, names_of(sources), strict=True)):
            tell = _of_all(progress, name, i, len(sources))
            tell(0, 1, "reading")
            results.append(
                measurement(
                    on_disk(each, cosmology, **reading) or load(each, cosmology, **reading),
                    chosen,
                    name=name,
                    mesh=mesh,
                    axis=axis,
                    linking_length=number(linking_length, "linking_length"),
                    minimum=minimum,
                    subtract_shot_noise=subtract_shot_noise,
                    device=device,
                    progress=tell,
                )
            )
    for path in outputs:
        write_measurements(results, path, command)
    return results


def halos(
    source: Source,
    linking_length: float = LINKING_LENGTH,
    minimum: int = MINIMUM,
    backend: str | None = None,
    *,
    cosmology: Given = None,
    output: PathLike | None = None,
    memory: str | float | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> HaloCatalogue:
    """Halos of a file, a snapshot or particles, with spherical-overdensity masses, and their catalogue as a file.

    Parameters
    ----------
    source : path, Snapshot or Particles
        Where to look for halos.
    linking_length : float
        Linking length of friends-of-friends, in mean particle spacings.
    minimum : int
        Fewest particles of a halo.
    backend : str, optional
        As in `friends_of_friends`.
    cosmology : Cosmology or mapping of str to float, optional
        The cosmology of the run, or those of its parameters that the file does not give.
    output : path, optional
        An HDF5 file to write; see `zeldo.write_halos`.
    memory : str or float, optional
        As in `measure`. The groups of a universe that does not fit come without `group`.
    progress : callable, optional
        `progress(done, total, text)` before each slab of a universe that does not fit. Other sources are one piece.
    **reading
        As in `measure`.

    Returns
    -------
    HaloCatalogue

    Raises
    ------
    InputError
        For a value that is not allowed.
    """
    from zeldo.statistics.catalogue import check_catalogue_path, write_halos
    from zeldo.statistics.overdensity import halos as halos_in_memory
    from zeldo.statistics.streaming_overdensity import stream_halo_catalogue

    check_reading(halos, reading)
    check_progress(progress)
    if output is not None:
        check_catalogue_path(output)
        check_no_input([output], {"source": source})
    check_memory(memory, [source], BYTES, cosmology, **reading)
    with limited(memory):
        there = on_disk(source, cosmology, **reading)
        if there is None:
            particles = load(source, cosmology, **reading)
            catalogue = halos_in_memory(particles, linking_length, minimum, backend)
        else:
            particles = there.matter.source
            catalogue = stream_halo_catalogue(
                there.path,
                there.redshift,
                linking_length=linking_length,
                minimum=minimum,
                backend=backend,
                progress=progress,
            )
    if output is not None:
        settings = {"LinkingLength": number(linking_length, "linking_length")}
        write_halos(catalogue, output, snapshot=particles, settings=settings)
    return catalogue


@dataclass(frozen=True, eq=False)
class Shown:
    """What `show` drew.

    Parameters
    ----------
    path : Path
        The picture.
    slabs : list of Slab
        The part of each box that is seen.
    maps : list of ndarray
        1 + delta of each, (pixels, pixels).
    """

    path: Path
    slabs: list[Slab]
    maps: list[np.ndarray]

    __repr__ = brief


def show(
    source: Source | Sequence[Source],
    output: PathLike = "density.png",
    *,
    projection: bool = False,
    thickness: float | None = None,
    start: float | None = None,
    axis: int | str = "z",
    pixels: int | None = None,
    dpi: int = 160,
    cosmology: Given = None,
    memory: str | float | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Shown:
    """Draw the density of files, snapshots or particles: a slice, or the projection of the whole box.

    Parameters
    ----------
    source : path, Snapshot, Particles, or a sequence of them
        What to draw, side by side on one colour scale.
    output : path
        The picture, .png or .pdf.
    projection : bool
        Show the whole box instead of a slice.
    thickness : float, optional
        Depth of the slice, Mpc/h; 15 by default.
    start : float, optional
        Where the slice begins along the line of sight, Mpc/h; by default that of the slice with most mass.
    axis : {"x", "y", "z", 0, 1, 2}
        The line of sight.
    pixels : int, optional
        Per side of each map; by default four a lattice point, up to 1024.
    dpi : int
        Dots per inch of the picture.
    cosmology : Cosmology or mapping of str to float, optional
        The cosmology of the run, or those of its parameters that the file does not give.
    memory : str or float, optional
        As in `measure`.
    progress : callable, optional
        `progress(done, total, text)` before planes are drawn, where work is counted in sources.
    **reading
        As in `measure`.

    Returns
    -------
    Shown

    Raises
    ------
    InputError
        For a value that is not allowed.
    """
    from zeldo.files.atomic import check_writable, writing
    from zeldo.report.density_picture import density_figure, density_map, slab_of
    from zeldo.report.pictures import style
    from zeldo.statistics.matter import matter_of

    check_reading(show, reading)
    check_progress(progress)
    if not isinstance(output, str | os.PathLike):
        raise InputError(f"output = {output!r} is not allowed: give the name of a picture, such as slice.png")
    kind = Path(output).suffix.lower()
    if kind not in PICTURES:
        raise InputError(f"{output} is no name of a picture: give one that ends in {' or '.join(PICTURES)}")
    path = check_writable(output)
    if projection and (thickness is not None or start is not None):
        raise InputError("a projection shows the whole box: leave out thickness and start")
    pixels = scalar(pixels)
    if pixels is not None and (type(pixels) is not int or not 16 <= pixels <= 8192):
        raise InputError(f"pixels = {pixels!r} is not allowed: give a whole number from 16 to 8192")
    if not 10 <= number(dpi, "dpi") <= 2400:
        raise InputError(f"dpi = {dpi!r} is not allowed: give a number from 10 to 2400")
    maps, slabs, boxes, titles = [], [], [], []
    begins: dict[float, float] = {}  # boxes of the same size show the same slab
    sources = several(source)
    drawn = PIXEL_BYTES * len(sources) * (pixels or 0) ** 2
    check_memory(memory, sources, PICTURE_BYTES, cosmology, beside=drawn, **reading)
    with limited(memory):
        if drawn:
            check_room(f"{pixels} pixels a side need", drawn, "give fewer pixels, or more memory")
        for i, (each, name) in enumerate(zip(sources, names_of(sources), strict=True)):
            tell = _of_all(progress, name, i, len(sources))
            tell(0, 1, "reading")
            there = on_disk(each, cosmology, **reading)
            particles = load(each, cosmology, **reading) if there is None else there.matter.source
            matter = matter_of(particles, "show")
            depth = None if projection else min(SLICE, matter.box) if thickness is None else thickness
            begin = begins.get(matter.box) if start is None else start
            slab = slab_of(particles, axis, 0.0 if projection else begin, depth)
            begins.setdefault(matter.box, slab.start)
            fine = pixels or min(max(4 * matter.n, 256), 1024)
            maps.append(density_map(particles, slab, fine, tell))
            slabs.append(slab)
            boxes.append(matter.box)
            titles.append(f"{name}, z = {matter.redshift:.3g}")
    figure = density_figure(maps, slabs, boxes, titles)
    with writing(path) as temporary, style():
        figure.savefig(temporary, format=kind[1:], dpi=dpi)
    return Shown(path, slabs, maps)


def _of_all(progress: Progress | None, name: str, number: int, count: int) -> Progress:
    """What tells the progress of one source as that of all."""

    def tell(done: float, total: float, text: str) -> None:
        if progress is not None:
            progress(number + done / total, count, f"{name}: {text}")

    return tell
