"""The interface of a file format of particles.

A format is one class, in a module of this package or anywhere else:

    @register_format
    class Table(Format):
        name, suffixes = "table", (".txt",)

        def sniff(self, path): ...
        def open(self, path, cosmology=None): ...
        def create(self, path, header, fields): ...

`zeldo.read`, `zeldo.write` and every command then know it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError, nearest
from zeldo.files import atomic
from zeldo.particles.particles import FIELDS, Header, Source

DAMAGED = (
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)  # what libraries raise for bad files


class Sink(ABC):
    """Takes particles slice by slice and writes them to a file. A format subclasses it and defines `put`.

    Fields are written one after another in the order of `fields`. The rows of a field are written from the first to the
    last, in slices of any length.

    Parameters
    ----------
    header : Header
        What the particles are.
    fields : mapping of str to dtype
        The fields that the sink takes, with the types of their numbers. They may be fewer than those on offer.
    """

    def __init__(self, header: Header, fields: Mapping[str, np.dtype]) -> None:
        self.header, self.fields = header, dict(fields)
        self._rows = dict.fromkeys(self.fields, 0)

    @abstractmethod
    def put(self, field: str, start: int, values: np.ndarray) -> None:
        """Store some rows of a field. `write` has checked them.

        Parameters
        ----------
        field : str
            The name of the field.
        start : int
            The first row.
        values : ndarray
            In Mpc/h, peculiar km/s, ids, or 10^10 Msun/h.
        """

    def write(self, field: str, start: int, values: np.ndarray) -> None:
        """Write the next rows of a field.

        Parameters
        ----------
        field : str
            A name in `fields`.
        start : int
            Number of the first row.
        values : ndarray, (rows, 3) or (rows,)
            Comoving Mpc/h, peculiar km/s, ids, or 10^10 Msun/h.

        Raises
        ------
        InputError
            For a field or rows out of order, an array of another shape, values that are not finite, and ids below 0 where
            the format has no sign for them.
        """
        turn = next((name for name, rows in self._rows.items() if rows < self.header.count), None)
        if field != turn or start != self._rows[field]:
            due = f"row {self._rows[turn]} of {turn}" if turn else "no row"
            raise InputError(f"row {start} of {field} is given, {due} is due: write fields and rows in order")
        if values.shape[1:] != FIELDS[field] or start + len(values) > self.header.count:
            raise InputError(
                f"{field} of shape {values.shape} from row {start} on do not fit {self.header.count} particles"
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"{field} from row {start} on are not all finite: no reader would take them")
        if values.dtype.kind == "i" and self.fields[field].kind == "u" and values.min(initial=0) < 0:
            raise InputError(
                f"{field} from row {start} on include {values.min()}, and this format has no sign for them: give {field} "
                "from 0, or write .hdf5, .npz or .zarr"
            )
        self.put(field, start, np.ascontiguousarray(values, self.fields[field]))
        self._rows[field] += len(values)

    def check_complete(self) -> None:
        """`InputError` where rows are missing."""
        for field, rows in self._rows.items():
            if rows != self.header.count:
                raise InputError(
                    f"{rows} rows of {field} were written, not {self.header.count}: write all of them"
                )


class Format(ABC):
    """A file format of particles. Instances have no state.

    Attributes
    ----------
    name : str
        The name that users give.
    suffixes : tuple of str
        File name suffixes, with the dot; empty where `write` must be given the format's name.
    narrows : tuple of str
        Names of more general formats, whose `sniff` accepts files of this format too. This one takes precedence.
    snapshot_ids : bool
        Whether ids of a `Snapshot`, which only count its rows, are written.
    needs_velocities : bool
        Whether it cannot hold particles without velocities.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    narrows: ClassVar[tuple[str, ...]] = ()
    snapshot_ids: ClassVar[bool] = True
    needs_velocities: ClassVar[bool] = False

    @property
    def writes(self) -> bool:
        """Whether the format is written too, and not read alone."""
        return type(self).create is not Format.create

    @abstractmethod
    def sniff(self, path: Path) -> bool:
        """Say whether a file is of this format, by its content.

        Parameters
        ----------
        path : Path
            A file, a directory, or the beginning of the names of a set of files.

        Returns
        -------
        bool
            False for a damaged or missing file.
        """

    @abstractmethod
    def open(self, path: Path, cosmology: Cosmology | None = None) -> AbstractContextManager[Source]:
        """Open a source that reads the particles by slices, as a context manager.

        Parameters
        ----------
        path : Path
        cosmology : Cosmology, optional
            The cosmology of the run, for files that do not give all its parameters.

            Further keyword arguments are options of the format, for what its files do not say.

        Returns
        -------
        context manager of Source

        Raises
        ------
        InputError
            For a file that is missing, or that zeldo does not read.
        DamagedFileError
            For files that are truncated or contradict themselves.
        """

    def files(self, path: Path) -> int | None:
        """How many files the snapshot has that a file belongs to, by what the file says; None where it does not say it.

        Parameters
        ----------
        path : Path
            A file that `sniff` accepts.
        """
        return None

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype]
    ) -> AbstractContextManager[Sink]:
        """Create a sink to which the particles are written by slices, as a context manager.

        The files must appear under their names when the context has ended without an error, and not at all otherwise:
        `zeldo.files.atomic.writing` and `writing_directory` do that. Further keyword arguments are options of the format.

        Parameters
        ----------
        path : Path
        header : Header
            What the particles are.
        fields : mapping of str to dtype
            The fields on offer, with the types of their numbers.

        Returns
        -------
        context manager of Sink

        Raises
        ------
        InputError
            For a path where nothing can be written, and for particles that the format cannot hold.
        """
        raise InputError(f"{path}: zeldo reads {self.name} and does not write it; give another format")

    def check_writable(self, path: Path) -> Path:
        """Check that `create` could write to a path, before the work begins.

        Parameters
        ----------
        path : Path
            The file to write.

        Returns
        -------
        Path
            The same path.

        Raises
        ------
        InputError
            Where it could not be written.
        """
        return atomic.check_writable(path)


def check_options(kind: Format, options: Iterable[str], reading: bool = False) -> None:
    """`InputError` for an option that the format's `create`, or its `open`, does not take."""
    known = options_of(kind, reading)
    for option in options:
        if option not in known:
            if reading and option in ("box", "redshift"):
                raise InputError(
                    f"files of the format {kind.name} give their own {option}: leave {option} out"
                )
            # `open_particles` takes the parameters of the cosmology for every format
            allowed = [*known, *Cosmology.names()] if reading else known
            advice = f"give one of {', '.join(allowed)}" if allowed else "it has none"
            raise InputError(
                f"format {kind.name} has no option {option!r}: {advice}{nearest(option, allowed)}"
            )


def options_of(kind: Format, reading: bool = False) -> list[str]:
    """The options that a format's `create`, or its `open`, takes."""
    method = kind.open if reading else kind.create
    return list(inspect.signature(method).parameters)[2 if reading else 3 :]
