"""Particles as npz: `pos` (N, 3) in Mpc/h and `vel` (N, 3) in km/s, in lattice order, with a description of the run.

Particles in another order, or in a number that is not n^3, have `count` in place of `n`, and `ids` where known.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError
from zeldo.files.archive import (
    cosmology_of,
    existing_file,
    integer,
    names_in,
    number,
    origin_attributes,
    positive,
    read_arrays,
    read_origin,
    redshift_of,
    required_cosmology,
    unreadable,
)
from zeldo.files.atomic import writing
from zeldo.files.formats import DAMAGED, Format, Sink, register_format
from zeldo.particles.particles import FIELDS, KINDS, Header, Source
from zeldo.particles.snapshot import DRAWN, MADE

NAMES = {"positions": "pos", "velocities": "vel", "ids": "ids", "masses": "mass"}
NEEDED = ("box", "redshift", *Cosmology.names(), "engine", "version", "settings", "particle_mass")


@register_format
class Npz(Format):
    """NumPy's archive of arrays, without compression and without pickled objects."""

    name = "npz"
    suffixes = (".npz",)

    def sniff(self, path: Path) -> bool:
        try:
            return "pos" in names_in(path)
        except DamagedFileError:
            return False

    @contextmanager
    def open(self, path: Path, cosmology: Cosmology | None = None) -> Iterator[Source]:
        present = names_in(existing_file(path))
        counted = "count" if "count" in present else "n"
        optional = [name for name in ("seed", *DRAWN, *MADE) if name in present]
        if "pos" not in present:
            raise DamagedFileError(f"{path} lacks pos: it has {', '.join(present)}; give a complete file")
        values = read_arrays(path, [counted, *NEEDED, *optional])
        n = integer(values, "n", path) if counted == "n" else None
        header = Header(
            count=integer(values, "count", path) if n is None else n**3,
            box=positive(values, "box", path),
            redshift=redshift_of(values, "redshift", path),
            cosmology=cosmology_of(values, path),
            particle_mass=None if "mass" in present else number(values, "particle_mass", path),
            n=n,
            **read_origin(values, path),
        )
        with ExitStack() as stack:
            members = {}
            for field, name in NAMES.items():
                if name in present:
                    members[field] = stack.enter_context(_Member(path, name, field, header.count))
            yield _Source(path, header, members)

    @contextmanager
    def create(self, path: Path, header: Header, fields: Mapping[str, np.dtype]) -> Iterator[Sink]:
        if header.n is not None:  # rows in lattice order need no ids
            fields = {name: dtype for name, dtype in fields.items() if name != "ids"}
        values: dict[str, object] = dict(required_cosmology(header).to_dict())
        values |= {"n": header.n} if header.n is not None else {"count": header.count}
        values |= {"box": header.box, "redshift": header.redshift}
        values |= {"particle_mass": header.particle_mass or 0.0, **origin_attributes(header)}
        size = header.count * sum(
            dtype.itemsize * int(np.prod(FIELDS[name])) for name, dtype in fields.items()
        )
        with writing(path, size) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, value in values.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asanyarray(value), allow_pickle=False)
            with _Sink(archive, header, fields) as sink:
                yield sink


class _Sink(Sink):
    """Each field is a member of the archive, open while its rows come."""

    def __init__(self, archive: zipfile.ZipFile, header: Header, fields: Mapping[str, np.dtype]) -> None:
        super().__init__(header, fields)
        self._archive = archive
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def put(self, field: str, start: int, values: np.ndarray) -> None:
        if not start:
            self.__exit__()
            self._stream = self._archive.open(f"{NAMES[field]}.npy", "w", force_zip64=True)
            described: Any = {
                "descr": np.lib.format.dtype_to_descr(self.fields[field]),
                "fortran_order": False,
                "shape": (self.header.count, *FIELDS[field]),
            }
            np.lib.format.write_array_header_1_0(self._stream, described)
        assert self._stream is not None
        self._stream.write(values.data)


class _Member:
    """The rows of one array in the archive; its checksum is compared when they are read to the end in order."""

    def __init__(self, path: Path, name: str, field: str, count: int) -> None:
        self._path, self._name, self._row = path, name, 0
        with _readable(path):
            self._archive = zipfile.ZipFile(path)
            self._open()
        self.dtype = self._dtype
        if self._shape != (count, *FIELDS[field]) or self.dtype.kind not in KINDS[field]:
            subject = {"pos": "pos is", "vel": "velocities are", "ids": "ids are", "mass": "masses are"}[name]
            raise DamagedFileError(
                f"{path}: {subject} {self.dtype} of shape {self._shape}, not {(count, *FIELDS[field])}; {AGAIN}"
            )

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    def _open(self) -> None:
        """Go to the first row."""
        form = np.lib.format
        self._stream, self._row = self._archive.open(f"{self._name}.npy"), 0
        version = form.read_magic(self._stream)
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        self._shape, self._fortran, self._dtype = read(self._stream)

    def rows(self, start: int, stop: int) -> np.ndarray:
        if self._fortran:  # as np.savez writes a transposed array
            return read_arrays(self._path, [self._name])[self._name][start:stop]
        width = self._dtype.itemsize * int(np.prod(self._shape[1:]))
        with _readable(self._path):
            if start != self._row:
                if start < self._row:
                    self._open()
                self._stream.seek((start - self._row) * width, 1)
            content = self._stream.read((stop - start) * width)
            self._row = stop
            return np.frombuffer(content, self._dtype).reshape(stop - start, *self._shape[1:])


class _Source(Source):
    def __init__(self, path: Path, header: Header, members: dict[str, _Member]) -> None:
        super().__init__(str(path), header, {field: member.dtype for field, member in members.items()})
        self._members = members

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        return self._members[field].rows(start, stop)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever the reading of an archive raises inside into a `DamagedFileError` of one line."""
    try:
        yield
    except DamagedFileError:
        raise
    except (*DAMAGED, zipfile.BadZipFile, zlib.error) as error:
        raise unreadable(path, error) from error
