"""The registry of file formats: by name, by suffix, and by what is in a file."""

from __future__ import annotations

import os
import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path

from zeldo.errors import InputError, nearest
from zeldo.files.archive import check_readable
from zeldo.files.formats import Format
from zeldo.files.sets import set_name

_registered: dict[str, Format] = {}


def register_format(kind: type[Format]) -> type[Format]:
    """Make a format known by its name. Use it as a class decorator.

    Parameters
    ----------
    kind : type
        A subclass of `Format`.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    InputError
        Where another class has the same name.
    """
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


def format_to_write(path: str | os.PathLike, name: str | None = None) -> Format:
    """The format of that name or, without a name, of the path's suffix.

    `InputError` for an unknown one, and for a name of one that is only read.
    """
    if name is not None:
        written = {kind: one for kind, one in formats().items() if one.writes}
        if name not in written:
            reason = "read and not written" if name in formats() else "not known"
            raise InputError(
                f"format {name!r} is {reason}: give one of {', '.join(written)}{nearest(name, written)}"
            )
        return written[name]
    suffix = Path(path).suffix.lower()
    for kind in formats().values():
        if suffix in kind.suffixes:
            return kind
    known = suffixes()
    if not suffix:
        raise InputError(f"{path} has no suffix, which says the format: give one of {', '.join(known)}")
    raise InputError(
        f"{path} has the suffix {suffix!r}: give one of {', '.join(known)}{nearest(suffix, known)}"
    )


def format_of(path: str | os.PathLike) -> Format:
    """Recognise the format of a file by its content, or by its suffix where no format knows the content.

    Parameters
    ----------
    path : path

    Returns
    -------
    Format

    Raises
    ------
    InputError
        For a missing file, and for one of no format that zeldo knows.
    """
    return locate(path)[0]


def locate(path: str | os.PathLike) -> tuple[Format, Path]:
    """The format of a file, and the path to open: that of the one snapshot inside, where a directory holds no more.

    Raises
    ------
    InputError
        For a missing file, for one of no format that zeldo knows, and for a directory of several snapshots.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a {type(path).__name__} was given for a file: give its path")
    path = Path(path)
    if _stream(path):
        raise InputError(
            f"{path} is a pipe or a device, no file: write what comes from it to a file and give that"
        )
    kind = _sniffed(check_readable(path))
    if kind is not None:
        return kind, path
    if (path / "suite.json").exists():
        raise InputError(
            f"{path} is a suite of universes: give a file of {path / 'universes'}, or read it by zeldo.Suite.open"
        )
    if path.is_dir():
        inside = _snapshots_in(path)
        if len(inside) == 1:
            return next(iter(inside.values()))
        if inside:
            names = ", ".join(sorted(place.name for place in inside)[:10])
            raise InputError(f"{path} holds {len(inside)} snapshots ({names}): give the path of one")
    elif path.is_file():
        for kind in formats().values():
            if path.suffix.lower() in kind.suffixes:
                return kind, path  # a damaged file, which the format explains
    elif not path.exists():
        raise InputError(f"{path} does not exist: check the path")
    raise InputError(f"{path} has no format that zeldo knows: it reads {', '.join(formats())}")


def _stream(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device, which might keep a reader waiting for ever."""
    return path.exists() and not (path.is_file() or path.is_dir())


def _sniffed(path: Path) -> Format | None:
    fitting = [kind for kind in formats().values() if kind.sniff(path)]
    narrowed = {name for kind in fitting for name in kind.narrows}
    return next((kind for kind in fitting if kind.name not in narrowed), None)


def _snapshots_in(directory: Path) -> dict[Path, tuple[Format, Path]]:
    """The snapshots in a directory, a set by the name of its files and any other by its own."""
    groups: dict[Path, list[Path]] = {}
    for place in sorted(directory.iterdir()):
        if not _stream(place):
            groups.setdefault(place if place.is_dir() else set_name(place), []).append(place)
    snapshots: dict[Path, tuple[Format, Path]] = {}
    for name, places in groups.items():
        known = ((kind, place) for place in places if (kind := _sniffed(place)) is not None)
        for kind, place in known:
            # snap_z0.5.hdf5 and snap_z0.7.hdf5 differ by a number as the parts of a set do
            if len(places) == 1 or kind.files(place) == 1:
                snapshots[place] = kind, place
            else:
                snapshots[name] = kind, place
                break
    return snapshots
