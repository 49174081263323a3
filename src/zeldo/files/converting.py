"""From one format to another: the same particles, in Lagrangian order where they are a lattice, else by id."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files import check_writable, open_particles, write
from zeldo.files.formats import check_options
from zeldo.files.registry import format_to_write, locate
from zeldo.files.sets import check_other_set
from zeldo.particles.lattice import Lattice, NoLatticeError, displacement, find
from zeldo.particles.particles import Header, Particles, Source, known_parameters, wrapped_positions

if TYPE_CHECKING:
    from zeldo.engines.base import Progress


@dataclass(frozen=True)
class Converted:
    """What `convert` has written.

    Parameters
    ----------
    path : Path
    count : int
        Particles.
    order : str
        "Lagrangian", "by id" or "as they came".
    wrapped : int
        Coordinates that lay outside the box.
    notes : tuple of str
        What was assumed.
    """

    path: Path
    count: int
    order: str
    wrapped: int
    notes: tuple[str, ...]


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    cosmology: Cosmology | Mapping[str, float] | str | None = None,
    *,
    ids: str | None = None,
    format: str | None = None,
    write_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Converted:
    """Write the particles of a file in another format.

    Numbers keep their precision as far as the formats allow. Rows come in Lagrangian order where the particles are a
    lattice, else by id. At most one field at a time is in memory, twice.

    Parameters
    ----------
    source : path
        A file, a directory, any file of a set, or the beginning of the names of a set.
    output : path
        The suffix chooses the format.
    cosmology, ids
        As in `zeldo.read`.
    format : str, optional
        The name of a format, whatever the suffix is.
    write_options : mapping, optional
        Options of the format that is written, such as `files`.
    progress : callable, optional
        As in `zeldo.write`.
    **options
        As in `zeldo.read`.

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        As `zeldo.read` and `zeldo.write` do.
    """
    kind, further = format_to_write(output, format), dict(write_options or {})
    check_options(kind, further)
    read_as, place = locate(source)
    alone = place.is_file() and read_as.files(place) == 1
    check_other_set(Path(source), Path(output), further.get("files", 1), alone)
    check_writable(output, format)
    with open_particles(source, cosmology, **options) as particles:
        if not len(particles):
            raise InputError(f"{source} has no particles: give a file that has some")
        lattice: Lattice | None = None
        if progress is not None:
            progress(0, 1, "looking for a lattice")
        try:
            lattice = find(particles, ids)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of positions outside, which the answer counts
                lattice = displacement(particles, lattice)[1]
        except NoLatticeError:
            pass
        ordered = _Ordered(particles, lattice, kind.snapshot_ids)
        path = write(Particles.backed(ordered), output, format, progress=progress, **further)
        return Converted(path, len(particles), ordered.order, ordered.wrapped, ordered.header.notes)


def _with_mass(header: Header, fields: Mapping[str, np.dtype]) -> Header:
    """The header with the mass of a particle that omega_m gives, where all matter is there and nothing says its mass."""
    omega_m = known_parameters(header).get("omega_m")
    if omega_m is None or "masses" in fields or header.particle_mass or not header.whole:
        return header
    mass = CRITICAL_DENSITY * omega_m * header.box**3 / header.count
    note = f"particles have the mass that omega_m = {omega_m:g} gives them, which the file does not say"
    return replace(header, particle_mass=mass, notes=(*header.notes, note))


class _Ordered(Source):
    """Particles with their rows in another order, and positions inside the box.

    A lattice without ids is given some, from 1, where `numbered` says that the format to write has them.
    """

    def __init__(self, particles: Particles, lattice: Lattice | None, numbered: bool) -> None:
        header, self.order, fields = particles.header, "as they came", dict(particles.fields)
        self._rows: np.ndarray | None = None
        if lattice is not None:
            n = round(header.count ** (1 / 3))
            header, self.order = replace(header, n=n, offset=lattice.offset), "Lagrangian"
            header = _with_mass(header, fields)
            if numbered and "ids" not in fields:
                fields["ids"] = np.dtype(np.uint64 if header.count >= 2**32 else np.uint32)
            if lattice.points is not None:
                self._rows = np.empty(header.count, dtype=np.int64)
                self._rows[lattice.points] = np.arange(header.count)
        elif "ids" in particles.fields:
            order = np.argsort(particles.ids, kind="stable")
            self.order = "by id"
            self._rows = None if np.array_equal(order, np.arange(header.count)) else order
        super().__init__(particles.name, header, fields)
        self._particles, self.wrapped = particles, 0
        self._field: tuple[str, np.ndarray] | None = None

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        if field not in self._particles.fields:
            return np.arange(start + 1, stop + 1, dtype=self.fields[field])
        if self._rows is None:
            values = self._particles.read(field, start, stop)
        else:
            if self._field is None or self._field[0] != field:
                self._field = None
                self._field = field, self._particles.read(field)
            values = self._field[1][self._rows[start:stop]]
        if field != "positions":
            return values
        values, outside = wrapped_positions(values, self.header.box)
        self.wrapped += outside
        return values
