"""Reading and writing particles in files, one module per format. A file is written whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy as np

    from zeldo.cosmology.parameters import Cosmology
    from zeldo.files.formats import Sink
    from zeldo.particles.particles import Header, Particles

__all__ = ["Snapshot", "check_writable", "create_particles", "open_particles", "read", "write"]


def read(path: str | os.PathLike, cosmology: Cosmology | None = None) -> Snapshot:
    """Read a snapshot of a lattice, in any format that zeldo knows. The format is recognised by the content.

    Parameters
    ----------
    path : path
        A file, a directory, or the beginning of the names of a set of files.
    cosmology : Cosmology, optional
        The cosmology of the run, needed only for files of other codes that do not give all its parameters.

    Returns
    -------
    Snapshot

    Raises
    ------
    InputError
        For a missing file, an unknown format, or particles that are not a full lattice.
    DamagedFileError
        For a file that is truncated or contradicts itself.
    """
    from zeldo.particles.lattice import recognise

    with open_particles(path, cosmology) as particles:
        return recognise(particles)


@contextmanager
def open_particles(path: str | os.PathLike, cosmology: Cosmology | None = None) -> Iterator[Particles]:
    """Open particles of any number and order, to read them from their file slice by slice. Use it in a `with` statement.

    Parameters
    ----------
    path : path
        A file, a directory, or the beginning of the names of a set of files.
    cosmology : Cosmology, optional
        The cosmology of the run, for files that do not give all its parameters.

    Yields
    ------
    Particles

    Raises
    ------
    InputError
        For a missing file or an unknown format.
    DamagedFileError
        For a file that is truncated or contradicts itself.

    Examples
    --------
    >>> with zeldo.open_particles("halo.hdf5") as particles:  # doctest: +SKIP
    ...     first = particles.read("positions", 0, 1000)
    """
    from zeldo.files.formats import format_of
    from zeldo.particles.particles import Particles

    with format_of(path).open(Path(path), cosmology) as source:
        yield Particles.backed(source)


def write(
    snapshot: Snapshot | Particles, path: str | os.PathLike, format: str | None = None, **options: Any
) -> Path:
    """Write a snapshot or particles. A file of the same name is replaced.

    The file appears under its name when it is complete: a write that fails or is interrupted leaves nothing. Beyond the
    snapshot itself, it needs the memory of one lattice plane.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        What to write.
    path : path
        The file's name. Its suffix chooses the format.
    format : str, optional
        The name of a format, whatever the suffix is.
    **options
        Options of the format.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        For an unknown suffix or format, a directory that is missing or not writable, and values that are not finite.
    ZeldoError
        For a full disk.
    """
    from zeldo.particles.lattice import particles_of

    if isinstance(snapshot, Snapshot):
        check_finite(snapshot)
        particles = particles_of(snapshot)
    else:
        particles = snapshot
    with create_particles(path, particles.header, particles.fields, format, **options) as sink:
        for field in sink.fields:
            for start, stop in particles.slices():
                sink.write(field, start, particles.read(field, start, stop))
    return Path(path)


@contextmanager
def create_particles(
    path: str | os.PathLike,
    header: Header,
    fields: Mapping[str, np.dtype],
    format: str | None = None,
    **options: Any,
) -> Iterator[Sink]:
    """Create a file of particles, to write it slice by slice. Use it in a `with` statement.

    Call `sink.write(field, start, values)` for the slices of each of `sink.fields`. An error inside the context leaves no
    file.

    Parameters
    ----------
    path : path
        The file's name. Its suffix chooses the format.
    header : Header
        What the particles are.
    fields : mapping of str to dtype
        The fields that can be written, with the types of their numbers.
    format : str, optional
        The name of a format, whatever the suffix is.
    **options
        Options of the format.

    Yields
    ------
    Sink

    Raises
    ------
    InputError
        As `write` does.
    ZeldoError
        For a full disk.
    """
    from zeldo.files.formats import check_options, format_to_write

    kind = format_to_write(path, format)
    check_options(kind, options)
    with kind.create(Path(path), header, fields, **options) as sink:
        yield sink
        sink.check_complete()


def check_finite(snapshot: Snapshot) -> None:
    """`InputError` where displacements or velocities are not finite, since no reader would accept the file."""
    import numpy as np

    for name in ("psi", "vel"):
        field = getattr(snapshot, name)
        if field is not None and not all(np.isfinite(plane).all() for part in field for plane in part):
            raise InputError(
                f"{name} of the snapshot ({snapshot.engine}, z = {snapshot.redshift:g}) holds values that are not "
                "finite: it is not written; check the initial conditions and options it was made from"
            )


def check_writable(path: str | os.PathLike, format: str | None = None) -> Path:
    """The path, if `write` could write there; otherwise `InputError`. Call it before the work, not after."""
    from zeldo.files.formats import format_to_write

    return format_to_write(path, format).check_writable(Path(path))
