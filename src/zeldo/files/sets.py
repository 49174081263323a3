"""Snapshots in several files: which files are the parts of a set."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from zeldo.errors import InputError
from zeldo.files.atomic import resolved, writing

NUMBERED = re.compile(r"(?P<stem>.+)\.(?P<number>\d+)(?P<suffix>\.hdf5|\.h5|\.bin|\.dat)?")
SUFFIXES = (".hdf5", ".h5", "")
SIGN = ":sign="  # what may follow the path of white noise
LIST = ".info"  # of the list that L-PICOLA writes beside the files of a set


def member(path: Path) -> Path | None:
    """A file of the set that a path names: the path itself, or its first part where the path is the names' beginning."""
    if path.is_file():
        return path
    if path.is_dir():
        return None
    names = [f"{path.name}.0{suffix}" for suffix in SUFFIXES] + [
        path.name + suffix for suffix in SUFFIXES[:2]
    ]
    names += [f"{path.stem}.0{path.suffix}"]
    return next((found for name in names if (found := path.with_name(name)).is_file()), None)


def parts(path: Path, count: int) -> list[Path]:
    """All files of a set of `count`, in order, from the path of one. `InputError` where one is missing."""
    if count <= 1:
        return [path]
    match = NUMBERED.fullmatch(path.name)
    if match is None:
        raise InputError(
            f"{path} is one of {count} files of a snapshot, yet its name has no number to find the others by: "
            "name them NAME.0, NAME.1 and so on"
        )
    files = []
    for number in range(count):
        part = path.with_name(f"{match['stem']}.{number}{match['suffix'] or ''}")
        if not part.is_file():
            raise InputError(
                f"{path} is one of {count} files of a snapshot: {part.name} is missing; copy it too"
            )
        files.append(part)
    return files


def set_name(path: Path) -> Path:
    """What stands for the whole set that a file belongs to: its path without the number, or without the list's ending."""
    if path.suffix == LIST:
        return path.with_suffix("")
    match = NUMBERED.fullmatch(path.name)
    return path if match is None else path.with_name(match["stem"] + (match["suffix"] or ""))


def name_of(files: Sequence[Path]) -> Path:
    """What messages call the files of a set: the set's name, or the only file."""
    return set_name(files[0]) if len(files) > 1 else files[0]


def _part(path: Path, number: int) -> Path:
    if path.suffix not in SUFFIXES:  # Gadget's binary files have none
        return path.with_name(f"{path.name}.{number}")
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


@contextmanager
def writing_parts(path: Path, sizes: Sequence[int], files_of: Callable[[Path], int]) -> Iterator[list[Path]]:
    """Temporary names of the files of a set, which appear together, each as of `writing`.

    A set of several replaces what had its name before: a single file, and a set with more files.

    Parameters
    ----------
    path : Path
        The name of the set.
    sizes : sequence of int
        Bytes of each file.
    files_of : callable
        A file to the number of files in its set, by its header. What it cannot read stays, as do files of other formats.

    Raises
    ------
    InputError
        Where a part would take the place of a file that is in no set, such as a snapshot whose name ends in a number.
    """
    names = [path] if len(sizes) == 1 else [_part(path, number) for number in range(len(sizes))]
    for number, name in enumerate(names if len(names) > 1 else ()):
        own = name.resolve() == path.resolve()  # a link to the file that the set replaces
        if name.is_file() and not own and not _is_part(name, max(number, 1), files_of):
            raise InputError(f"{name} is no file of a set, and would be replaced: give the set another name")
    with ExitStack() as stack:
        # the first part is renamed last: a set without it is no set
        yield [stack.enter_context(writing(name, size)) for name, size in zip(names, sizes, strict=True)]
    if len(sizes) > 1:
        _remove_former(path, len(sizes), files_of)


def _remove_former(path: Path, files: int, files_of: Callable[[Path], int]) -> None:
    """Remove the single file of a set's name, and the parts from a number on that say they are of a larger set."""
    number, former = files, [path] if _is_part(path, 0, files_of) else []
    while _is_part(_part(path, number), number, files_of):
        former.append(_part(path, number))
        number += 1
    new = {_part(path, number).resolve() for number in range(files)}  # which may be where links lead
    for file in reversed(former):  # those that stay after an interruption are still found, one after another
        if file.resolve() not in new:
            file.unlink()


def check_no_input(outputs: Iterable[str | os.PathLike], inputs: Mapping[str, Any]) -> None:
    """`InputError` where an output is also an input, by the name of an argument, or a file of its set.

    What is no path counts for nothing.
    """
    written = {resolved(path): path for path in outputs}
    for name, value in inputs.items():
        if not isinstance(value, str | os.PathLike):
            continue
        try:
            here = resolved(value.partition(SIGN)[0] if isinstance(value, str) else value)
        except InputError:  # no path, or one that is refused where it is read
            continue
        if here in written:
            raise InputError(f"output and {name} are the same file, {value}: give the output another name")
        for parent in here.parents:
            if parent in written:
                raise InputError(
                    f"output {written[parent]} is a directory that {name}, {value}, lies in: give the output another name"
                )
        for there, output in written.items():
            if NUMBERED.fullmatch(there.name) and there.is_file() and _beside(here, there):
                raise InputError(
                    f"output {output} is a file of the set of {name}, {value}: give the output another name"
                )


def _beside(path: Path, part: Path) -> bool:
    """Whether a part of a set is one of those that a path names: a directory, a part, or the beginning of the names."""
    if path.is_dir():
        return part.parent == path
    one = member(path)
    return one is not None and bool(NUMBERED.fullmatch(one.name)) and set_name(one) == set_name(part)


def check_other_set(source: Path, output: Path, files: int, alone: bool = False) -> None:
    """`InputError` where the files to write would take the place of some that are read.

    Parameters
    ----------
    source : path
        A file, a directory, any file of a set, or the beginning of the names of a set.
    output : path
        The name of a file or a set.
    files : int
        How many files it will be.
    alone : bool
        Whether the source is one file that is no part of a set, whatever its name.
    """
    here, there = resolved(source), resolved(output)
    if here.is_dir():
        same = there == here or (there.parent == here and (files > 1 or there.exists()))
    elif alone and files == 1:  # snap_z0.5.hdf5 beside snap_z0.7.hdf5
        same = there == here
    else:
        names = {there, set_name(there)}
        if not here.exists() and there.suffix in SUFFIXES:  # the beginning of the names of a set
            names.add(set_name(there).with_suffix(""))
        # one file may stand beside the parts of a set of its name
        beside = files == 1 and there != here and NUMBERED.fullmatch(there.name) is None
        same = set_name(here) in names and not beside
    if same or there in here.parents:
        raise InputError(
            f"{output} would take the place of files that are read: give the output another name"
        )


def _is_part(file: Path, number: int, files_of: Callable[[Path], int]) -> bool:
    """Whether a file is of a set; snapshots whose names end in a number say that they are alone."""
    try:
        return file.is_file() and files_of(file) > number
    except (InputError, OSError):
        return False
