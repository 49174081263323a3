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
    from zeldo.engines.base import Progress
    from zeldo.files.formats import Format, Sink
    from zeldo.particles.particles import Header, Particles

__all__ = [
    "Snapshot",
    "check_writable",
    "create_particles",
    "open_particles",
    "read",
    "read_snapshot",
    "write",
]

CERTAIN = ("omega_m", "h", "w0", "wa")  # what particles of other codes must have evolved with
WRITTEN = 32768  # least rows at a time: formats take some time for each piece


def read(
    path: str | os.PathLike,
    cosmology: Cosmology | Mapping[str, float] | str | None = None,
    *,
    ids: str | None = None,
    **options: Any,
) -> Snapshot | Particles:
    """Read a file in any format that zeldo knows. The format is recognised by the content.

    Parameters
    ----------
    path : path
        A file, a directory, any file of a set, or the beginning of the names of a set.
    cosmology : Cosmology, str or mapping of str to float, optional
        The cosmology of the run, or the name of a preset, for files that do not give all its parameters; or only those
        that they do not give.
    ids : str, optional
        The order of ids on the lattice: i-major, k-major, tiles:8 and so on; by default the one that makes a universe.
        "none" reads particles without a lattice.
    **options
        What the file does not say, or what to take in place of what it says: `length` (Mpc/h, kpc/h, Mpc, kpc),
        `velocities` (peculiar, gadget, momentum, comoving), `particle_type`, `box` and `redshift`, as the format allows.
        Parameters of the cosmology by name, such as `n_s=0.96`, which replace those of `cosmology`.

    Returns
    -------
    Snapshot or Particles
        A `Snapshot` where the particles are a lattice, else `Particles`, all in memory.

    Raises
    ------
    InputError
        For a missing file, an unknown format, and a lattice whose cosmology is not known in full.
    DamagedFileError
        For a file that is truncated or contradicts itself, and for ids in no known order.
    """
    from zeldo.particles.lattice import NoLatticeError, recognise

    with open_particles(path, cosmology, **options) as particles:
        try:
            return recognise(particles, ids)
        except NoLatticeError:
            return particles.in_memory()


def read_snapshot(
    path: str | os.PathLike, cosmology: Cosmology | Mapping[str, float] | str | None = None
) -> Snapshot:
    """Read particles that must be a lattice. `NoLatticeError` where they are none; see `read`."""
    from zeldo.particles.lattice import recognise

    with open_particles(path, cosmology) as particles:
        return recognise(particles)


@contextmanager
def open_particles(
    path: str | os.PathLike,
    cosmology: Cosmology | Mapping[str, float] | str | None = None,
    **options: Any,
) -> Iterator[Particles]:
    """Open particles of any number and order, to read them from their file slice by slice. Use it in a `with` statement.

    Parameters
    ----------
    path, cosmology, **options
        As in `read`.

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
    from zeldo.files.given import of_usual_widths
    from zeldo.files.registry import locate
    from zeldo.particles.particles import Particles

    kind, place = locate(path)
    options, whole, parameters = _asked(kind, cosmology, options)
    with kind.open(place, whole, **options) as source:
        _check_given(source.header, parameters if whole is None else whole.to_dict(), place)
        if parameters:
            source.header = _completed(source.header, parameters)
        elif (
            whole is not None and source.header.cosmology is None
        ):  # zeldo's own files of particles that came without
            source.header = _completed(source.header, whole.to_dict())
        yield Particles.backed(of_usual_widths(source))


def check_reading_options(
    path: str | os.PathLike,
    header: Header,
    cosmology: Cosmology | Mapping[str, float] | str | None = None,
    **options: Any,
) -> None:
    """`InputError` for what `open_particles` would refuse, of a file whose header is known and which is not opened."""
    from zeldo.files.registry import locate

    kind, place = locate(path)
    _, whole, parameters = _asked(kind, cosmology, options)
    _check_given(header, parameters if whole is None else whole.to_dict(), place)


def _asked(
    kind: Format, cosmology: Cosmology | Mapping[str, float] | str | None, options: Mapping[str, Any]
) -> tuple[dict[str, Any], Cosmology | None, dict[str, float]]:
    """The options of the format, and a whole cosmology or parameters; `InputError` for others."""
    from zeldo.cosmology.parameters import Cosmology
    from zeldo.files.formats import check_options
    from zeldo.files.given import checked

    options = checked(options)
    single = {name: options.pop(name) for name in Cosmology.names() if name in options}
    check_options(kind, options, reading=True)
    return options, *_cosmology(cosmology, single)


def _cosmology(
    given: Cosmology | Mapping[str, float] | str | None, single: Mapping[str, Any]
) -> tuple[Cosmology | None, dict[str, float]]:
    """A whole cosmology, or else the parameters that are given; those by `single` names replace the others."""
    from zeldo.cosmology.parameters import Cosmology, with_parameters
    from zeldo.keywords import number

    if not isinstance(given, Cosmology | Mapping | str | None):
        raise InputError(
            f"cosmology = {given!r} is not allowed: give a `Cosmology`, the name of a preset, parameters by "
            "name, or `Cosmology.from_astropy` of astropy's objects"
        )
    known = with_parameters(given, **{name: number(value, name) for name, value in single.items()})
    if isinstance(known, Cosmology):
        return known, {}
    parameters = {name: number(value, name) for name, value in known.items() if value is not None}
    if set(Cosmology.required()) <= set(parameters):
        return Cosmology.from_mapping(parameters), {}
    for name in parameters:
        if name not in Cosmology.names():
            Cosmology.from_mapping(parameters)  # names the mistake
    return None, parameters


def _check_given(header: Header, given: Mapping[str, float], path: Path) -> None:
    """`InputError` where the file has another value of a parameter that is given.

    What a code of initial conditions says of sigma_8 and so on need not hold for the particles, and may be replaced.
    """
    from zeldo.cosmology.parameters import same_parameter
    from zeldo.files.gadget import contradiction

    zeldos = header.cosmology if header.own else None
    # which may be the one given, where the file has not all of it
    said = {**(zeldos.to_dict() if zeldos else {}), **header.parameters}
    for name, value in given.items():
        checked = name in said and (zeldos or name in CERTAIN)
        if checked and not same_parameter(said[name], value):
            raise InputError(contradiction(path, name, said[name], value))


def _completed(header: Header, parameters: dict[str, float]) -> Header:
    """The header with parameters that its file does not give, or that replace its own."""
    from dataclasses import replace

    from zeldo.cosmology.parameters import Cosmology

    known = {**header.parameters, **parameters}
    whole = {**(header.cosmology.to_dict() if header.cosmology is not None else {}), **known}
    if set(Cosmology.required()) <= set(whole):
        return replace(header, parameters=known, cosmology=Cosmology.from_mapping(whole))
    return replace(header, parameters=known)


def write(
    snapshot: Snapshot | Particles,
    path: str | os.PathLike,
    format: str | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write a snapshot or particles. A file of the same name is replaced.

    The file appears under its name when it is complete: a write that fails or is interrupted leaves nothing. Beyond the
    snapshot itself, it needs the memory of one lattice plane, or of some ten thousand particles.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        What to write.
    path : path
        The file's name. Its suffix chooses the format.
    format : str, optional
        The name of a format, whatever the suffix is.
    progress : callable, optional
        `progress(done, total, text)` after each slice, where work is counted in rows of fields.
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
    from zeldo.files.registry import format_to_write
    from zeldo.particles.lattice import particles_of
    from zeldo.particles.particles import Particles

    if not isinstance(snapshot, Snapshot | Particles):
        raise InputError(
            f"write was given a {type(snapshot).__name__}: give a Snapshot or Particles, such as snapshots[0]"
        )
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path = {path!r} is not allowed: give the name of a file, such as z0.hdf5")
    particles = particles_of(snapshot) if isinstance(snapshot, Snapshot) else snapshot
    fields = dict(particles.fields)
    if isinstance(snapshot, Snapshot):
        check_finite(snapshot)
        if not format_to_write(path, format).snapshot_ids:
            del fields["ids"]
    with create_particles(path, particles.header, fields, format, **options) as sink:
        count = len(particles)
        for done, field in enumerate(sink.fields):
            for start, stop in particles.slices(WRITTEN):
                sink.write(field, start, particles.read(field, start, stop))
                if progress is not None:
                    progress(done * count + stop, len(sink.fields) * count, f"writing {field}")
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
    from dataclasses import replace

    from zeldo.files.formats import check_options
    from zeldo.files.registry import format_to_write

    kind = format_to_write(path, format)
    check_options(kind, options)
    kind.check_writable(Path(path))
    if not header.count:
        raise InputError(f"{path} is not written, since there are no particles: give one or more")
    if "masses" in fields and header.particle_mass:  # formats would write one mass for all of them
        header = replace(header, particle_mass=None)
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
    """Check that `write` could write to a path, before the work begins.

    Parameters
    ----------
    path : path
        The file to write.
    format : str, optional
        The name of a format; by default that of the suffix.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    InputError
        Where it could not be written.
    """
    from zeldo.files.registry import format_to_write

    return format_to_write(path, format).check_writable(Path(path))
