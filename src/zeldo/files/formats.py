"""File formats of particles: what one is, and which there are.

A format is one class in one file of this package, or anywhere else:

    @register_format
    class Table(Format):
        name, suffixes = "table", (".txt",)

        def sniff(self, path): ...
        def open(self, path, cosmology=None): ...
        def create(self, path, header, fields): ...

`zeldo.read` and `zeldo.write` then know it, and so does every command.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
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
    """Where particles are written to, slice by slice. A format subclasses it and defines `put`.

    Fields come one after another in the order of `fields`, and the rows of a field from the first to the last, in
    slices of any length.

    Parameters
    ----------
    header:
        What the particles are.
    fields:
        The type of the numbers of each field that the sink takes. It may be fewer than were offered.
    """

    def __init__(self, header: Header, fields: Mapping[str, np.dtype]) -> None:
        self.header, self.fields = header, dict(fields)
        self._rows = dict.fromkeys(self.fields, 0)

    @abstractmethod
    def put(self, field: str, start: int, values: np.ndarray) -> None:
        """Store rows from `start` on: Mpc/h, peculiar km/s, ids, or 10^10 Msun/h. `write` has checked them."""

    def write(self, field: str, start: int, values: np.ndarray) -> None:
        """Write rows of a field from `start` on: the next ones.

        Raises
        ------
        InputError
            For a field or rows out of turn, an array of another shape, and values that are not finite.
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
    name:
        As users give it.
    suffixes:
        Of the names of its files, with the dot; empty where `write` must be told the format.
    narrows:
        Names of formats whose `sniff` takes files of this format too: this one goes before them.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    narrows: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def sniff(self, path: Path) -> bool:
        """Whether what stands under `path` is of this format, by its content.

        The path may be a file, a directory, or what the files of a set begin with. A damaged or missing file is False.
        """

    @abstractmethod
    def open(self, path: Path, cosmology: Cosmology | None = None) -> AbstractContextManager[Source]:
        """A source that reads the particles by slices while the context lasts.

        Parameters
        ----------
        cosmology:
            Of the run, for files that do not say it in full.

        Raises
        ------
        InputError
            For what is not there, or what zeldo does not read.
        DamagedFileError
            For files that are truncated or contradict themselves.
        """

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype]
    ) -> AbstractContextManager[Sink]:
        """A sink that the particles are written to by slices. Further keywords are options of a format.

        The files stand under their names after the context has ended well, and not at all otherwise:
        `zeldo.files.atomic.writing` and `writing_directory` do that.

        Parameters
        ----------
        fields:
            The type of the numbers of each field on offer.

        Raises
        ------
        InputError
            For a path where nothing can be written, and particles that the format cannot hold.
        """
        raise InputError(f"{path}: zeldo reads {self.name} and does not write it; give another format")

    def check_writable(self, path: Path) -> Path:
        """The path where `create` could write there, else `InputError`: to ask before the work."""
        return atomic.check_writable(path)


def check_options(kind: Format, options: Iterable[str]) -> None:
    """`InputError` for what `create` of a format does not take."""
    known = list(inspect.signature(kind.create).parameters)[3:]
    for option in options:
        if option not in known:
            advice = f"give one of {', '.join(known)}" if known else "it has none"
            raise InputError(f"format {kind.name} has no option {option!r}: {advice}{nearest(option, known)}")


_registered: dict[str, Format] = {}


def register_format(kind: type[Format]) -> type[Format]:
    """Make a format known, by its name: a class decorator. `InputError` where another class has that name."""
    registered = _registered.get(kind.name)
    if registered is not None and type(registered).__qualname__ != kind.__qualname__:
        raise InputError(
            f"format {kind.name!r} is {type(registered).__qualname__} already: give another name"
        )
    _registered[kind.name] = kind()
    return kind


@cache
def _load_own() -> None:
    package = import_module("zeldo.files")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"zeldo.files.{module.name}")


def formats() -> dict[str, Format]:
    """Every format by its name, in alphabetical order."""
    _load_own()
    return dict(sorted(_registered.items()))


def suffixes() -> list[str]:
    """Every suffix that a file may be written under."""
    return [suffix for kind in formats().values() for suffix in kind.suffixes]


def format_named(name: str) -> Format:
    """The format of a name, else `InputError`."""
    known = formats()
    if name not in known:
        raise InputError(
            f"format {name!r} is not known: give one of {', '.join(known)}{nearest(name, known)}"
        )
    return known[name]


def format_to_write(path: str | os.PathLike, name: str | None = None) -> Format:
    """The format of a name, or of the path's suffix where there is none. `InputError` for unknown ones."""
    if name is not None:
        return format_named(name)
    suffix = Path(path).suffix.lower()
    for kind in formats().values():
        if suffix in kind.suffixes:
            return kind
    known = suffixes()
    raise InputError(
        f"{path} has the suffix {suffix!r}: give one of {', '.join(known)}{nearest(suffix, known)}, or a format"
    )


def format_of(path: str | os.PathLike) -> Format:
    """The format of what stands under a path, by its content; by its suffix where no format knows the content.

    Raises
    ------
    InputError
        For a path where nothing is, and for files of no format that zeldo knows.
    """
    path = Path(path)
    fitting = [kind for kind in formats().values() if kind.sniff(path)]
    narrowed = {name for kind in fitting for name in kind.narrows}
    for kind in fitting:
        if kind.name not in narrowed:
            return kind
    if path.is_file():
        for kind in formats().values():
            if path.suffix.lower() in kind.suffixes:
                return kind  # damaged: it says how
    elif not path.exists():
        raise InputError(f"{path} does not exist: check the path")
    raise InputError(f"{path} is of no format that zeldo knows: it reads {', '.join(formats())}")
