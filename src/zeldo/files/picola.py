"""L-PICOLA's own text format: id, x, y, z, vx, vy, vz a line, in comoving Mpc/h and peculiar km/s.

It has no header: the box and the redshift come from options, or from what L-PICOLA writes beside it, the file `.info` and
the ending `_z0p000` of the name.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.formats import Format
from zeldo.files.registry import register_format
from zeldo.files.sets import LIST, NUMBERED, set_name
from zeldo.particles.particles import ArraySource, Header, Source

COLUMNS = 7
NAMED = re.compile(r"_z(\d+)p(\d+)")


@register_format
class Picola(Format):
    """L-PICOLA's output without GADGET_STYLE."""

    name = "l-picola"

    def sniff(self, path: Path) -> bool:
        if path.is_dir():
            return False
        stem = _stem(path)
        file = path if path.is_file() and path.suffix != LIST else stem.with_name(f"{stem.name}.0")
        if not file.is_file() or not NUMBERED.fullmatch(file.name):
            return False
        with open(file, "rb") as stream:
            words = stream.readline(400).split()
        return len(words) == COLUMNS and words[0].isdigit() and all(_is_number(word) for word in words)

    @contextmanager
    def open(
        self,
        path: Path,
        cosmology: Cosmology | None = None,
        *,
        box: float | None = None,
        redshift: float | None = None,
    ) -> Iterator[Source]:
        stem = _stem(path)
        notes = [
            "lengths are taken as Mpc/h and velocities as peculiar, in km/s, as L-PICOLA writes them by default"
        ]
        files, said = _files(stem)
        if box is None:
            if said is None:
                raise InputError(f"{stem} does not say its box: give --box, in Mpc/h")
            box = said
            notes.append(f"the box is taken as {box:g} Mpc/h, the reach of the slices in {stem.name}.info")
        if redshift is None:
            named = NAMED.search(stem.name)
            if named is None:
                raise InputError(f"{stem} does not say its redshift: give --redshift")
            redshift = float(f"{named[1]}.{named[2]}")
            notes.append(f"the redshift is taken as {redshift:g} from the name of the file")
        rows = np.concatenate([_table(file) for file in files])
        header = Header(
            count=len(rows),
            box=float(box),
            redshift=float(redshift),
            cosmology=cosmology,
            engine="L-PICOLA",
            stored={"format": "L-PICOLA text", "lengths": "Mpc/h", "velocities": "peculiar"},
            notes=tuple(notes),
        )
        ids = rows[:, 0].astype(np.uint64)
        fields = {"positions": rows[:, 1:4], "velocities": rows[:, 4:], "ids": ids}
        yield ArraySource(str(stem), header, fields)


def _stem(path: Path) -> Path:
    """What the names of a set begin with, from the path of one of its files or of their list."""
    return set_name(path) if path.is_file() else path


def _is_number(word: bytes) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _files(stem: Path) -> tuple[list[Path], float | None]:
    """The parts, and the box that the file .info covers. `InputError` where a part that it lists is missing."""
    info = stem.with_name(stem.name + LIST)
    if not info.is_file():
        files: list[Path] = []
        while (file := stem.with_name(f"{stem.name}.{len(files)}")).is_file():
            files.append(file)
        there = [
            int(match["number"])
            for beside in stem.parent.glob(f"{glob.escape(stem.name)}.*")
            if (match := NUMBERED.fullmatch(beside.name)) and not match["suffix"]
        ]
        if max(there, default=0) > len(files):
            raise InputError(
                f"{stem.name}.{len(files)} is missing, and {stem.name}.{max(there)} is there; copy it too"
            )
        return files, None
    try:
        table = np.atleast_2d(np.loadtxt(info, comments="#"))
        numbers, box = (
            table[:, 0].astype(int),
            float((table[:, 4:7].max(axis=0) - table[:, 1:4].min(axis=0)).max()),
        )
    except (ValueError, IndexError) as error:
        raise DamagedFileError(f"{info} is not a list of L-PICOLA's files; {AGAIN}") from error
    files = [stem.with_name(f"{stem.name}.{number}") for number in numbers]
    for file, count in zip(files, table[:, 7] if table.shape[1] > 7 else [-1] * len(files), strict=True):
        if not file.is_file():
            raise InputError(f"{info} lists {file.name}, which is missing; copy it too")
        with open(file, "rb") as stream:
            lines = sum(piece.count(b"\n") for piece in iter(lambda: stream.read(2**20), b""))
        if count >= 0 and lines != int(count):
            raise DamagedFileError(f"{file} has {lines} lines, {info.name} says {int(count)}; {AGAIN}")
    return files, box


def _table(path: Path) -> np.ndarray:
    if not path.stat().st_size:
        return np.empty((0, COLUMNS))
    with open(path, "rb") as stream:
        stream.seek(-1, 2)
        if stream.read() != b"\n":
            raise DamagedFileError(f"{path} is truncated: its last line has no end; {AGAIN}")
    try:
        values = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise DamagedFileError(f"{path} is not a table of L-PICOLA ({error}); {AGAIN}") from error
    if values.shape[1] != COLUMNS:
        raise DamagedFileError(f"{path} has {values.shape[1]} columns, not {COLUMNS}; {AGAIN}")
    if not np.isfinite(values).all() or (values[:, 0] < 0).any() or (values[:, 0] % 1).any():
        raise DamagedFileError(
            f"{path} holds ids that are not whole numbers, or numbers that are not finite; {AGAIN}"
        )
    return values
