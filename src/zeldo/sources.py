"""What statistics are made of: files, snapshots and particles, in memory where they fit."""

from __future__ import annotations

import inspect
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import DamagedFileError, InputError, nearest
from zeldo.files import check_reading_options, open_particles, read
from zeldo.files.formats import options_of
from zeldo.files.registry import formats
from zeldo.keywords import PathLike
from zeldo.measuring.memory import available, check_room, limited, resident, size_in_words
from zeldo.particles.id_orders import NONE, order_named
from zeldo.particles.lattice import header_of
from zeldo.particles.lattice_points import lattice_side
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    from zeldo.statistics.on_disk import OnDisk

Source = PathLike | Snapshot | Particles
Given = Cosmology | Mapping[str, float] | None
BYTES = 400  # per particle that is measured in memory: its fields, positions, trees and meshes
POINT_BYTES = 40  # of a mesh, while the modes of redshift space are made
LIBRARY_BYTES = 0.5e9  # bytes of Python, torch, Numba with its kernels, and matplotlib


def check_memory(
    memory: str | float | None,
    sources: Sequence[Source],
    per_particle: float,
    cosmology: Given = None,
    *,
    mesh: int | None = 0,
    triangles: bool = False,
    beside: float = 0.0,
    ids: str | None = None,
    **options: Any,
) -> None:
    """`InputError` where a file does not fit into the memory that is given; of a universe in .zarr, some of its planes.

    Parameters
    ----------
    memory : str or float, optional
        The most that may be taken. None checks nothing.
    sources : sequence of path, Snapshot or Particles
        What is not a path is in memory already.
    per_particle : float
        Bytes that a particle takes.
    mesh : int, optional
        Points per side of the density: 0 for none, None for twice the lattice, which `per_particle` counts.
    triangles : bool
        Whether there are bispectra, which need a mesh of their own.
    beside : float
        Bytes of the pixels that are drawn.
    cosmology, ids, **options
        As in `load`.
    """
    if memory is None:
        return
    with limited(memory):
        for source in sources:
            if not isinstance(source, str | os.PathLike):
                continue
            with open_particles(source, cosmology, **options) as particles:
                count = len(particles)
            points = 8 * count if mesh is None else mesh**3
            if triangles:
                n = round(math.cbrt(count))
                points = max(points, _closed(min(n, mesh or n)))
            needed = per_particle * count + POINT_BYTES * max(0, points - 8 * count)
            what, counted = f"{count} particles", bool(mesh)
            streamed = _streamed(Path(source), count, points)
            if streamed < needed:
                needed, what, counted = streamed, "some of its planes at a time", mesh != 0
            what, instead = (f"{what} and a mesh", ", or a smaller mesh") if counted else (what, "")
            if beside:
                what, instead = f"{what} and the pixels", f"{instead}, or fewer pixels"
            # libraries that are not there yet come while it works
            whole = max(resident(), LIBRARY_BYTES) + needed + beside
            check_room(
                f"{source}: {what} need", whole - resident(), f"give {_enough(whole)} or more{instead}"
            )


def _streamed(path: Path, count: int, points: int) -> float:
    """Bytes for a universe that is read some planes at a time, and for a mesh; infinite for all else."""
    from zeldo.files.universe_zarr import is_universe
    from zeldo.statistics.on_disk import PLANES_BYTES

    return PLANES_BYTES * count ** (2 / 3) + POINT_BYTES * points if is_universe(path) else math.inf


def _closed(n: int) -> int:
    """Points of the mesh for triangles of waves up to the Nyquist wavenumber of n points per side."""
    from zeldo.statistics.bispectrum import closed_mesh

    return closed_mesh([(0.0, n / 2)] * 3) ** 3


def _enough(size: float) -> str:
    """A size of two digits that is not less."""
    step = 10.0 ** (math.floor(math.log10(size)) - 1)
    return size_in_words(math.ceil(size / step) * step)


def on_disk(
    source: Source,
    cosmology: Given = None,
    *,
    redshift: float | None = None,
    ids: str | None = None,
    **options: Any,
) -> OnDisk | None:
    """A snapshot of a universe in .zarr that does not fit into memory, by default the last; None for all else.

    The options are those of `load`, and are checked as there.
    """
    from zeldo.files.universe_zarr import is_universe
    from zeldo.statistics.on_disk import OnDisk

    if not isinstance(source, str | os.PathLike) or not is_universe(Path(source)):
        return None
    there = OnDisk.open(source, redshift)
    if BYTES * there.n**3 <= available():
        return None
    if ids is not None:
        raise InputError(f"{source} is in lattice order: leave ids out")
    snapshot = there.matter.source
    assert isinstance(snapshot, Snapshot)  # a lattice, whose fields stay on disk
    check_reading_options(source, header_of(snapshot), cosmology, redshift=redshift, **options)
    return there


def check_reading(call: Callable[..., Any], reading: Mapping[str, Any]) -> None:
    """`InputError` for a name in `**reading` that is no argument of `call`, and that no file format takes."""
    if not reading:
        return
    own = [name for name in inspect.signature(call).parameters if name != "reading"]
    known = {"ids", *Cosmology.names()}
    known.update(option for kind in formats().values() for option in options_of(kind, reading=True))
    for name in reading:
        if name not in known:
            hint = nearest(name, [*own, *sorted(known)]) or f": help(zeldo.{call.__name__}) lists them"
            raise InputError(f"{call.__name__} has no argument {name!r}{hint}")


def load(
    source: Source, cosmology: Given = None, *, ids: str | None = None, **options: Any
) -> Snapshot | Particles:
    """A snapshot where the source is a lattice, else its particles, in memory.

    Parameters
    ----------
    source : path, Snapshot or Particles
        What is not a path is returned as it is.
    cosmology : Cosmology or mapping of str to float, optional
        Of the run, or those of its parameters that the file does not give.
    ids, **options
        As in `zeldo.read`.

    Raises
    ------
    InputError
        For options with what is not a file, and as `zeldo.read` does.
    """
    if not isinstance(source, str | os.PathLike):
        given = [
            name
            for name, value in {"cosmology": cosmology, "ids": ids, **options}.items()
            if value is not None
        ]
        if given:
            raise InputError(
                f"a {type(source).__name__} already holds this: leave out {', '.join(given)}, which are for files"
            )
        return source
    try:
        return read(source, cosmology, ids=ids, **options)
    except DamagedFileError:
        raise
    except InputError:  # a lattice whose cosmology is not known in full
        with open_particles(source, cosmology, **options) as particles:
            if ids not in (None, NONE):
                order_named(ids, lattice_side(particles.header.count, particles.name))
            return particles.in_memory()


def several(source: Source | Sequence[Source]) -> list[Source]:
    """The sources in a list, where one may be given alone. `InputError` where there is none."""
    if isinstance(source, str | os.PathLike | Snapshot | Particles):
        return [source]
    if not isinstance(source, Iterable):
        raise InputError(f"a {type(source).__name__} was given: give files, snapshots or particles")
    sources = list(source)
    if not sources:
        raise InputError("nothing was given: name at least one file")
    return sources


def printable(name: str) -> str:
    """A file's name as text, in which bytes that are no UTF-8 have a mark in their place."""
    return os.fsencode(name).decode("utf-8", "replace")


def names_of(sources: Sequence[Source]) -> list[str]:
    """A name each, all different: of files, the last parts of their paths."""
    names = []
    for i, source in enumerate(sources):
        if isinstance(source, str | os.PathLike):
            names.append(Path(source).name)
        elif isinstance(source, Snapshot):
            names.append(source.engine)
        else:
            names.append(source.name if isinstance(source, Particles) else f"number {i + 1}")
    times = Counter(names)
    for i, name in enumerate(list(names)):
        source = sources[i]
        if times[name] > 1 and isinstance(source, str | os.PathLike):
            names[i] = str(source)
    names = [printable(name) for name in names]
    return [
        name if names.count(name) == 1 else f"{name} #{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]
