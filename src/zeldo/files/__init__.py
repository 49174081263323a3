"""Particles in files: reading and writing them, one file a format, and writing that is whole or not there."""

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
    """Read a snapshot of a lattice in any format that zeldo knows, recognised by its content.

    Parameters
    ----------
    path:
        A file, a directory, or what else a format takes.
    cosmology:
        Of the run, needed only for a file of another code that does not say its own in full.

    Raises
    ------
    InputError
        For a missing file, one of an unknown format, or particles that are no whole lattice.
    DamagedFileError
        For a file that is truncated or contradicts itself.
    """
    from zeldo.particles.lattice import recognise

    with open_particles(path, cosmology) as particles:
        return recognise(particles)


@contextmanager
def open_particles(path: str | os.PathLike, cosmology: Cosmology | None = None) -> Iterator[Particles]:
    """Particles of any number and order, read from their file slice by slice while the context lasts.

    Parameters and errors as of `read`; they need be no lattice.

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
    """Write a snapshot, or particles, and return the path. A file under that name is replaced.

    The file appears under its name when it is whole: a write that fails or is interrupted leaves nothing. Beside
    the snapshot it takes the memory of one lattice plane.

    Parameters
    ----------
    snapshot:
        What to write.
    path:
        Where. Its suffix chooses the format.
    format:
        The name of a format, whatever the suffix is.
    options:
        Of the format.

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
    """A sink that takes particles slice by slice: `sink.write(field, start, values)` for each of `sink.fields`.

    Parameters
    ----------
    header:
        What the particles are.
    fields:
        The type of the numbers of each field on offer, by its name.

    Other parameters and errors as of `write`. An error inside the context leaves no file.
    """
    from zeldo.files.formats import check_options, format_to_write

    kind = format_to_write(path, format)
    check_options(kind, options)
    with kind.create(Path(path), header, fields, **options) as sink:
        yield sink
        sink.check_complete()


def check_finite(snapshot: Snapshot) -> None:
    """`InputError` where displacements or velocities are not finite: no reader would take the file."""
    import numpy as np

    for name in ("psi", "vel"):
        field = getattr(snapshot, name)
        if field is not None and not all(np.isfinite(plane).all() for part in field for plane in part):
            raise InputError(
                f"{name} of the snapshot ({snapshot.engine}, z = {snapshot.redshift:g}) holds values that are not "
                "finite: it is not written; check the initial conditions and options it was made from"
            )


def check_writable(path: str | os.PathLike, format: str | None = None) -> Path:
    """The path where `write` could write there, else `InputError`: ask before the work, not after."""
    from zeldo.files.formats import format_to_write

    return format_to_write(path, format).check_writable(Path(path))
